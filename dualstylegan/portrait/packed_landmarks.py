"""The landmark model at a twelfth of its size: dlib's shape predictor, its leaves rounded.

The predictor adds the leaves of thousands of regression trees, displacements of all landmarks.
Displacements of neighbouring landmarks resemble each other, so that most of their principal
components are small; rounded to multiples of 2^-15 of the face's box, they need few bits. The sum
of all roundings is 0.001 of the box, less than the rounding of the landmarks to whole pixels.

dlib reads its own format alone, which `unpack_predictor` writes, from integers that float64 holds
exactly: the same bytes on every machine, whose digest the packed file states.

Legend of shape suffixes: C cascade, T tree, S split of a tree, V leaf, K coordinate of a shape (x
and y of each landmark), P pixel that splits compare, 2 x and y.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualstylegan.errors import WeightsError
from dualstylegan.io.checkpoints import read_arrays, save_arrays

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]

STEP_BITS = 15
BASIS_BITS = 15
MANTISSA_BITS = 24
# Bytes of a leaf's mantissa, of any other, and of an index or a size, in the file for dlib.
LEAF_BYTES, FLOAT_BYTES, INT_BYTES = 2, 3, 2
# Norm of a leaf whose rounded components have two bytes.
MAX_NORM = 0.99 * 2 ** (15 - STEP_BITS)


@dataclass(frozen=True)
class ShapePredictor:
    """Content of a file of dlib's shape predictor.

    Attributes:
        initial_K: mean shape, in shares of the face's box.
        indices_CTS2: the two pixels that a split compares.
        thresholds_CTS: differences of grey values.
        leaves_CTVK: displacements of the shape.
        anchors_CP, offsets_CP2: landmark by which each pixel lies, and its place from there.
    """

    initial_K: NDArray[Any]
    indices_CTS2: NDArray[Any]
    thresholds_CTS: NDArray[Any]
    leaves_CTVK: Floats
    anchors_CP: NDArray[Any]
    offsets_CP2: NDArray[Any]


class _Tokens:
    """Integers of a file of dlib's, read from its start to its end."""

    def __init__(self, data: bytes) -> None:
        steps = data.translate(bytes((code & 15) + 1 for code in range(256)))
        marks = bytearray(len(data))
        place = 0
        with suppress(IndexError):  # the end of the file: to ask for it at each token takes longer
            while True:
                marks[place] = 1
                place += steps[place]
        starts = np.flatnonzero(np.frombuffer(marks, np.uint8))
        padded = np.frombuffer(data + bytes(16), np.uint8)
        controls = padded[starts]
        lengths = controls & 15
        values = np.zeros(len(starts), np.int64)
        for index in range(min(int(lengths.max(initial=0)), 7)):
            byte = padded[starts + 1 + index].astype(np.int64) << (8 * index)
            values += np.where(lengths > index, byte, 0)
        self.values = np.where(controls & 128, -values, values)
        self.place = 0

    def take(self, *shape: int) -> Ints:
        """Return the next integers."""
        count = int(np.prod(shape))
        taken = self.values[self.place : self.place + count]
        if min(shape, default=0) < 0 or len(taken) < count:
            raise ValueError("it ends early")
        self.place += count
        return taken.reshape(shape)

    def one(self) -> int:
        """Return the next integer."""
        return int(self.take(1)[0])

    def floats(self, *shape: int) -> Floats:
        """Return the next floats, each a mantissa and an exponent."""
        return _floats_of(self.take(*shape, 2))


def _floats_of(pairs: Ints) -> Floats:
    floats: Floats = np.ldexp(pairs[..., 0].astype(float), pairs[..., 1].astype(np.int32))
    return floats


def read_predictor(path: Path) -> ShapePredictor:
    """Read a file of dlib's shape predictor whose trees are all of one shape.

    Raises:
        WeightsError: it is another file.
    """
    try:
        tokens = _Tokens(path.read_bytes())
        version, values = tokens.one(), -tokens.one()
        if version != 1 or values < 1 or tokens.one() != -1:
            raise ValueError("it begins otherwise")
        initial_K = tokens.floats(values)
        cascades = [_read_cascade(tokens, values) for _ in range(tokens.one())]
        anchors = [tokens.take(tokens.one()) for _ in range(tokens.one())]
        offsets = [tokens.floats(tokens.one(), 2) for _ in range(tokens.one())]
        indices, thresholds, leaves = zip(*cascades, strict=True)
        return ShapePredictor(
            initial_K,
            np.stack(indices),
            np.stack(thresholds),
            np.stack(leaves),
            np.stack(anchors),
            np.stack(offsets),
        )
    except (OSError, ValueError) as error:
        raise WeightsError(
            "not a shape predictor that can be packed",
            file=path,
            value=error,
            fix="run `python -m tasks.download`",
        ) from error


def _read_cascade(tokens: _Tokens, values: int) -> tuple[Ints, Floats, Floats]:
    """Read the trees of a cascade: indices, thresholds and leaves."""
    trees, splits = tokens.one(), tokens.one()
    tokens.place -= 1
    leaves = splits + 1
    size = 1 + 4 * splits + 1 + leaves * (2 + 2 * values)
    block = tokens.take(trees, size)
    split_TS4 = block[:, 1 : 1 + 4 * splits].reshape(trees, splits, 4)
    leaf = block[:, 2 + 4 * splits :].reshape(trees, leaves, 2 + 2 * values)
    shaped = (block[:, 0] == splits).all() and (block[:, 1 + 4 * splits] == leaves).all()
    if not (shaped and (leaf[..., 0] == -values).all()):
        raise ValueError("its trees differ in shape")
    pairs = leaf[..., 2:].reshape(trees, leaves, values, 2)
    return split_TS4[..., :2], _floats_of(split_TS4[..., 2:]), _floats_of(pairs)


def pack_predictor(source: Path, target: Path) -> None:
    """Write a file of dlib's shape predictor in the packed form.

    Raises:
        WeightsError: `source` is not a shape predictor, or has leaves too large for the format.
        OutputError: `target` cannot be written.
    """
    given = read_predictor(source)
    cascades, *_, values = given.leaves_CTVK.shape
    largest = float(np.linalg.norm(given.leaves_CTVK, axis=-1).max())
    if not 0 < largest < MAX_NORM:
        raise WeightsError(
            "leaves too large to pack",
            file=source,
            value=largest,
            limit=MAX_NORM,
            fix="give the published shape predictor",
        )
    flat = given.leaves_CTVK.reshape(-1, values)
    # columns: principal components of the displacements, the largest first
    principal = np.linalg.eigh(flat.T @ flat)[1][:, ::-1]
    basis_KK = np.rint(principal * ((1 << BASIS_BITS) - 1))
    inverse = np.linalg.inv(basis_KK / (1 << BASIS_BITS)) * (1 << STEP_BITS)
    codes = np.rint(inverse @ given.leaves_CTVK.reshape(cascades, -1, values).swapaxes(1, 2))
    # zigzag: small numbers of either sign have small codes, and their high bytes are zero
    zigzag = np.where(codes < 0, -2 * codes - 1, 2 * codes).astype(np.int64)
    arrays = {
        "initial": given.initial_K.astype(np.float32),
        "indices": given.indices_CTS2.astype(np.int16),
        "thresholds": given.thresholds_CTS.astype(np.float32),
        "anchors": given.anchors_CP.astype(np.int16),
        "offsets": given.offsets_CP2.astype(np.float32),
        "basis": basis_KK.astype(np.int16),
        "low": (zigzag & 255).astype(np.uint8),
        "high": (zigzag >> 8).astype(np.uint8),
    }
    grid = 8 * LEAF_BYTES - math.ceil(math.log2(2 * float(np.abs(given.leaves_CTVK).max())))
    digest = hashlib.sha256(predictor_bytes(_decode(arrays, grid), grid)).hexdigest()
    save_arrays(target, arrays, {"grid": grid, "sha256": digest})


def unpack_predictor(path: Path) -> bytes:
    """Return the file for dlib that a packed one stands for.

    Raises:
        CheckpointError: the packed file is missing, truncated or of another content.
    """
    arrays, meta = read_arrays(path)
    try:
        grid = int(meta["grid"])
        data = predictor_bytes(_decode(arrays, grid), grid)
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(path, error) from error
    if hashlib.sha256(data).hexdigest() != meta.get("sha256"):
        raise _damaged(path, "another digest than it states")
    return data


def unpacked_digest(path: Path) -> str:
    """Return the SHA-256, in hex, of the file that a packed one stands for, as it states.

    Raises:
        CheckpointError: the packed file is missing, truncated or of another content.
    """
    digest = read_arrays(path)[1].get("sha256")
    if not isinstance(digest, str):
        raise _damaged(path, "no digest")
    return digest


def _damaged(path: Path, found: object) -> WeightsError:
    return WeightsError(
        "not a whole packed landmark model",
        file=path,
        value=found,
        fix="install its distribution anew",
    )


def _decode(arrays: Mapping[str, NDArray[Any]], grid: int) -> ShapePredictor:
    """Return the predictor of packed arrays, its leaves rounded to multiples of 2^-grid."""
    basis_KK = arrays["basis"].astype(float)
    cascades, trees, splits = arrays["thresholds"].shape
    leaves_CTVK = np.empty((cascades, trees, splits + 1, len(basis_KK)))
    for index in range(cascades):
        zigzag = arrays["low"][index] + arrays["high"][index].astype(np.int64) * 256
        codes = np.where(zigzag & 1, -(zigzag + 1) // 2, zigzag // 2).astype(float)
        steps = np.rint(basis_KK @ codes * 2.0 ** (grid - BASIS_BITS - STEP_BITS))
        leaves_CTVK[index] = (steps * 2.0**-grid).T.reshape(leaves_CTVK.shape[1:])
    return ShapePredictor(
        arrays["initial"],
        arrays["indices"],
        arrays["thresholds"],
        leaves_CTVK,
        arrays["anchors"],
        arrays["offsets"],
    )


def predictor_bytes(predictor: ShapePredictor, grid: int) -> bytes:
    """Return dlib's file of a predictor, its leaves in multiples of 2^-grid."""
    cascades, trees, _, values = predictor.leaves_CTVK.shape
    parts = [_ints(np.array([1, -values, -1])), _floats(predictor.initial_K), _size(cascades)]
    for index in range(cascades):
        parts += [_size(trees), _trees(predictor, index, grid)]
    for rows, write in ((predictor.anchors_CP, _ints), (predictor.offsets_CP2, _floats)):
        parts.append(_size(len(rows)))
        for row in rows:
            parts += [_size(len(row)), write(row)]
    return b"".join(part.tobytes() for part in parts)


def _trees(predictor: ShapePredictor, index: int, grid: int) -> Bytes:
    """Return the bytes of the trees of a cascade, a row each."""
    leaves_TVK = np.rint(predictor.leaves_CTVK[index] * 2.0**grid).astype(np.int64)
    trees, leaves, values = leaves_TVK.shape
    indices_TS6 = _ints(predictor.indices_CTS2[index]).reshape(trees, leaves - 1, -1)
    splits = np.concatenate([indices_TS6, _floats(predictor.thresholds_CTS[index])], -1)
    shapes = _ints(np.broadcast_to(np.array([-values, -1]), (trees, leaves, 2)))
    exponents = _ints(np.full(leaves_TVK.shape, -grid), 1)
    cells = np.concatenate([_ints(leaves_TVK, LEAF_BYTES), exponents], -1)
    shaped = [part.reshape(trees, leaves, -1) for part in (shapes, cells)]
    fields = [
        _ints(np.full(trees, leaves - 1)),
        splits.reshape(trees, -1),
        _ints(np.full(trees, leaves)),
        np.concatenate(shaped, -1).reshape(trees, -1),
    ]
    return np.concatenate(fields, -1)


def _size(count: int) -> Bytes:
    return _ints(np.array([count]))


def _ints(values: NDArray[Any], width: int = INT_BYTES) -> Bytes:
    """Return dlib's form of integers, one more axis: sign and length, then the magnitude."""
    wide = values.astype(np.int64)
    if np.abs(wide).max(initial=0) >= 1 << 8 * width:
        raise ValueError("a number too large for its bytes")
    out = np.empty((*wide.shape, 1 + width), np.uint8)
    out[..., 0] = np.where(wide < 0, 128 + width, width)
    for index in range(width):
        out[..., 1 + index] = (np.abs(wide) >> (8 * index)) & 255
    return out


def _floats(values: NDArray[Any]) -> Bytes:
    """Return dlib's form of floats, one more axis: mantissa and exponent as integers."""
    shares, exponents = np.frexp(values.astype(float))
    mantissas = np.rint(shares * (1 << MANTISSA_BITS)).astype(np.int64)
    pair = [_ints(mantissas, FLOAT_BYTES), _ints(exponents - MANTISSA_BITS, 1)]
    return np.concatenate(pair, -1)

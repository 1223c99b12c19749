"""Tables of latent codes in parquet: one row per image, with latent space and generator digest.

Legend of shape suffixes: N image, L row of the code matrix, D style width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn

from dualstylegan.errors import DataError
from dualstylegan.io.tables import read_table, require_arrow, write_table
from dualstylegan.networks.generator import Space


@dataclass(frozen=True)
class CodeTable:
    """Latent codes of named images.

    Attributes:
        names: N unique names: file names of the images without suffix.
        image_sha256: digest of each image file.
        space: "z", "w", "z_plus" or "w_plus".
        codes_NLD: float32; L is 1 for z and w.
        generator_digest: digest of the codes' generator, see `digest`.
        losses: columns of losses of the codes, by name.
    """

    names: tuple[str, ...]
    image_sha256: tuple[str, ...]
    space: Space
    codes_NLD: Tensor
    generator_digest: str
    losses: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.names)
        lengths = {len(self.image_sha256), len(self.codes_NLD), *map(len, self.losses.values())}
        if lengths != {n} or len(set(self.names)) != n or self.codes_NLD.ndim != 3:
            raise DataError(
                "columns of a code table differ in length, or names repeat",
                value=f"{n} names",
                fix="give each name once, with one digest, one code and one loss of each kind",
            )

    def select(self, names: Sequence[str]) -> Tensor:
        """Return the codes (N, L, D) of the named images.

        Raises:
            DataError: a name is not in the table.
        """
        missing = [name for name in names if name not in self.names]
        if missing:
            raise DataError(
                "no codes for these images",
                value=", ".join(missing[:5]),
                fix="run the stage that computes the codes",
            )
        return self.codes_NLD[[self.names.index(name) for name in names]]


def digest(network: nn.Module) -> str:
    """Compute the SHA-256 of a network's state, as hex: equal weights, equal digest."""
    result = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        result.update(name.encode())
        result.update(_bytes(tensor))
    return result.hexdigest()


def digest_codes(codes_NLD: Tensor) -> str:
    """Compute the SHA-256 of codes, as hex: equal numbers, equal digest."""
    return hashlib.sha256(_bytes(codes_NLD)).hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data


def write_codes(path: Path | str, table: CodeTable) -> None:
    """Write a table of codes, see `write_table`."""
    require_arrow()
    import pyarrow as pa

    rows, width = table.codes_NLD.shape[1:]
    flat = table.codes_NLD.detach().cpu().to(torch.float32).reshape(-1).numpy()
    columns = {
        "name": pa.array(table.names, pa.string()),
        "image_sha256": pa.array(table.image_sha256, pa.string()),
        "code": pa.FixedSizeListArray.from_arrays(pa.array(flat), rows * width),
        **{f"loss_{k}": pa.array(list(v), pa.float32()) for k, v in table.losses.items()},
    }
    meta = {
        "space": table.space,
        "rows": str(rows),
        "width": str(width),
        "generator_digest": table.generator_digest,
    }
    write_table(path, pa.table(columns).replace_schema_metadata(meta))


def read_codes(path: Path | str) -> CodeTable:
    """Read a table of codes.

    Raises:
        DataError: the file is missing, damaged or not a table of codes, or pyarrow is missing.
    """
    table = read_table(path)
    try:
        meta = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        rows, width, space = int(meta["rows"]), int(meta["width"]), meta["space"]
        flat = table["code"].combine_chunks().flatten().to_numpy()
        codes = torch.from_numpy(flat.copy()).view(-1, rows, width)
    except (KeyError, ValueError, RuntimeError, AttributeError) as error:
        raise DataError(
            "not a table of codes", file=path, value=error, fix="run the stage that writes it again"
        ) from error
    if space not in get_args(Space):
        raise DataError(
            "unknown latent space",
            file=path,
            value=space,
            limit=get_args(Space),
            fix="run the stage that writes it again",
        )
    losses = {c[5:]: table[c].to_pylist() for c in table.column_names if c.startswith("loss_")}
    return CodeTable(
        tuple(table["name"].to_pylist()),
        tuple(table["image_sha256"].to_pylist()),
        space,
        codes,
        meta.get("generator_digest", ""),
        losses,
    )

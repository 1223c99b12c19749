"""Packed landmark model: dlib reads what it unpacks to, and damage is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlib
import numpy as np
import pytest

from dualstylegan.errors import CheckpointError, OutputError, WeightsError
from dualstylegan.faces.landmarks import PREDICTOR_FILE
from dualstylegan.portrait.face_weights import FACE_FILES, PACKED_FILE, require_weights
from dualstylegan.portrait.packed_landmarks import (
    pack_predictor,
    read_predictor,
    unpack_predictor,
)
from tests.support.shape_predictors import tiny_predictor


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Return a folder of weights with a packed landmark model."""
    folder = tmp_path / "faces"
    pack_predictor(tiny_predictor(tmp_path / PREDICTOR_FILE), folder / PACKED_FILE)
    (folder / "yunet.onnx").write_bytes(b"a detector")
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DUALSTYLEGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def landmarks(path: Path, seed: int) -> Any:
    """Return the landmarks that dlib predicts in a picture of noise."""
    picture = np.random.default_rng(seed).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    found = dlib.shape_predictor(str(path))(picture, dlib.rectangle(40, 40, 160, 160))
    return np.array([(point.x, point.y) for point in found.parts()])


def test_the_reader_returns_what_the_file_holds(tmp_path: Path) -> None:
    """Read the form that dlib itself writes, in fewer bytes per number, as well."""
    ours = tiny_predictor(tmp_path / "ours.dat")
    dlib.shape_predictor(str(ours)).save(str(tmp_path / "dlibs.dat"))
    read = [vars(read_predictor(tmp_path / name)) for name in ("ours.dat", "dlibs.dat")]
    assert (tmp_path / "dlibs.dat").stat().st_size < ours.stat().st_size
    for name, value in read[0].items():
        np.testing.assert_array_equal(value, read[1][name])


def test_landmarks_stay_within_a_pixel(tmp_path: Path, packed: Path) -> None:
    unpacked = tmp_path / "unpacked.dat"
    unpacked.write_bytes(unpack_predictor(packed / PACKED_FILE))
    leaves = [read_predictor(p).leaves_CTVK for p in (tmp_path / PREDICTOR_FILE, unpacked)]
    assert 0 < np.abs(leaves[0] - leaves[1]).max() < 2**-13
    for seed in range(5):
        moved = landmarks(tmp_path / PREDICTOR_FILE, seed) - landmarks(unpacked, seed)
        assert np.abs(moved).max() <= 1


def test_it_is_unpacked_once_and_again_where_the_cache_was_damaged(
    packed: Path, cache: Path
) -> None:
    folder = require_weights(packed, *FACE_FILES)
    file = folder / PREDICTOR_FILE
    assert folder.parent == cache
    content, written = file.read_bytes(), file.stat().st_mtime_ns
    assert require_weights(packed, *FACE_FILES) == folder
    assert file.stat().st_mtime_ns == written
    file.write_bytes(content[:-1])
    require_weights(packed, *FACE_FILES)
    assert file.read_bytes() == content


def test_a_cache_that_cannot_be_written_is_told_with_the_fix(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DUALSTYLEGAN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match="set DUALSTYLEGAN_CACHE to a folder"):
        require_weights(packed, *FACE_FILES)


def test_damage_is_told(packed: Path, cache: Path) -> None:
    file = packed / PACKED_FILE
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    for damaged in (content, content[:-10]):
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="safetensors file"):
            require_weights(packed, *FACE_FILES)


@pytest.mark.parametrize("content", [b"", b"not a predictor", b"\x01\x01\x81\x88\x81\x01"])
def test_another_file_is_not_packed(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / PREDICTOR_FILE
    source.write_bytes(content)
    with pytest.raises(WeightsError, match="not a shape predictor"):
        pack_predictor(source, tmp_path / PACKED_FILE)
    assert not (tmp_path / PACKED_FILE).exists()


def test_leaves_too_large_are_refused(tmp_path: Path) -> None:
    source = tiny_predictor(tmp_path / PREDICTOR_FILE, scale=0.2)
    with pytest.raises(WeightsError, match="leaves too large to pack"):
        pack_predictor(source, tmp_path / PACKED_FILE)

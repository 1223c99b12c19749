"""Damage on disk: each flipped bit of a state, a table or a kept item is noticed when read."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import safetensors
import torch
from safetensors.torch import save_file

from dualstylegan.cli.verify import verify_folder
from dualstylegan.codes.tables import CodeTable, read_codes, write_codes
from dualstylegan.errors import DualStyleGANError
from dualstylegan.io.checkpoints import load_state, load_tensors, save_state, save_tensors
from dualstylegan.io.seals import BLANK, is_whole, sealed
from dualstylegan.networks.config import CARD_FILE
from dualstylegan.portrait.half import write_half
from dualstylegan.portrait.model import PortraitModel
from tasks.shared.caching import Entry, read_entry, write_entry
from tasks.shared.dataframes import read_dataframe, write_dataframe
from tests.support.command import run
from tests.support.portrait_models import STYLE_NAMES, tiny_model, with_sampler

FLIPS = 150
TENSORS = {"body": torch.linspace(-1, 1, 300), "count": torch.arange(5)}


def _state(path: Path) -> None:
    save_state(path, {"step": 7, "adam": [TENSORS, {"rate": 0.5}], "done": None})


def _frame(path: Path) -> None:
    rows = {"name": ["a", "b", None], "loss": [0.25, float("nan"), 3.0], "quad": [[1.0], [], [2.0]]}
    write_dataframe(path, pd.DataFrame(rows))


def _codes(path: Path) -> None:
    codes = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1))
    digest = hashlib.sha256(b"").hexdigest()
    losses = {"pixel": [0.5, 0.25]}
    write_codes(path, CodeTable(("a", "b"), (digest, digest), "z_plus", codes, digest, losses))


KINDS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "state": (_state, load_state),
    "weights": (lambda path: save_tensors(path, TENSORS), load_tensors),
    "frame": (_frame, read_dataframe),
    "codes": (_codes, read_codes),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_flipped_bit_ends_in_a_typed_error(kind: str, tmp_path: Path) -> None:
    write, read = KINDS[kind]
    path = tmp_path / "file"
    write(path)
    read(path)
    whole = path.read_bytes()
    draw = random.Random(kind)
    places = draw.sample(range(len(whole) * 8), min(FLIPS, len(whole) * 8))
    # the seal itself is no blind spot
    places += [
        (whole.index(b"dualstylegan-sha256:") + at) * 8 + draw.randrange(8) for at in (0, 9, 30)
    ]
    for place in places:
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        if kind == "weights" and is_whole(path) is None:
            continue  # a seal that is no longer one makes the file another program's
        with pytest.raises(DualStyleGANError, match="; fix: ") as caught:
            read(path)
        assert caught.value.file == str(path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_shortened_file_ends_in_a_typed_error(kind: str, tmp_path: Path) -> None:
    write, read = KINDS[kind]
    path = tmp_path / "file"
    write(path)
    whole = path.read_bytes()
    for length in sorted({0, 1, 7, 8, len(whole) // 3, len(whole) // 2, len(whole) - 1}):
        path.write_bytes(whole[:length])
        with pytest.raises(DualStyleGANError):
            read(path)


@pytest.mark.parametrize("kind", KINDS)
def test_same_content_gives_same_bytes(kind: str, tmp_path: Path) -> None:
    write, _ = KINDS[kind]
    for name in "abc":
        write(tmp_path / name)
    assert len({(tmp_path / name).read_bytes() for name in "abc"}) == 1


def test_damaged_facts_or_bytes_of_a_kept_item_are_made_anew(tmp_path: Path) -> None:
    write_entry(tmp_path, "key", Entry(b"pixels" * 20, {"score": 0.5, "flags": ["small"]}))
    for path in (tmp_path / "key.json", tmp_path / "key.bin"):
        whole = path.read_bytes()
        for place in random.Random(path.name).sample(range(len(whole) * 8), FLIPS):
            damaged = bytearray(whole)
            damaged[place // 8] ^= 1 << place % 8
            path.write_bytes(damaged)
            found = read_entry(tmp_path, "key")
            # JSON has blanks whose change means nothing
            assert found is None or found.facts == {"score": 0.5, "flags": ["small"]}
        path.write_bytes(whole)
    assert read_entry(tmp_path, "key") is not None


def test_an_item_without_bytes_is_kept_too(tmp_path: Path) -> None:
    write_entry(tmp_path, "key", Entry(None, {"refused": "no face"}))
    assert read_entry(tmp_path, "key") == Entry(None, {"refused": "no face"})


def test_a_file_has_one_seal() -> None:
    for data in (b"none", (BLANK * 2).encode()):
        with pytest.raises(ValueError, match="blank seal"):
            sealed(data)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    with_sampler(tiny_model()).save_pretrained(folder)
    return folder


def test_every_flipped_bit_of_a_model_folder_is_noticed_when_it_is_loaded(model: Path) -> None:
    draw = random.Random(3)
    # the card is for people, who edit it
    files = sorted(p for p in model.rglob("*") if p.is_file() and p.name != CARD_FILE)
    assert len(files) > len(STYLE_NAMES)
    PortraitModel.from_pretrained(model)
    for path in files:
        whole = path.read_bytes()
        places = draw.sample(range(len(whole) * 8), 5)
        places += [8 * at + 1 for at in [whole.find(b"stylegan-sha256")] if at >= 0]
        for place in places:
            damaged = bytearray(whole)
            damaged[place // 8] ^= 1 << place % 8
            path.write_bytes(damaged)
            with pytest.raises(DualStyleGANError, match="; fix: "):
                PortraitModel.from_pretrained(model)
            with pytest.raises(DualStyleGANError):
                verify_folder(model)
        path.write_bytes(whole)
    PortraitModel.from_pretrained(model)


def test_verify_names_what_is_damaged_missing_and_foreign(model: Path, tmp_path: Path) -> None:
    assert run("verify", model).status == 0
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    (copy / "notes.txt").write_text("mine")
    (copy / "thumbnails/stone.jpg").unlink()
    with (copy / "model.safetensors").open("ab") as handle:
        handle.write(b"x")
    done = run("verify", copy)
    assert done.status == 2
    for told in (
        "thumbnails/stone.jpg: a file of the model is missing",
        "notes.txt: not a file of the",
    ):
        assert told in done.stderr
    assert "model.safetensors: a damaged file" in done.stderr


def test_a_folder_made_before_listings_loads_and_cannot_be_verified(
    model: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "old")
    (tmp_path / "old/files.json").unlink()
    PortraitModel.from_pretrained(tmp_path / "old")
    with pytest.raises(DualStyleGANError, match="does not say what its files were"):
        verify_folder(tmp_path / "old")


def test_an_older_folder_without_seals_has_a_half_form(model: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(model, old)
    (old / "files.json").unlink()
    for path in old.glob("*.safetensors"):
        with safetensors.safe_open(str(path), "pt") as file:
            meta = {key: text for key, text in file.metadata().items() if key != "seal"}
        save_file(load_tensors(path), path, meta)
        assert is_whole(path) is None
    write_half(old, tmp_path / "half")
    verify_folder(tmp_path / "half")
    PortraitModel.from_pretrained(tmp_path / "half")

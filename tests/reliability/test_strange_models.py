"""Model folders of strangers: whatever stands in them is refused in a sentence, at once."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualstylegan.errors import DualStyleGANError
from dualstylegan.networks.listing import LISTING_FILE
from dualstylegan.portrait.model import PortraitModel
from tests.support.command import run
from tests.support.portrait_models import tiny_model

Edit = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strange") / "model"
    tiny_model().save_pretrained(folder)
    (folder / LISTING_FILE).unlink()
    return folder


def _config(path: str, value: Any) -> Edit:
    """Return an edit of config.json that sets a value by its dotted path."""

    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        *parents, key = path.split(".")
        place = config
        for parent in parents:
            place = place[parent]
        place[key] = value
        (folder / "config.json").write_text(json.dumps(config))

    return edit


def _text(text: str) -> Edit:
    return lambda folder: (folder / "config.json").write_text(text)


def _sparse(name: str, length: int) -> Edit:
    def edit(folder: Path) -> None:
        with (folder / name).open("wb") as handle:
            handle.truncate(length)

    return edit


def _pipe(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


EDITS: dict[str, Edit] = {
    "a million channels": _config("network.generator.channels", [10**6, 8, 8, 8]),
    "negative channels": _config("network.generator.channels", [-5, 8, 8, 8]),
    "no channels": _config("network.generator.channels", [0, 0, 0, 0]),
    "channels without end": _config("network.generator.channels", [8] * 1000),
    "wide blocks": _config("network.res_hidden", 10**9),
    "a high rank": _config("network.tone_rank", 10**7),
    "lists in lists": _text("[" * 200_000),
    "a long integer": _text('{"format":' + "9" * 5000 + "}"),
    "zeros": _text("\0" * 100),
    "half a character": _config("styles", ["\ud800a", "b", "c", "d"]),
    "many styles": _config("styles", [str(number) for number in range(20_000)]),
    "a long name": _config("styles", ["x" * 100_000, "b", "c", "d"]),
    "a pipe": _pipe,
    "a large config": _sparse("config.json", 3 << 30),
    "a large card": _sparse("README.md", 3 << 30),
    "a large licence": _sparse("LICENSE.md", 3 << 30),
    "a large thumbnail": _sparse("thumbnails/stone.jpg", 6 << 30),
    "a large picture": _sparse("fits.jpg", 3 << 30),
}


@pytest.mark.parametrize("kind", EDITS)
def test_a_strange_model_is_refused_in_a_sentence(whole: Path, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    EDITS[kind](folder)
    start = time.process_time()
    with pytest.raises(DualStyleGANError) as caught:
        PortraitModel.from_pretrained(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert run("styles", folder).status in (0, 2)
    assert time.process_time() - start < 5


def test_a_thumbnail_that_links_to_itself_is_none(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    (folder / "thumbnails/stone.jpg").unlink()
    (folder / "thumbnails/stone.jpg").symlink_to("stone.jpg")
    assert "stone" not in PortraitModel.from_pretrained(folder).thumbnails


def test_names_that_people_give_are_taken(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    label = "Mona\u00a0Lisa \u3000 " + "\u00e9" * 200
    _config("labels", {"stone": label})(folder)
    assert PortraitModel.from_pretrained(folder).config.labels == {"stone": label}

"""Model folders of strangers: whatever stands in them is refused in a sentence, at once."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from dualstylegan.portrait.model import PortraitModel
from tests.reliability.measuring import outcome
from tests.reliability.strange_models import EDITS, edited, whole_model
from tests.support.command import run

# Odd and harmless: a number as text, names that no path is made of, thumbnails and listings that
# are passed over.
READABLE = {
    "text for a number",
    "styles outside",
    "styles of nothing",
    "one style twice",
    "styles of control characters",
    "styles that write backwards",
    "a name of lines",
    "a thumbnail of a pipe",
    "a thumbnail of a device",
    "a thumbnail of text",
    "a listing of a pipe",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_model(tmp_path_factory.mktemp("strange") / "model")


@pytest.mark.parametrize("kind", EDITS)
def test_a_strange_model_is_refused_in_a_sentence_unless_it_is_harmless(
    whole: Path, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    EDITS[kind](folder)
    start = time.process_time()
    expected = "done" if kind in READABLE else "refused"
    assert outcome(lambda: PortraitModel.from_pretrained(folder)) == expected
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
    edited("labels", {"stone": label})(folder)
    assert PortraitModel.from_pretrained(folder).config.labels == {"stone": label}

"""README and map keep their word: every room is in the tree, every file they name is there."""

from __future__ import annotations

import re
import runpy

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def test_the_map_is_that_of_the_modules() -> None:
    shown = runpy.run_path(str(ROOT / "docs" / "make_map.py"))["page"]()
    assert (ROOT / "docs" / "map.md").read_text() == shown, "run `python docs/make_map.py`"


def test_every_room_is_in_the_tree() -> None:
    tree = next(block for block in README.split("```") if "dualstylegan/ " in block)
    for package in ("dualstylegan", "tasks", "flows"):
        for path in (ROOT / package).rglob("__init__.py"):
            assert f"{path.parent.name}/" in tree, path


def test_pictures_pages_and_commands_are_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).is_file(), target
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make (\w+)", README, re.MULTILINE)) <= targets

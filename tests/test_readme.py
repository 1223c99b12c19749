"""The README keeps its word: every module is in its tree, every file it names is there."""

from __future__ import annotations

import ast
import re

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def test_every_module_is_in_the_tree_with_what_it_says_of_itself() -> None:
    for package in ("dualstylegan", "tasks", "flows"):
        for path in (ROOT / package).rglob("*.py"):
            name = f"{path.parent.name}/" if path.name == "__init__.py" else path.name
            summary = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]
            line = rf"^ *{re.escape(name)} +{re.escape(summary)}$"
            assert re.search(line, README, re.MULTILINE), path


def test_pictures_pages_and_commands_are_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).is_file(), target
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make (\w+)", README, re.MULTILINE)) <= targets

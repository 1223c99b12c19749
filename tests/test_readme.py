"""README, map and the files beside them hold true: names exist, code runs.

Commands run in tests/docs/test_commands.py.
"""

from __future__ import annotations

import re
import runpy
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

from dualstylegan import __version__
from tests.conftest import ROOT
from tests.support.portrait_models import tiny_model
from tests.support.shell_blocks import blocks

README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
PAGES = {"README.md": README, "CONTRIBUTING.md": CONTRIBUTING}
# Rooms that a reader must find from the tree of folders alone, and the word that leads there.
SIGNPOSTS = {
    "faces/": "alignment",
    "networks/": "extrinsic path",
    "finetuning/": "losses",
    "codes/": "inversion",
    "portrait/": "added at run time",
    "shared/": "settings",
    "weights/": "download",
    "pages/": "report",
    "serving/": "MLflow",
    "published/": "checkpoints",
}


def tree() -> dict[str, str]:
    """Return the lines of the source tree: description by name."""
    (block,) = (b for b in blocks(README, "") if b.startswith("dualstylegan/ "))
    rows = [re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in block.splitlines()]
    return {name: text for name, text in rows if name}


def test_the_map_is_that_of_the_modules() -> None:
    shown = runpy.run_path(str(ROOT / "docs" / "make_map.py"))["page"]()
    assert (ROOT / "docs" / "map.md").read_text() == shown, "run `python docs/make_map.py`"


def test_the_chart_is_that_of_the_graph() -> None:
    redrawn = runpy.run_path(str(ROOT / "docs" / "make_graph.py"))["with_chart"](README)
    assert redrawn == README, "run `python docs/make_graph.py`"
    assert "finetune --> refine" in redrawn


def test_every_room_is_in_the_tree() -> None:
    for package in ("dualstylegan", "tasks", "flows"):
        for path in (ROOT / package).rglob("__init__.py"):
            assert f"{path.parent.name}/" in tree(), path
    for name, word in SIGNPOSTS.items():
        assert word in tree()[name], name
    for names in tree():
        for name in names.split(", "):
            assert any(ROOT.glob(f"**/{name}")), name


def test_links_lead_to_files() -> None:
    for page in PAGES.values():
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page):
            assert (ROOT / target).is_file(), target


def test_the_first_snippet_restyles_a_photo(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (snippet,) = blocks(README, "python")
    assert len(snippet.splitlines()) <= 12
    model = tiny_model(resolution=256)
    model.weights_dir = weights
    model.save_pretrained(tmp_path / "data/sets/demo/models/portrait")
    shutil.copy(weights / "astronaut.png", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "README.md", "exec"), {})
    names = ("restyled", "subtle", "in-place", "mixed")
    assert len({Path(f"{name}.png").read_bytes() for name in names}) == 4


def test_version_and_licence_stand_alike_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == __version__
    assert project["license"] == citation["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert f"[{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_hooks_need_no_network() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]
    assert {hook["language"] for hook in hooks["repos"][0]["hooks"]} == {"system"}


def test_modules_and_pages_named_in_the_docs_are_there() -> None:
    """Paths of the project in backticks, as they stand in README and docs."""
    named = re.compile(
        r"`((?:dualstylegan|tasks|flows|benchmarks|docs|profiles|schemas|tests)/[\w./-]+)`"
    )
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    paths = {(page.name, path) for page in pages for path in named.findall(page.read_text())}
    assert len(paths) > 20  # the pattern still finds what it is to hold
    assert {(page, path) for page, path in paths if not (ROOT / path).exists()} == set()

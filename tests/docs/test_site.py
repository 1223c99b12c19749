"""The documentation's site: it builds without a warning, needs no network, and can be searched."""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
import yaml

from docs.site.flowchart import draw, lay_out, layers, order, read_chart
from docs.site.navigation import NAVIGATION, PAGES
from dualstylegan import PortraitModel
from dualstylegan.cli import build_app
from dualstylegan.studio.openapi import document
from tests.conftest import ROOT
from tests.support.browser import CHROMIUM, Tab, browser
from tests.support.shell_blocks import pages

CONFIG = ROOT / "docs" / "site"
BROKEN = """# Title

[A page](nowhere.md), [a heading](#no-heading), a formula $\\nonesuch{x}$

```mermaid
flowchart LR
  a -> b
```
"""
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


def build(source: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Build a site as `make docs` does."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", str(CONFIG)]
    command += ["-d", str(out.with_name(f"{out.name}-doctrees")), *options, str(source), str(out)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the built site; the first worker that needs it builds it for all."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    out, done = shared / "site", shared / "site.done"
    with (shared / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            built = build(ROOT, out)
            assert built.returncode == 0, built.stderr
            done.touch()
    return out


class Loads(HTMLParser):
    """Addresses that a page loads by itself, in the order of its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag loads."""
        address = dict(attrs).get(LOADED.get(tag, ""))
        if address is not None:
            self.found.append(address)


def text_of(page: Path) -> str:
    """Return the text of a page without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.read_text()))


def test_every_page_is_in_the_navigation() -> None:
    left_out = {"portraits/README.md"}
    assert {f"{page}.md" for page in PAGES} == {*pages(ROOT)} - left_out
    assert len(PAGES) == len({*PAGES})
    assert [*NAVIGATION] == ["Start", "Tutorial", "How-to", "Method", "Reference", "Project"]


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    files = [*site.rglob("*.html")]
    assert len(files) > len(PAGES)
    for page in files:
        for address in Loads(page.read_text()).found:
            assert not re.match(r"(\w+:)?//", address), (page, address)
    for sheet in site.rglob("*.css"):
        assert re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", sheet.read_text()) == [], (
            sheet
        )
    assert 'url=docs/README.html"' in (site / "index.html").read_text()


def test_the_reference_has_every_command_setting_address_and_method(site: Path) -> None:
    folder = site / "docs" / "reference"
    group = typer.main.get_command(build_app())
    assert isinstance(group, typer.core.TyperGroup)
    commands = text_of(folder / "commands.html")
    for name, command in group.commands.items():
        assert f"dualstylegan {name}" in commands
        for parameter in command.params:
            if isinstance(parameter, typer.core.TyperOption) and not parameter.hidden:
                assert parameter.opts[0] in commands, (name, parameter.opts)
    settings = text_of(folder / "settings.html")
    for section, values in yaml.safe_load((ROOT / "params.yaml").read_text()).items():
        assert section in settings
        for key in values:
            assert key in settings, key
    assert "learning rate of the extrinsic path" in settings
    assert "number, above 0, at most 0.1" in settings
    rest = text_of(folder / "rest.html")
    for path in document()["paths"]:
        assert path in rest
    python = (folder / "python.html").read_text()
    for name in vars(PortraitModel):
        if not name.startswith("_"):
            assert f'id="dualstylegan.PortraitModel.{name}"' in python, name
    for name in ("dualstylegan.add_style", "dualstylegan.StyleLibrary.index"):
        assert f'id="{name}"' in python
    assert 'id="dualstylegan.errors.FaceError"' in python


def test_formulas_and_charts_need_no_script(site: Path) -> None:
    method, overview = (site / "docs/method.html").read_text(), (site / "README.html").read_text()
    assert method.count('<math xmlns="http://www.w3.org/1998/Math/MathML"') > 20
    assert "\\mathcal" not in re.sub(r"<[^>]+>", "", method)
    assert method.count("<svg viewBox") == 1
    assert "finetune leads to refine" in overview
    assert not any("mathjax" in address.lower() for address in Loads(method).found)


def test_what_is_broken_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "README.md").write_text(BROKEN)
    only = ("-D", "include_patterns=docs/README.md", "-D", "suppress_warnings=toc")
    built = build(tmp_path, tmp_path / "out", *only)
    assert built.returncode != 0
    for told in ("'nowhere.md'", "'no-heading'", '"\\nonesuch"', "not an arrow:   a -> b"):
        assert told in built.stderr


def test_a_chart_is_drawn_in_layers() -> None:
    text = 'flowchart LR\n  a["start"] --> b\n  b --> c\n  a --> c\n'
    arrows, labels = read_chart(text)
    assert arrows == [("a", "b"), ("b", "c"), ("a", "c")]
    assert labels == {"a": "start", "b": "b", "c": "c"}
    assert layers(arrows) == {"a": 0, "b": 1, "c": 2}
    # the arrow from a to c passes the column of b beside it
    assert {*order(layers(arrows), arrows)[1]} == {"b", ("a", "c")}
    assert "start leads to c" in draw(text)
    assert not lay_out(order(layers(arrows), arrows), labels).downwards


def test_a_long_chart_goes_downwards() -> None:
    names = [f"a_stage_of_a_long_name_{i}" for i in range(9)]
    arrows, labels = read_chart(
        "flowchart LR\n" + "\n".join(f"{a} --> {b}" for a, b in itertools.pairwise(names))
    )
    layout = lay_out(order(layers(arrows), arrows), labels)
    assert layout.downwards
    assert layout.size[0] < 760
    heights = [layout.middle[i, name][1] for i, name in enumerate(names)]
    assert heights == sorted(heights)
    assert len({layout.middle[i, name][0] for i, name in enumerate(names)}) == 1


def test_a_chart_without_an_order_is_refused() -> None:
    with pytest.raises(ValueError, match="cycle"):
        layers([("a", "b"), ("b", "a")])


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """Return a tab of a browser."""
    with browser(tmp_path_factory.mktemp("profile")) as running, running.tab() as opened:
        yield opened


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_site_is_read_and_searched_without_a_server(site: Path, tab: Tab) -> None:
    for name in ("docs/method", "docs/reference/python", "README", "docs/tutorial"):
        for width, height, dark in ((1280, 900, False), (390, 800, True)):
            tab.look(width, height, dark=dark, touch=dark)
            tab.open(f"file://{site}/{name}.html")
            assert tab.ask("document.documentElement.scrollWidth") <= width, name
            light = tab.ask(
                "getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] > 128"
            )
            assert light is not dark
    tab.open(f"file://{site}/search.html?q=destylization")
    tab.until("document.querySelectorAll('#search-results li').length > 3")
    assert "From the paper to the code" in tab.text()
    assert tab.complaints == []
    assert {address.partition(":")[0] for address in tab.asked} <= {"file", "data"}

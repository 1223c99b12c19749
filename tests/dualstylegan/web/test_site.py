"""The static site in a real browser: Python's pictures, no other host, no network needed."""

from __future__ import annotations

import base64
import io
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.result import facts_of
from dualstylegan.web.exporter import SITE, STUDIO
from tests.support.browser import CHROMIUM, Browser, Tab, browser
from tests.support.cameras import moving_face, write_camera
from tests.support.exported_sites import PX, ExportedSite, exported_site, halved
from tests.support.portrait_models import STYLE_NAMES
from tests.support.sites import HELPERS, ISOLATED, served

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium binary on this machine")
READY = "document.body?.dataset.provider"
SAID = "document.querySelector('#status').textContent"
SHOWN = "document.querySelector('#view').dataset.px"
DONE = f"/Hold the/.test({SAID}) && {SHOWN} == {PX}"
ERROR = "document.querySelector('#error')"
PREFIX = "/some/where"
# Chromium says so where a page asks whether there is a graphics processor.
NO_GPU = "No available adapters."
LOADING = 120


@pytest.fixture(scope="module")
def made(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportedSite:
    return exported_site(tmp_path_factory.getbasetemp().parent, weights)


@pytest.fixture(scope="module")
def site(made: ExportedSite) -> Path:
    return made.site


@pytest.fixture(scope="module")
def photo(weights: Path) -> Path:
    return weights / "astronaut.png"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory, photo: Path) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("browser")
    frames = moving_face(Image.open(photo).convert("RGB"))
    with browser(folder / "profile", write_camera(folder / "camera.mjpeg", frames)) as running:
        yield running


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Tab]:
    with chromium.tab() as tab:
        yield tab


def enter(tab: Tab, address: str) -> None:
    """Open the page and wait until its networks are open."""
    tab.open(address)
    tab.until(READY, LOADING)
    tab.ask(HELPERS)


def complaints(tab: Tab) -> list[str]:
    return [said for said in tab.complaints if said != NO_GPU]


def test_a_first_visit_shows_pythons_picture_and_a_second_needs_no_network(
    tab: Tab,
    made: ExportedSite,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From a plain server, below a path, without a header: several threads all the same."""
    monkeypatch.setenv("DUALSTYLEGAN_CACHE", str(tmp_path / "cache"))
    with served(made.site, prefix=PREFIX) as running:
        enter(tab, running.address)
        assert tab.ask("crossOriginIsolated")
        assert float(tab.ask("document.body.dataset.difference")) < 0.001
        assert int(tab.ask("document.body.dataset.threads")) > 1
        tab.give("#file", photo)
        tab.until(DONE, LOADING)
        tab.slide("#structure", 60)
        tab.until(DONE)
        tab.save_to(tmp_path)
        tab.click("#download")
        found = Image.open(wait_for(tmp_path, "*.png"))
        assert complaints(tab) == []
        own = re.compile(rf"(blob:)?{running.address.removesuffix(f'{PREFIX}/')}/")
        assert [url for url in tab.asked if not own.match(url)] == []
    model = halved(PortraitModel.from_pretrained(made.model))
    with pytest.warns(match="may not be recognised"):
        wanted = model.transfer(
            Image.open(photo).convert("RGB"), STYLE_NAMES[0], structure=0.6, size=PX
        )
    assert found.mode == "RGB"
    assert np.abs(np.asarray(found, int) - np.asarray(wanted, int)).max() <= 2
    same = ("model", "photo", "style", "structure", "color", "truncation", "size", "fit_steps")
    facts, expected = facts_of(found), facts_of(wanted)
    for name in same:
        assert facts[f"dualstylegan:{name}"] == expected[f"dualstylegan:{name}"]
    likeness = [float(x["dualstylegan:likeness"]) for x in (facts, expected)]
    assert likeness[0] == pytest.approx(likeness[1], abs=0.002)
    # nobody serves any more
    enter(tab, running.address)
    tab.give("#file", photo)
    tab.until(DONE, LOADING)


def wait_for(folder: Path, pattern: str) -> Path:
    """Wait for a download and return its file."""
    end = time.monotonic() + 20
    while not (files := list(folder.glob(pattern))):
        assert time.monotonic() < end, list(folder.iterdir())
        time.sleep(0.05)
    return files[0]


def test_mixes_and_kept_colours_are_pythons_on_one_thread_as_well(
    tab: Tab,
    made: ExportedSite,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither a service worker nor headers, as where pages are not secure: nothing is shared."""
    monkeypatch.setenv("DUALSTYLEGAN_CACHE", str(tmp_path))
    hidden = "Object.defineProperty(Navigator.prototype, 'serviceWorker', {get: () => undefined})"
    with served(made.site) as running:
        tab.call("Page.addScriptToEvaluateOnNewDocument", source=hidden)
        enter(tab, running.address)
        assert tab.ask("document.body.dataset.threads") == "1"
        data = base64.b64encode(photo.read_bytes()).decode()
        query = "size=64&format=png&structure=0.7&color=0.4&preserve_color=1"
        query += f"&style={STYLE_NAMES[0]}:0.60&style={STYLE_NAMES[1]}:0.40"
        told = tab.ask(
            f"""(async () => {{
            const engine = await import('./static/engine.js');
            const file = new Blob([unpack('{data}', Uint8Array)]);
            const {{ id }} = await engine.read(file);
            const picture = await engine.picture(id, new URLSearchParams('{query}'));
            return pack(new Uint8Array(await picture.arrayBuffer()));
            }})()"""
        )
    found = Image.open(io.BytesIO(base64.b64decode(told)))
    model = halved(PortraitModel.from_pretrained(made.model))
    with pytest.warns(match="may not be recognised"):
        wanted = model.transfer(
            Image.open(photo).convert("RGB"),
            {STYLE_NAMES[0]: 0.6, STYLE_NAMES[1]: 0.4},
            structure=0.7,
            color=0.4,
            preserve_color=True,
            size=64,
        )
    assert np.abs(np.asarray(found, int) - np.asarray(wanted, int)).max() <= 2


def test_a_visitor_is_seen_live_and_told_the_rate(tab: Tab, site: Path, tmp_path: Path) -> None:
    with served(site, ISOLATED) as running:
        enter(tab, running.address)
        tab.click("#live")
        tab.until("/frames a second/.test(document.querySelector('#rate').textContent)", LOADING)
        shown = tab.ask("document.querySelector('#result').src")
        tab.until(f"document.querySelector('#result').src !== '{shown}'")
        tab.click(f"input[name=style][value={STYLE_NAMES[1]}]")
        tab.save_to(tmp_path)
        tab.click("#download")
        facts = facts_of(Image.open(wait_for(tmp_path, "*.jpg")))
        assert facts["dualstylegan:model"] == "portrait"
        tab.ask("window.stream = document.querySelector('#mirror').srcObject")
        tab.press("Escape")
        assert not tab.ask("stream.active")
        assert complaints(tab) == []


def test_errors_are_told_with_their_fix(tab: Tab, site: Path, tmp_path: Path) -> None:
    text, empty = tmp_path / "letter.jpg", tmp_path / "empty.png"
    text.write_text("Dear Sir or Madam")
    Image.linear_gradient("L").save(empty)
    with served(site, ISOLATED) as running:
        enter(tab, running.address)
        for file, words, fix in (
            (text, "Not a picture that this browser reads", "Convert it to PNG or JPEG"),
            (empty, "No face found", "larger face"),
        ):
            tab.give("#file", file)
            told = tab.until(
                f"!{ERROR}.hidden && {ERROR}.textContent.includes('{words}') && {ERROR}.textContent"
            )
            assert fix in told


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_what_the_site_cannot_do_is_not_shown(tab: Tab, site: Path, width: int, dark: bool) -> None:
    with served(site, ISOLATED) as running:
        tab.look(width, 844, dark=dark, touch=width < 600)
        enter(tab, running.address)
        assert tab.ask("document.documentElement.scrollWidth") <= width
        shown = "[...document.querySelectorAll('input, button')].filter(x => x.offsetParent)"
        names = tab.ask(f"{shown}.map(x => x.id || x.name)")
        assert {"structure", "color", "preserve", "mixing"} <= set(names)
        assert not {"add", "whole", "model"} & set(names)


def test_a_damaged_file_is_refused_and_a_new_version_takes_over(
    tab: Tab, site: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "site"
    shutil.copytree(site, copy)
    encoder = next((copy / "model").glob("encoder*"))
    good = encoder.read_bytes()
    encoder.write_bytes(good[:5000] + bytes([good[5000] ^ 255]) + good[5001:])
    with served(copy, ISOLATED) as running:
        tab.open(running.address)
        told = tab.until(f"{ERROR} && !{ERROR}.hidden && {ERROR}.textContent", LOADING)
        assert "encoder" in told
        encoder.write_bytes(good)
        enter(tab, running.address)
        page = copy / "index.html"
        page.write_text(page.read_text().replace("Portrait studio", "Another studio"))
        shell = copy / "shell.js"
        version = re.search(r'"version": "(\w+)"', shell.read_text())
        assert version
        shell.write_text(shell.read_text().replace(version[1], "0123456789abcdef"))
        asked = len(running.asked)
        end = time.monotonic() + LOADING
        while tab.ask("document.title") != "Another studio":
            assert time.monotonic() < end
            time.sleep(1)
            tab.open(running.address)
        assert not [path for path in running.asked[asked:] if "/model/" in path and "sha" in path]


def test_the_site_names_no_other_host() -> None:
    for folder in (SITE, STUDIO):
        for path in (path for path in folder.rglob("*") if path.is_file()):
            text = path.read_text().replace("http://www.w3.org/2000/svg", "")
            found = re.search(r"https?://|@import|url\(|innerHTML|\sstyle=|\son\w+=\"", text)
            assert not found, path

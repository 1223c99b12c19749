"""Page of the studio, used as a visitor would in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from dualstylegan.portrait.result import facts_of
from dualstylegan.studio.server import STATIC
from tasks.pages.theme import STYLE as REPORT_STYLE
from tests.support.browser import CHROMIUM, Browser, Tab, browser
from tests.support.portrait_models import STYLE_NAMES
from tests.support.studios import PX, RunningStudio, running_studio, seeing_model

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium binary on this machine")
SHOWN = "document.querySelector('#view').dataset.px"
FITTED = f"document.querySelector('#fit').hidden && {SHOWN} == {PX} && /Hold the/.test(said())"
HELPERS = """
window.said = () => document.querySelector('#status').textContent;
window.error = () => {
  const box = document.querySelector('#error');
  return box.hidden ? '' : box.textContent;
};
"""


@pytest.fixture(scope="module")
def studio(weights: Path) -> Iterator[RunningStudio]:
    with running_studio(seeing_model(weights)) as running:
        yield running


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def tab(chromium: Browser, studio: RunningStudio) -> Iterator[Tab]:
    with chromium.tab() as tab:
        enter(tab, studio)
        yield tab


@pytest.fixture
def photo(weights: Path) -> Path:
    return weights / "astronaut.png"


def enter(tab: Tab, studio: RunningStudio) -> None:
    """Open the page and wait for its styles."""
    tab.open(studio.address)
    tab.until(f"document.querySelectorAll('#styles .tile').length === {len(STYLE_NAMES)}")
    tab.ask(HELPERS)


def bring(tab: Tab, photo: Path) -> None:
    """Choose a photo and wait until its face is fitted and shown at full size."""
    tab.give("#file", photo)
    tab.until(FITTED)


def colours(tab: Tab) -> str:
    """Return the address of the picture that is shown; each picture has another."""
    return str(tab.ask("document.querySelector('#result').src"))


@needs_chromium
def test_a_visit_from_the_photo_to_the_download(
    tab: Tab, studio: RunningStudio, photo: Path, tmp_path: Path
) -> None:
    bring(tab, photo)
    assert tab.ask("document.querySelector('#result').alt") == "The portrait in the style amber-fox"
    assert "may not look enough like the person" in tab.text()

    seen = "[...new Set(window.sizes)].join()"
    tab.ask(
        f"window.sizes = []; new MutationObserver(() => sizes.push({SHOWN}))"
        ".observe(document.querySelector('#view'), {attributes: true})"
    )
    tab.slide("#structure", 40, end=False)  # small while the dial moves, full size at rest
    tab.until(f"{seen} === '64,{PX}'")
    assert "40 %" in tab.text()

    before = colours(tab)
    tab.click("#mixing")
    tab.until(f"document.querySelector('#result').src !== '{before}' && {SHOWN} == {PX}")
    tab.slide("#share", 25)
    tab.save_to(tmp_path)
    tab.click("#download")
    tab.until("/Downloaded/.test(said())")
    (file,) = wait_for(tmp_path)
    facts = facts_of(Image.open(file))
    assert facts["dualstylegan:style"] == f"{STYLE_NAMES[0]}:0.75 {STYLE_NAMES[1]}:0.25"
    assert facts["dualstylegan:structure"] == "0.4"
    assert facts["dualstylegan:size"] == str(PX)

    tab.click("#whole")
    tab.until("getComputedStyle(document.querySelector('#view')).getPropertyValue('--ratio') == 1")
    tab.until(f"{SHOWN} == 512")
    assert tab.complaints == []
    assert all(re.match(rf"(blob:)?{studio.address}", url) for url in tab.asked), tab.asked


def wait_for(folder: Path) -> list[Path]:
    """Wait for a download and return the files in the folder."""
    end = time.monotonic() + 20
    while not (files := list(folder.glob("*.png"))):
        assert time.monotonic() < end, list(folder.iterdir())
        time.sleep(0.05)
    return files


@needs_chromium
def test_a_style_of_ones_own_is_learnt_and_chosen(tab: Tab, photo: Path) -> None:
    bring(tab, photo)
    before = colours(tab)
    tab.click("#add")
    tab.give("#style-file", photo)
    assert tab.ask("document.querySelector('#style-name').value") == "astronaut"
    tab.click("#adding-form [type=submit]")
    tab.until("document.querySelector('#chosen').textContent.trim() === 'astronaut'")
    assert tab.ask("fetch(document.querySelector('#model').href).then(x => x.status)") == 200
    tab.until(f"document.querySelector('#result').src !== '{before}'")
    tab.until(f"{SHOWN} == {PX}")
    assert tab.ask("error()") == ""


@needs_chromium
def test_errors_are_told_with_their_fix_and_the_visit_goes_on(
    tab: Tab, photo: Path, tmp_path: Path
) -> None:
    text = tmp_path / "letter.jpg"
    text.write_text("Dear Sir or Madam")
    tab.give("#file", text)
    told = tab.until("error()")
    assert "Not an image" in told
    assert "Convert it to PNG or JPEG" in told
    assert tab.ask("getComputedStyle(document.querySelector('#welcome')).display") != "none"
    bring(tab, photo)
    assert tab.ask("error()") == ""


@needs_chromium
def test_the_camera_takes_a_photo_and_goes_off(tab: Tab) -> None:
    """The browser's made-up camera shows no face, as the page then says."""
    tab.click("#camera")
    tab.until("document.querySelector('#video').videoWidth && document.querySelector('#shot').open")
    tab.click("#take")
    assert "face" in tab.until("error()")
    assert not tab.ask("document.querySelector('#video').srcObject.active")


@needs_chromium
def test_a_photo_that_was_forgotten_meanwhile_is_sent_again(
    tab: Tab, studio: RunningStudio, photo: Path
) -> None:
    bring(tab, photo)
    for name in list(studio.studio.sittings._items):
        studio.ask("DELETE", f"/api/sitters/{name}")
    before = colours(tab)
    tab.slide("#structure", 10)
    tab.until(f"document.querySelector('#result').src !== '{before}' && {SHOWN} == {PX}")
    assert tab.ask("error()") == ""


@needs_chromium
def test_two_visitors_and_neither_leaves_anything_behind(
    chromium: Browser, studio: RunningStudio, photo: Path
) -> None:
    with chromium.tab() as one, chromium.tab() as other:
        for tab in (one, other):
            enter(tab, studio)
            tab.give("#file", photo)
        for tab in (one, other):
            tab.until(FITTED)
            tab.call("Page.navigate", url="about:blank")
    end = time.monotonic() + 20
    while len(studio.studio.sittings):
        assert time.monotonic() < end
        time.sleep(0.05)


@needs_chromium
@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_the_page_fits_and_goes_by_keyboard(tab: Tab, width: int, dark: bool) -> None:
    tab.look(width, 844, dark=dark, touch=width < 600)
    assert tab.ask("document.documentElement.scrollWidth") <= width
    unnamed = (
        "[...document.querySelectorAll('input, button')].filter(x => x.offsetParent && "
        "!(x.ariaLabel || x.labels?.length || x.innerText.trim())).map(x => x.outerHTML)"
    )
    assert tab.ask(unnamed) == []
    reached = []
    for _ in range(8):
        tab.press("Tab")
        reached.append(tab.ask("document.activeElement.id || document.activeElement.name"))
    assert reached[0] == "file"
    assert {"style", "add", "mixing", "structure", "color"} <= set(reached)
    tab.ask("document.querySelector('input[name=style]').focus()")
    tab.press("ArrowRight")
    chosen = tab.ask("document.querySelector('input[name=style]:checked').value")
    assert chosen == STYLE_NAMES[1]


def test_the_page_asks_no_other_host_and_looks_like_the_reports() -> None:
    for path in STATIC.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|url\(|innerHTML|\sstyle=|\son\w+=\"", text), path
    own = (STATIC / "studio.css").read_text()
    for name in ("paper", "card", "ink", "muted", "rule", "accent", "line", "serif", "sans"):
        values = [re.findall(rf"--{name}: ([^;]+);", sheet) for sheet in (own, REPORT_STYLE)]
        assert values[0] == values[1] != [], name

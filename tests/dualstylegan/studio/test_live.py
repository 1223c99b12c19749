"""Live cameras: over the REST interface, and in a real browser whose camera shows a face."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dualstylegan.portrait.result import facts_of
from dualstylegan.studio.visits import LIVE_IDLE_SECONDS, MAX_LIVE
from tests.support.browser import CHROMIUM, Browser, Tab, browser
from tests.support.cameras import SIZE, jpeg, moving_face, write_camera
from tests.support.portrait_models import STYLE_NAMES
from tests.support.studios import PX, Answer, RunningStudio, running_studio, seeing_model

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium binary on this machine")
STYLE = STYLE_NAMES[0]
SHOWN = "document.querySelector('#result').src"
SAID = "document.querySelector('#status').textContent"
LIVE_FRAMES = "performance.getEntriesByType('resource').filter(x => /frames/.test(x.name)).length"
ON = "document.querySelector('#mirror').srcObject?.active"


@pytest.fixture(scope="module")
def frames(weights: Path) -> list[bytes]:
    return moving_face(Image.open(weights / "astronaut.png").convert("RGB"))


@pytest.fixture(scope="module")
def studio(weights: Path) -> Iterator[RunningStudio]:
    with running_studio(seeing_model(weights)) as running:
        yield running


@pytest.fixture
def live(studio: RunningStudio) -> Iterator[str]:
    """Address of a live face."""
    answer = studio.ask("POST", "/api/live")
    assert answer.status == 201
    path = f"/api/live/{answer.json['id']}"
    yield path
    studio.ask("DELETE", path)


def send(studio: RunningStudio, live: str, frame: bytes, **query: Any) -> Answer:
    options: dict[str, Any] = {"style": STYLE, "size": 64} | query
    return studio.ask("POST", f"{live}/frames", frame, **options)


def pixels(answer: Answer) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    assert answer.status == 200, answer.body
    return np.asarray(Image.open(io.BytesIO(answer.body)), float)


def test_frames_come_back_restyled_and_the_fitted_face_takes_over(
    studio: RunningStudio, live: str, frames: list[bytes]
) -> None:
    first = send(studio, live, frames[0])
    image = Image.open(io.BytesIO(first.body))
    assert (first.status, image.size, image.format) == (200, (64, 64), "JPEG")
    assert facts_of(image)["dualstylegan:style"] == STYLE
    for frame in frames[1:]:
        assert send(studio, live, frame).status == 200
    fit = studio.settled(live, "fit")["fit"]
    assert (fit["state"], fit["done"]) == ("ready", 2)
    other = send(studio, live, frames[0], style=STYLE_NAMES[1], structure=0.3)
    assert abs(pixels(other) - pixels(first)).mean() > 1
    webp = send(studio, live, frames[0], format="webp")
    assert webp.headers["content-type"] == "image/webp"


def test_a_frame_without_a_face_has_no_picture_and_the_next_one_has(
    studio: RunningStudio, live: str, frames: list[bytes]
) -> None:
    empty = jpeg(Image.linear_gradient("L").resize(SIZE))
    states = [send(studio, live, frame) for frame in (empty, frames[0], empty, frames[1])]
    assert [answer.status for answer in states] == [204, 200, 204, 200]
    assert states[0].body == b""


def test_what_cannot_be_served_is_said(
    studio: RunningStudio, live: str, frames: list[bytes]
) -> None:
    assert send(studio, live, b"a text").status == 415
    for query in ({"style": "nobody"}, {"face": 1}, {"size": 5000}):
        refused = send(studio, live, frames[0], **query)
        assert refused.status == 422
        assert refused.json["limit"]
    assert send(studio, "/api/live/none", frames[0]).json["fix"] == "begin anew"
    assert studio.ask("DELETE", live).status == 204
    assert send(studio, live, frames[0]).status == 404


def test_cameras_are_limited_and_forgotten_soon_after_their_last_frame(
    studio: RunningStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [studio.ask("POST", "/api/live") for _ in range(MAX_LIVE + 1)]
    assert [answer.status for answer in answers] == [201] * MAX_LIVE + [503]
    assert "try again" in answers[-1].json["fix"]
    now = time.monotonic() + LIVE_IDLE_SECONDS + 1
    monkeypatch.setattr(studio.studio.live, "_clock", lambda: now)
    again = studio.ask("POST", "/api/live")
    assert again.status == 201
    assert len(studio.studio.live) == 1
    studio.ask("DELETE", f"/api/live/{again.json['id']}")


def test_two_cameras_share_the_worker_and_photos_are_read_meanwhile(
    studio: RunningStudio, frames: list[bytes]
) -> None:
    """Each always has a frame in flight, so that the worker never rests."""
    over = threading.Event()

    def film() -> int:
        path = f"/api/live/{studio.ask('POST', '/api/live').json['id']}"
        count = 0
        while not over.is_set():
            assert send(studio, path, frames[count % len(frames)]).status == 200
            count += 1
        assert studio.settled(path, "fit")["fit"]["state"] == "ready"
        studio.ask("DELETE", path)
        return count

    with ThreadPoolExecutor() as pool:
        films = [pool.submit(film) for _ in range(2)]
        try:
            photo = studio.upload(frames[0])
            fit = studio.settled(f"/api/sitters/{photo}", "fit")["fit"]
            time.sleep(0.5)
        finally:
            over.set()
    counts = [film.result() for film in films]
    assert fit["state"] == "ready"
    assert min(counts) > 0.5 * max(counts) > 1


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory, frames: list[bytes]) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("browser")
    camera = write_camera(folder / "camera.mjpeg", frames)
    with browser(folder / "profile", camera) as running:
        yield running


@pytest.fixture
def tab(chromium: Browser, studio: RunningStudio) -> Iterator[Tab]:
    with chromium.tab() as tab:
        tab.open(studio.address)
        tab.until(f"document.querySelectorAll('#styles .tile').length === {len(STYLE_NAMES)}")
        yield tab


def advance(tab: Tab) -> str:
    """Wait for the next picture; return its address."""
    before = tab.ask(SHOWN)
    return str(tab.until(f"{SHOWN} !== '{before}' && {SHOWN}"))


@needs_chromium
def test_a_visitor_is_seen_live_in_any_style_until_escape(
    tab: Tab, studio: RunningStudio, tmp_path: Path
) -> None:
    tab.click("#live")
    tab.until(f"/Escape, ends it/.test({SAID})")
    assert tab.ask("document.activeElement.id") == "stop"
    assert tab.ask("document.querySelector('#view').dataset.px") == str(PX)
    for _ in range(3):
        advance(tab)
    tab.click(f"input[name=style][value={STYLE_NAMES[1]}]")
    tab.slide("#structure", 30)
    advance(tab)
    advance(tab)
    tab.save_to(tmp_path)
    tab.click("#download")
    end = time.monotonic() + 20
    while not (files := list(tmp_path.glob("*.jpg"))):
        assert time.monotonic() < end
        time.sleep(0.05)
    facts = facts_of(Image.open(files[0]))
    assert facts["dualstylegan:style"] == STYLE_NAMES[1]
    assert facts["dualstylegan:structure"] == "0.3"
    tab.ask("window.stream = document.querySelector('#mirror').srcObject")
    tab.press("Escape")
    assert not tab.ask("stream.active")  # the camera's light is off
    assert tab.ask("getComputedStyle(document.querySelector('#welcome')).display") != "none"
    sent = tab.ask(LIVE_FRAMES)
    time.sleep(0.5)
    assert tab.ask(LIVE_FRAMES) <= sent + 1
    assert len(studio.studio.live) == 0
    assert tab.complaints == []


@needs_chromium
def test_the_picture_taken_live_is_read_as_a_photo(tab: Tab, studio: RunningStudio) -> None:
    tab.click("#live")
    advance(tab)
    tab.click("#keep")
    tab.until(f"/Hold the/.test({SAID})")
    assert not tab.ask(ON)
    assert len(studio.studio.sittings) > 0
    tab.click("#again")
    tab.until(f"/^Live/.test({SAID})")
    tab.click("#stop")
    assert not tab.ask(ON)


@needs_chromium
def test_a_studio_that_has_forgotten_the_face_begins_anew(tab: Tab, studio: RunningStudio) -> None:
    tab.click("#live")
    advance(tab)
    for name in list(studio.studio.live._items):
        studio.ask("DELETE", f"/api/live/{name}")
    advance(tab)
    advance(tab)
    assert len(studio.studio.live) == 1


@needs_chromium
@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("NotAllowedError", "The page may not use the camera. Allow it"),
        ("NotFoundError", "There is no camera. Connect one"),
    ],
)
def test_a_camera_that_is_refused_is_said_in_words(tab: Tab, reason: str, words: str) -> None:
    tab.ask(
        "navigator.mediaDevices.getUserMedia = "
        f"() => Promise.reject(new DOMException('', '{reason}'))"
    )
    tab.click("#live")
    assert words in tab.until("document.querySelector('#error').innerText").replace("\n", " ")
    assert tab.ask("getComputedStyle(document.querySelector('#welcome')).display") != "none"

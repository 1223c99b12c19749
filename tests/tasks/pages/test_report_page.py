"""The report opens in a real browser, offline, whole, and with nothing to complain of."""

from __future__ import annotations

import json
import math
import re
import subprocess
import threading
from dataclasses import replace
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from dualstylegan.evaluation.bootstrap import Interval
from dualstylegan.evaluation.leaderboard import Comparison, Row
from tasks.pages import base_page, charts, diagnosis_page, leaderboard_page
from tasks.pages.comparison import AddedStyles, Board
from tasks.pages.diagnosis import Diagnosis, Finding, Verdict
from tasks.pages.likeness import CurveRow, FacePair, PasticheRow
from tasks.pages.markup import data_uri, tag
from tasks.pages.page import (
    Curves,
    Grid,
    Report,
    Source,
    Sweep,
    Transfer,
    Triple,
    render,
)
from tests.support.browser import CHROMIUM, OPTIONS


def patch(hue: int, size: int = 96) -> Image.Image:
    return Image.new("HSV", (size, size), (hue % 256, 160, 200)).convert("RGB")


def example() -> Report:
    names = [("ada", patch(0)), ("bo <b>", patch(40))]
    styles = [(f"style-{i}", patch(30 * i)) for i in range(4)]
    return Report(
        title="Portraits & styles",
        lede="A page for a test.",
        hero=[Transfer("ada", "style-1", patch(0), patch(30), patch(15))] * 3,
        grid=Grid(names, styles, [[patch(i + 9 * j) for j in range(4)] for i in range(2)]),
        triples=[Triple(name, image, patch(99), patch(130)) for name, image in styles],
        fits=[
            FacePair("ada", patch(0), patch(5), 0.82, 0.31),
            FacePair("bo <b>", patch(40), patch(60), 0.4, 0.1),
        ],
        sweep=Sweep("ada", "style-1", (0.0, 1.0), [[patch(1), patch(2)], [patch(3), patch(4)]]),
        curve=[CurveRow(w, 1.0, 0.5 - 0.2 * w, 1.2 - 0.3 * w, 0.5 * w) for w in (0, 0.5, 1)]
        + [CurveRow(1.0, 0.0, 0.5, 1.3, 0.2)],
        curves=[
            Curves(
                "finetune",
                {"adv": (range(50), [math.sin(i / 9) for i in range(50)])},
                [("step 10", patch(7))],
            )
        ],
        figures={
            "kid_results": Interval(0.1, 0.05, 0.2),
            "kid_faces_line": Interval(0.4, 0.3, 0.5),
            "identity_recognised": Interval(0.9, 0.8, 1.0),
        },
        weights=[Source("generator", "somewhere", "CC0")],
        images=[Source("astronaut", "NASA", "public domain", "a photo")],
        seconds=[("align", 3.2), ("finetune", 310.0)],
        settings={"finetune": {"steps": 300}},
        closing="Made by the pipeline.",
    )


class Pictures(HTMLParser):
    """Collects what the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        if tag == "img":
            self.images.append(found)
        self.links += [value for key in ("href", "src") if (value := found.get(key))]
        self.anchors.add(found.get("id") or "")


def test_page_refers_to_nothing_outside_and_every_picture_has_words() -> None:
    page = render(example())
    seen = Pictures()
    seen.feed(page)
    assert len(seen.images) == 3 * 3 + 2 + 4 + 8 + 12 + 4 + 1 + 4
    assert all(image["alt"] and image["width"] and image["height"] for image in seen.images)
    for link in seen.links:
        assert link.startswith(("data:", "#")), link[:80]
        assert not link.startswith("#") or link[1:] in seen.anchors
    assert "script" not in seen.tags
    assert not re.search(r"url\(|@import|https?://", page)


def test_faces_stand_beside_their_codes_the_least_similar_first_and_marked_in_words() -> None:
    page = render(example())
    lost, kept = page.index("0.40, under the line"), page.index("0.82, above the line")
    assert lost < kept
    assert "Under that line: 1 of 2 faces. What helps: a sharper, more frontal" in page
    good = replace(example(), fits=example().fits[:1])
    assert "What helps" not in render(good)


def test_the_curve_shows_full_colour_and_the_table_every_weight() -> None:
    page = render(example())
    curve = page[page.index("charts curves") :]
    assert "identity: from 0.500 to 0.300 over the structure weights" in curve
    row = '<th scope="row">1</th><td>0</td><td>0.500</td><td>1.30</td><td>0.200</td>'
    assert row in curve


def test_a_set_without_ideal_results_has_neither_section_nor_columns_of_them() -> None:
    plain = render(example())
    assert "ideal" not in plain
    row = PasticheRow("ada", "x", patch(0), patch(1), patch(2), patch(3), 0.4, 0.7)
    judged = [CurveRow(w, 1.0, 0.5, 1.2, 0.5, 0.45, 0.6 - 0.1 * w, 0.8) for w in (0, 1)]
    page = render(replace(example(), pastiches=[row, row], curve=judged))
    assert page.count("<img ") == plain.count("<img ") + 2 * 4
    assert "identity 0.700, LPIPS 0.400" in page
    assert "identity with the ideal result: from 0.600 to 0.500 over the structure weights" in page


def test_names_are_escaped() -> None:
    page = render(example())
    assert "bo <b>" not in page
    assert "bo &lt;b&gt;" in page
    assert tag("p", class_='a"b') == '<p class="a&quot;b"></p>'


def test_empty_parts_leave_their_sections_out() -> None:
    page = render(Report("Bare", "Nothing yet."))
    assert "<section" not in page
    assert "<nav" not in page


def test_same_report_same_bytes() -> None:
    assert render(example()) == render(example())


def test_pictures_are_reduced_to_what_is_shown() -> None:
    uri, width, height = data_uri(Image.new("RGB", (512, 256)), 128)
    assert (width, height) == (128, 64)
    assert len(uri) < 2000


def test_curves_survive_spikes_and_numbers_that_are_none() -> None:
    values = [1.0 / (i + 1) for i in range(500)]
    values[100], values[200] = math.nan, 1e9
    drawn = charts.curve("loss", range(500), values)
    assert "nan" not in drawn
    assert len(re.findall(r"\d+\.\d,\d+\.\d", drawn)) <= 2 * charts.MAX_POINTS
    assert charts.curve("loss", [1], [math.inf]) == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.1234, "0.123"), (123.4, "123"), (0, "0"), (0.00012345, "0.000123"), (math.nan, "n/a")],
)
def test_numbers_as_a_person_writes_them(value: float, shown: str) -> None:
    assert charts.number(value) == shown


def chromium(address: str, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM
    return subprocess.run(
        [
            CHROMIUM,
            *OPTIONS,
            "--enable-logging=stderr",
            f"--user-data-dir={profile}",
            *options,
            address,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


# asks the browser itself, and writes the answers where --dump-dom shows them
PROBE = """<script>
addEventListener("load", () => {
  const broken = [...document.images].filter(i => !i.naturalWidth).length;
  const fetched = performance.getEntriesByType("resource")
    .filter(e => !e.name.startsWith("data:")).map(e => e.name);
  const page = document.documentElement;
  document.body.dataset.found = JSON.stringify({
    images: document.images.length, broken, fetched,
    overflow: page.scrollWidth - page.clientWidth,
  });
});
</script>"""


def ask(page: str, tmp_path: Path, width: int) -> tuple[dict[str, object], list[str], str]:
    """Return a page's text in the browser, the requests it made, and its log."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path == "/report" else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode() if self.path == "/report" else b"")

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shown = chromium(
            f"http://127.0.0.1:{server.server_port}/report",
            tmp_path / "profile",
            f"--window-size={width},900",
            "--virtual-time-budget=5000",
            "--dump-dom",
        )
        server.shutdown()
    found = re.search(r'data-found="([^"]*)"', shown.stdout)
    assert found, shown.stderr[-2000:]
    answers: dict[str, object] = json.loads(found[1].replace("&quot;", '"'))
    return answers, asked, shown.stderr


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium binary on this machine")


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_page_in_chromium(tmp_path: Path, width: int) -> None:
    page = render(example()).replace("</body>", PROBE + "</body>")
    answers, asked, log = ask(page, tmp_path, width)
    assert answers == {"images": 44, "broken": 0, "fetched": [], "overflow": 0}
    assert asked == ["/report"]
    assert "CONSOLE" not in log


@needs_chromium
def test_the_browser_would_have_told(tmp_path: Path) -> None:
    fault = '<img src="missing.png" alt=""><script>console.error("fault")</script>'
    page = render(example()).replace("</body>", fault + PROBE + "</body>")
    answers, asked, log = ask(page, tmp_path, 1280)
    assert answers["broken"] == 1
    assert "/missing.png" in asked
    assert "CONSOLE" in log


HOSTILE = """<script>alert("it's")</script>&amp"""


def hostile_pages() -> dict[str, str]:
    """Every page, with markup wherever text of users, files or settings is shown."""
    name, image = HOSTILE, patch(0, 16)
    named = [(name, image)] * 2
    comparisons = {"kid_results": Comparison("first", Interval(1, 0, 2))}
    rows = [Row(name, {"kid_results": Interval(1, 0, 2)}, comparisons)] * 2
    board = Board(rows, name, named, named, {name: [image, image]}, "leaderboard", name)
    report = Report(
        title=name,
        lede=name,
        hero=[Transfer(name, name, image, image, image)],
        grid=Grid(named, named, [[image, image]] * 2),
        triples=[Triple(name, image, image, image)],
        fits=[FacePair(name, image, image, 0.1, 0.1)] * 2,
        sweep=Sweep(name, name, (0.0, 1.0), [[image, image]] * 2),
        curves=[Curves(name, {name: ([0, 1], [1.0, 0.5])}, [(name, image)])],
        board=board,
        ablations=board,
        added=AddedStyles(named, [image] * 2, named, [[image, image]] * 2, {name: 1.0}),
        weights=[Source(name, name, name, name)],
        images=[Source(name, name, name, name)],
        seconds=[(name, 1.0)],
        settings={name: {name: name}},
        closing=name,
    )
    finding = Finding(name, Verdict.GOOD, (name,), {name: 1.0})
    curve = {name: [{"step": 0.0, name: 1.0}, {"step": 1.0, name: 2.0}]}
    return {
        "report": render(report),
        "leaderboard": leaderboard_page.render(rows, {name: image}, name),
        "diagnosis": diagnosis_page.render(
            Diagnosis(Verdict.GOOD, (name,), (finding,)), {name: image}
        ),
        "base": base_page.render(
            {name: {name: {name: 1.0}}}, curve, [base_page.Picture(name, [name], image)]
        ),
    }


def test_all_text_from_outside_is_escaped_on_every_page() -> None:
    for page, html in hostile_pages().items():
        assert html.count("&lt;script&gt;") > 3, page
        seen = Pictures()
        seen.feed(html)
        assert "script" not in seen.tags, page
        assert 'alert("it' not in html, page
        # a reader of the page gets the text that was given
        texts = [str(image["alt"]) for image in seen.images]
        named = [alt for alt in texts if not alt.startswith("Structure weight")]
        assert named, page
        assert all(HOSTILE in alt for alt in named), page

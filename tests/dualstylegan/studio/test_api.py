"""REST interface of the studio: a real server on loopback, a tiny model, real faces."""

from __future__ import annotations

import gc
import io
import re
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dualstylegan.io.files import short_digest
from dualstylegan.io.images import decode_image
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.options import RestyleOptions
from dualstylegan.portrait.result import encode_result, facts_of
from dualstylegan.portrait.style_choice import choose_style
from dualstylegan.studio import api
from dualstylegan.studio import studio as studio_module
from dualstylegan.studio.openapi import document
from dualstylegan.studio.server import GRACE_SECONDS
from dualstylegan.studio.studio import MAX_FACES
from dualstylegan.studio.worker import Urgency
from tests.support.portrait_models import STYLE_NAMES
from tests.support.studios import Answer, RunningStudio, running_studio, seeing_model

STYLE = STYLE_NAMES[0]


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def astronaut(weights: Path) -> Image.Image:
    return Image.open(weights / "astronaut.png").convert("RGB")


@pytest.fixture(scope="module")
def photo(astronaut: Image.Image) -> bytes:
    return jpeg(astronaut)


@pytest.fixture(scope="module")
def studio(weights: Path) -> Iterator[RunningStudio]:
    with running_studio(seeing_model(weights)) as running:
        yield running


@pytest.fixture(scope="module")
def sitter(studio: RunningStudio, photo: bytes) -> str:
    name = studio.upload(photo)
    studio.settled(f"/api/sitters/{name}", "fit")
    return name


def test_a_photo_is_read_by_the_encoder_at_once_and_then_fitted(
    studio: RunningStudio, photo: bytes
) -> None:
    first = studio.ask("POST", "/api/sitters", photo).json
    assert first["revision"] == 1
    assert len(first["faces"]) == 1
    left, top, right, bottom = first["faces"][0]["box"]
    assert 0 < left < right < 1
    assert top < bottom < 1
    fitted = studio.settled(f"/api/sitters/{first['id']}", "fit")
    assert (fitted["revision"], fitted["fit"]["state"]) == (2, "ready")
    assert fitted["fit"]["done"] == fitted["fit"]["total"] == 2


def test_of_several_faces_the_largest_comes_first_and_all_follow(
    studio: RunningStudio, astronaut: Image.Image
) -> None:
    face = astronaut.crop((100, 0, 356, 300))
    pair = Image.new("RGB", (620, 360), (96, 110, 120))
    pair.paste(face.resize((171, 200), Image.Resampling.LANCZOS), (40, 60))
    pair.paste(face, (340, 30))
    first = studio.ask("POST", "/api/sitters", jpeg(pair)).json
    assert (len(first["faces"]), len(first["left_out"])) == (1, 1)
    path = f"/api/sitters/{first['id']}"
    fitted = studio.settled(path, "fit")
    assert (len(fitted["faces"]), fitted["left_out"]) == (2, [])
    boxes = [face["box"] for face in fitted["faces"]]
    assert boxes[0] == first["faces"][0]["box"]
    assert boxes[1][2] < 0.5 < boxes[0][0]
    second = studio.ask("GET", f"{path}/picture", style=STYLE, face=1, size=64)
    facts = facts_of(Image.open(io.BytesIO(second.body)))
    assert facts["dualstylegan:face"] == "1"


@pytest.mark.parametrize(
    "options",
    [
        {"structure": 0.5, "color": 0.25, "size": 64},
        {"preserve_color": True, "size": 128},
        {"whole": True, "size": 64},
    ],
    ids=str,
)
def test_a_picture_has_the_bytes_of_transfer(
    studio: RunningStudio, sitter: str, photo: bytes, options: dict[str, Any]
) -> None:
    answer = studio.ask("GET", f"/api/sitters/{sitter}/picture", style=STYLE, **options)
    assert answer.headers["content-type"] == "image/png"
    arguments = {("paste" if name == "whole" else name): x for name, x in options.items()}
    arguments |= {"faces": MAX_FACES} if "whole" in options else {}
    result = studio.studio.model.transfer(decode_image(photo), STYLE, **arguments)
    assert answer.body == encode_result(result)


def test_a_mix_is_told_in_the_recipe(studio: RunningStudio, sitter: str) -> None:
    path = f"/api/sitters/{sitter}/picture"
    mix = [f"{STYLE_NAMES[0]}:0.6", f"{STYLE_NAMES[1]}:0.4"]
    for format in ("png", "jpg", "webp"):
        answer = studio.ask("GET", path, style=mix, size=64, format=format)
        facts = facts_of(Image.open(io.BytesIO(answer.body)))
        assert facts["dualstylegan:style"] == f"{STYLE_NAMES[0]}:0.6 {STYLE_NAMES[1]}:0.4"
        assert facts["dualstylegan:fit_steps"] == "2"


def test_a_draft_of_the_whole_photo_is_the_photo_reduced(
    studio: RunningStudio, astronaut: Image.Image
) -> None:
    name = studio.upload(jpeg(astronaut.resize((2048, 2048))))
    path = f"/api/sitters/{name}/picture"
    draft = studio.ask("GET", path, style=STYLE, whole=1, draft=1, size=64, format="jpg")
    shown = studio.ask("GET", f"/api/sitters/{name}/photo")
    for answer in (draft, shown):
        assert Image.open(io.BytesIO(answer.body)).size == (1280, 1280)
    crop = Image.open(io.BytesIO(studio.ask("GET", f"/api/sitters/{name}/photo", face=0).body))
    assert crop.width == crop.height > 200
    for face in (7, "9" * 5000):
        assert studio.ask("GET", f"/api/sitters/{name}/photo", face=face).status == 422


def check_export(answer: Answer, picture: Answer, folder: Path) -> None:
    """Check that a downloaded model has the added style, and restyles as the studio does."""
    assert answer.status == 200
    assert "filename*=utf-8''my%20own.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.body)) as file:
        file.extractall(folder)
    model = PortraitModel.from_pretrained(folder / "my own")
    assert model.styles.names == (*STYLE_NAMES, "my own")
    assert Image.open(io.BytesIO(model.thumbnails["my own"])).width == 128
    facts = facts_of(Image.open(io.BytesIO(picture.body)))
    mix = choose_style(model, {"my own": 0.5, STYLE: 0.5}, None, RestyleOptions())
    assert facts["dualstylegan:style_digest"] == mix.facts["style_digest"]
    assert facts["dualstylegan:model_digest"] == short_digest(model.digest)


def test_a_style_is_added_for_one_visit_and_mixed_with_others(
    studio: RunningStudio, sitter: str, photo: bytes, tmp_path: Path
) -> None:
    answer = studio.ask("POST", "/api/styles", photo, name="my own")
    assert answer.status == 202
    path = f"/api/styles/{answer.json['id']}"
    added = studio.settled(path, "progress")
    assert added["progress"]["state"] == "ready", added
    assert Image.open(io.BytesIO(studio.ask("GET", f"{path}/thumbnail").body)).width == 128
    style = [f"{added['id']}:0.5", f"{STYLE}:0.5"]
    picture = studio.ask("GET", f"/api/sitters/{sitter}/picture", style=style, size=64)
    facts = facts_of(Image.open(io.BytesIO(picture.body)))
    assert facts["dualstylegan:style"] == f"my own:0.5 {STYLE}:0.5"
    listed = studio.ask("GET", "/api/styles").json["styles"]
    assert [style["name"] for style in listed] == list(STYLE_NAMES)
    check_export(studio.ask("GET", f"{path}/model"), picture, tmp_path)
    assert studio.ask("GET", "/api/styles/none/model").status == 404
    assert studio.ask("DELETE", path).status == 204
    assert studio.ask("GET", path).status == 404
    gone = studio.ask("GET", f"/api/sitters/{sitter}/picture", style=style, size=64)
    assert gone.status == 422


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"this is a text, not a picture", 415, "not an image"),
        (b"", 415, "not an image"),
        (jpeg(Image.new("RGB", (300, 300), (90, 120, 90))), 422, "face"),
    ],
    ids=["text", "nothing", "no face"],
)
def test_a_file_of_no_use_is_refused_in_words(
    studio: RunningStudio, body: bytes, status: int, words: str
) -> None:
    for path in ("/api/sitters", "/api/styles?name=x"):
        answer = studio.ask("POST", path, body)
        if answer.status == 202:  # a portrait without a face is found out at work
            failed = studio.settled(f"/api/styles/{answer.json['id']}", "progress")
            told = failed["progress"]["error"]
        else:
            assert answer.status == status
            told = answer.json
        assert words in told["error"]
        assert told["fix"]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"style": "nobody"},
        {"style": f"{STYLE}:much"},
        {"style": f"{STYLE}:-1"},
        {"style": STYLE, "structure": 1.5},
        {"style": STYLE, "size": 4096},
        {"style": STYLE, "size": 256},
        {"style": STYLE, "face": 3},
        {"style": STYLE, "format": "exe"},
        {"style": STYLE, "colour": 1},
    ],
    ids=str,
)
def test_wrong_options_are_refused_with_their_limit(
    studio: RunningStudio, sitter: str, query: dict[str, Any]
) -> None:
    answer = studio.ask("GET", f"/api/sitters/{sitter}/picture", **query)
    assert answer.status == 422
    assert answer.json["error"]
    assert answer.json["limit"]


def test_what_is_not_there_is_said(studio: RunningStudio) -> None:
    for method, path in (
        ("GET", "/api/sitters/nobody"),
        ("GET", "/api/sitters/nobody/picture?style=x"),
        ("DELETE", "/api/styles/none"),
        ("GET", "/api/styles/none/thumbnail"),
        ("GET", "/nowhere"),
    ):
        answer = studio.ask(method, path)
        assert answer.status == 404
        assert answer.json["error"]
    assert studio.ask("PUT", "/api/styles").status == 405


def test_a_visitor_who_leaves_takes_the_photo_along(studio: RunningStudio, photo: bytes) -> None:
    name = studio.upload(photo)
    assert studio.ask("DELETE", f"/api/sitters/{name}").status == 204
    assert studio.ask("GET", f"/api/sitters/{name}/photo").status == 404


def test_an_upload_that_breaks_off_leaves_nothing(studio: RunningStudio, photo: bytes) -> None:
    kept = len(studio.studio.sittings)
    with socket.create_connection(("127.0.0.1", studio.port)) as connection:
        head = f"POST /api/sitters HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(photo)}\r\n"
        connection.sendall(head.encode() + b"\r\n" + photo[: len(photo) // 2])
    time.sleep(0.2)
    assert studio.ask("GET", "/api/styles").status == 200
    assert len(studio.studio.sittings) == kept


def test_an_upload_beyond_the_limit_is_refused(
    studio: RunningStudio, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "MAX_BODY", 1000)
    assert studio.ask("POST", "/api/sitters", photo).status == 413


def test_an_upload_counts_until_it_is_read(
    weights: Path, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio_module, "MAX_UPLOADING", len(photo) + 1000)
    begun, held, statuses = threading.Event(), threading.Event(), list[int]()
    with running_studio(seeing_model(weights)) as other:

        def hold() -> None:
            begun.set()
            held.wait(60)

        def send() -> None:
            statuses.append(other.ask("POST", "/api/sitters", photo).status)

        other.studio.worker.submit(hold, Urgency.PICTURE)
        assert begun.wait(60)
        first = threading.Thread(target=send)
        first.start()
        # the photo: the loading of the networks may be waiting already
        while all(job.urgency == Urgency.FITTING for job in list(other.studio.worker._waiting)):
            time.sleep(0.01)
        send()
        held.set()
        first.join()
        send()
        assert statuses == [503, 201, 201]


def test_a_refused_photo_is_let_go_at_once(studio: RunningStudio) -> None:
    """Not when the garbage collector comes by: errors and futures must not keep one another."""
    size, file = (407, 411), io.BytesIO()
    Image.new("RGB", size, "navy").save(file, "BMP")

    def there() -> int:
        return sum(isinstance(one, Image.Image) and one.size == size for one in gc.get_objects())

    gc.disable()
    try:
        for data, status in ((file.getvalue(), 422), (file.getvalue()[:-90], 415)):
            assert studio.ask("POST", "/api/sitters", data).status == status
        end = time.monotonic() + 10
        while there() and time.monotonic() < end:
            time.sleep(0.05)
        assert not there()
    finally:
        gc.enable()


def test_slow_uploads_hold_up_no_others(studio: RunningStudio, photo: bytes) -> None:
    head = b"POST /api/sitters HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    with ExitStack() as slow:
        for _ in range(20):
            connection = slow.enter_context(socket.create_connection(("127.0.0.1", studio.port)))
            connection.sendall(head + b"a part")
        assert studio.ask("POST", "/api/sitters", photo).status == 201


def test_what_waits_and_what_runs_too_long_is_refused_at_the_end(
    weights: Path, photo: bytes
) -> None:
    held, statuses = threading.Event(), []
    with running_studio(seeing_model(weights)) as closing:
        path = f"/api/sitters/{closing.upload(photo)}/picture"
        begun = threading.Event()

        def hold() -> None:
            begun.set()
            held.wait(60)

        closing.studio.worker.submit(hold, Urgency.PICTURE)

        def ask() -> None:
            statuses.append(closing.ask("GET", path, style=STYLE, size=64))

        asking = [threading.Thread(target=ask) for _ in range(3)]
        assert begun.wait(60)
        for thread in asking:
            thread.start()
        time.sleep(0.3)
        closing.stop()
        for thread in asking:
            thread.join(GRACE_SECONDS + 2)
        held.set()
    assert [answer.status for answer in statuses] == [503] * 3
    assert {answer.json["error"] for answer in statuses} == {"the studio is closing"}


def test_two_visitors_get_what_each_would_get_alone(
    studio: RunningStudio, astronaut: Image.Image, sitter: str, photo: bytes
) -> None:
    photos = [photo, jpeg(astronaut.transpose(Image.Transpose.FLIP_LEFT_RIGHT))]

    def visit(data: bytes) -> list[bytes]:
        name = studio.upload(data)
        path = f"/api/sitters/{name}"
        studio.settled(path, "fit")
        return [
            studio.ask("GET", f"{path}/picture", style=style, size=64, view="page").body
            for style in STYLE_NAMES
        ]

    learnt = studio.ask("POST", "/api/styles", photo, name="learnt meanwhile").json["id"]
    with ThreadPoolExecutor() as pool:
        together = list(pool.map(visit, photos))
    assert together == [visit(data) for data in photos]
    assert together[0] != together[1]
    assert studio.settled(f"/api/styles/{learnt}", "progress")["progress"]["state"] == "ready"


def test_a_photo_of_64_megapixels_is_read(studio: RunningStudio, astronaut: Image.Image) -> None:
    large = astronaut.convert("L").resize((8000, 8000), Image.Resampling.NEAREST)
    answer = studio.ask("POST", "/api/sitters", jpeg(large))
    assert answer.status == 201
    assert answer.json["width"] == 8000
    path = f"/api/sitters/{answer.json['id']}"
    assert studio.ask("GET", f"{path}/picture", style=STYLE, size=64).status == 200
    assert studio.ask("DELETE", path).status == 204


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:80"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Host": "localhost:80", "Origin": "http://localhost:80"}, 200),
        ({"Host": "192.168.1.5"}, 200),
    ],
    ids=str,
)
def test_requests_of_other_sites_and_names_are_refused(
    studio: RunningStudio, headers: dict[str, str], status: int
) -> None:
    answer = studio.ask("GET", "/api/styles", headers=headers)
    assert answer.status == status
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


def test_the_description_has_every_address_and_option(studio: RunningStudio) -> None:
    described = studio.ask("GET", "/openapi.json").json
    assert described == document()
    methods = {
        (path, method.upper())
        for path, item in described["paths"].items()
        for method in item
        if method != "parameters"
    }
    served = {
        (route.path, method)
        for route in api.ROUTES
        for method in route.methods or ()
        if method != "HEAD" and route.path.startswith("/api")
    }
    assert methods == served
    picture = described["paths"]["/api/sitters/{sitter}/picture"]["get"]["parameters"]
    assert {"style", "structure", "color", "size", "whole"} <= {one["name"] for one in picture}
    text = str(described)
    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in described["components"]["schemas"]

"""Portrait model behind MLflow's own server, on loopback: answers, refusals, options.

A tiny model whose face models are missing: photos are taken as aligned, unless a test brings them.
"""

from __future__ import annotations

import base64
import inspect
import io
import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
import uvicorn
from mlflow.pyfunc import scoring_server
from PIL import Image
from starlette.testclient import TestClient

from dualstylegan.errors import LikenessWarning
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.result import encode_result
from tasks.serving.model import FAULT, Answer
from tasks.serving.signature import example, signature
from tasks.serving.versions import SERVING
from tests.support.portrait_models import tiny_model, with_sampler

SECONDS = 60
PX = 64
OPTIONS: dict[str, Any] = {"align": False, "size": PX}
REFUSED = "INVALID_PARAMETER_VALUE"


def photo(shade: int = 0) -> Image.Image:
    """A picture of a brightness of its own."""
    return Image.linear_gradient("L").convert("RGB").point(lambda level: (level + shade) % 256)


def base64_of(image: Image.Image) -> str:
    """An image as a client sends it."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


PHOTO = base64_of(photo())
ROW = {"image": PHOTO, "style": "stone"}
TEXT = base64.b64encode(b"words in place of a picture").decode()


@dataclass(frozen=True)
class Served:
    """Model that is served, and the same one in memory."""

    folder: Path
    model: PortraitModel
    loaded: Any
    port: int

    def post(
        self, body: Mapping[str, Any] | str, kind: str = "application/json"
    ) -> tuple[int, dict[str, Any]]:
        """Post JSON; return status and answer, in which no path and no stack trace may be."""
        text = body if isinstance(body, str) else json.dumps(body)
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/invocations", text.encode(), {"Content-Type": kind}
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                status, said = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, said = error.code, error.read().decode()
        for secret in ("Traceback", "stack_trace", str(self.folder.parent), ".py"):
            assert secret not in said
        return status, json.loads(said)

    def rows(self, *rows: Mapping[str, Any], **options: Any) -> tuple[int, dict[str, Any]]:
        """Post rows with options."""
        return self.post({"dataframe_records": rows, "params": OPTIONS | options})

    def refusal(self, *rows: Mapping[str, Any], **options: Any) -> str:
        """Post rows that are to be refused; return the sentence."""
        status, said = self.rows(*rows, **options)
        assert (status, said["error_code"]) == (400, REFUSED), said
        return str(said["message"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("served")
    model = with_sampler(tiny_model(resolution=PX))
    model.save_pretrained(root / "portrait")
    mlflow.pyfunc.save_model(
        root / "model",
        python_model=str(SERVING),
        artifacts={"portrait": str(root / "portrait")},
        signature=signature(),
        input_example=example(root / "portrait"),
        pip_requirements=["torch"],
    )
    loaded = mlflow.pyfunc.load_model(str(root / "model"))
    app = scoring_server.init(loaded)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    end = time.monotonic() + SECONDS
    while not server.started:
        assert time.monotonic() < end
        time.sleep(0.02)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Served(root / "model", model, loaded, port)
    finally:
        server.should_exit = True
        thread.join(SECONDS)


def test_every_form_of_a_request_has_the_same_answer(served: Served) -> None:
    (expected,) = served.loaded.predict([ROW], params=OPTIONS).to_dict("records")
    picture = served.model.transfer(photo(), "stone", align=False, size=PX)
    assert base64.b64decode(expected["image"]) == encode_result(picture)
    forms: list[dict[str, Any]] = [
        {"dataframe_records": [ROW]},
        {"dataframe_split": {"columns": [*ROW], "data": [[*ROW.values()]]}},
        {"inputs": [ROW]},
        {"inputs": {name: [text] for name, text in ROW.items()}},
        {"instances": [ROW]},
    ]
    for form in forms:
        assert served.post(form | {"params": OPTIONS}) == (200, {"predictions": [expected]})


def test_the_example_works(served: Served) -> None:
    text = (served.folder / "serving_input_example.json").read_text()
    status, said = served.post(text)
    assert status == 200
    (row,) = said["predictions"]
    assert row["recipe"]["style"] == "stone"
    assert Image.open(io.BytesIO(base64.b64decode(row["image"]))).size == (PX, PX)


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({"structure": 0.3, "color": 1}, {"structure": 0.3, "color": 1.0}),
        ({"weights": [1, 0.5] * 5}, {"weights": [1.0, 0.5] * 5}),
        ({"preserve_color": True, "truncation": 0.7}, {"preserve_color": True, "truncation": 0.7}),
        ({"mix": ["stone:3", "amber-fox"]}, {"style": {"stone": 3, "amber-fox": 1}}),
        ({"seed": 5}, {"style": None, "seed": 5}),
        ({"structure": None, "weights": [], "faces": "largest"}, {}),
    ],
)
def test_options_make_the_picture_that_they_make_in_python(
    served: Served, options: dict[str, Any], same: dict[str, Any]
) -> None:
    row = {"image": PHOTO} if {"mix", "seed"} & set(options) else ROW
    status, said = served.rows(row, **options, format="webp")
    assert status == 200, said
    asked: dict[str, Any] = {"style": "stone", **OPTIONS, **same}
    expected = served.model.transfer(photo(), **asked)
    assert base64.b64decode(said["predictions"][0]["image"]) == encode_result(expected, ".webp")


def test_options_are_those_of_the_library() -> None:
    stated = signature()
    assert stated.params is not None
    options = {spec.name: spec for spec in stated.params.params}
    keywords = inspect.signature(PortraitModel.transfer).parameters
    taken = set(keywords) - {"self", "image", "style"}
    assert set(options) == taken | {"mix", "format"}
    for name in taken - {"weights"}:  # no weights are an empty list
        assert options[name].default == keywords[name].default, name
    assert stated.outputs is not None
    assert stated.outputs.input_names() == [one.name for one in fields(Answer)]


def test_a_bad_row_stands_beside_good_ones(served: Served) -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({"image": TEXT, "style": "stone"}, "not an image in a format that is read; limit: PNG"),
        ({"image": PHOTO, "style": "ston"}, "unknown style; found: ston; limit: one of 4 styles"),
        ({"image": "%", "style": "stone"}, "not base64; found: %; fix: give the bytes of"),
        ({"style": "stone"}, "no image; fix: give the bytes of"),
        ({"image": PHOTO}, "give either a style or a seed"),
        ({"image": PHOTO, "style": ["stone"]}, "`style` is not a text; found: ['stone']"),
    ]
    status, said = served.rows(ROW, *(row for row, _ in bad), {**ROW, "style": "amber-fox"})
    assert status == 200
    first, *failed, last = said["predictions"]
    assert (first["error"], last["error"]) == (None, None)
    assert (first["recipe"]["style"], last["recipe"]["style"]) == ("stone", "amber-fox")
    for answer, (_, sentence) in zip(failed, bad, strict=True):
        assert str(answer.pop("error")).startswith(sentence)
        assert set(answer.values()) == {None}


def test_a_request_of_which_no_row_can_be_served_is_refused(served: Served) -> None:
    assert served.refusal({"image": TEXT, "style": "stone"}).startswith("not an image")
    status, said = served.rows({**ROW, "style": "ston"}, {"image": TEXT, "style": "stone"})
    assert (status, said["error_code"]) == (400, REFUSED)
    assert said["message"].startswith("none of the 2 rows can be served; the first: unknown style")
    assert [error.split(";")[0] for error in said["errors"]] == [
        "unknown style",
        "not an image in a format that is read",
    ]
    with pytest.raises(mlflow.MlflowException, match=r"^not an image") as refused:
        served.loaded.predict([{"image": TEXT, "style": "stone"}], params=OPTIONS)
    assert refused.value.error_code == REFUSED


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"structure": 2.0}, "structure is out of bounds; found: 2.0; limit: 0 to 1"),
        ({"size": 2048}, "size is out of bounds; found: 2048; limit: 64 to 1024"),
        ({"size": 1024}, "the size exceeds the model's resolution; found: 1024 px; limit: 64 px"),
        ({"weights": [1.0]}, "the weight vector needs one weight per row; found: 1; limit: 10"),
        ({"faces": "some"}, "faces; found: some; limit: largest, all, or a number of 1 or more"),
        ({"faces": "2", "align": True}, "several faces are shown in their photo; fix: turn"),
        ({"paste": True}, "pasting back needs the alignment; fix: leave `align` on"),
        ({"background": "none"}, "background; found: none; limit: keep or style"),
        ({"format": "gif"}, "format; found: gif; limit: png, jpg, jpeg, webp"),
        ({"mix": ["stone:1", "ston:1"]}, "unknown style; found: ston; limit: one of 4 styles"),
        ({"mix": ["stone,amber-fox"]}, "several styles that are no mix; found: ['stone,amber"),
        ({"mix": [None]}, "a part of `mix` is no text; found: [None]"),
        ({"mix": ["stone:-1"]}, "a style's weight in a mix; found: stone:-1; limit: 0 or more"),
        ({"mix": ["stone:1"], "seed": 1}, "give either a style or a seed"),
        ({"seed": 2**70}, "seed is out of bounds; found: 1180591620717411303424; limit: "),
        ({"seed": 1}, "a row's style beside that of the whole request; found: stone; fix: "),
        ({"strength": 0.5}, "unknown options; found: strength; limit: align, size, structure, "),
    ],
)
def test_options_that_cannot_be_served_are_refused(
    served: Served, options: dict[str, Any], sentence: str
) -> None:
    assert served.refusal(ROW, **options).startswith(sentence)


def test_options_stand_beside_the_rows_and_not_in_them(served: Served) -> None:
    assert served.refusal({**ROW, "structure": 0.5, "id": 7}) == (
        "options as columns; found: structure; fix: give them in `params`"
    )
    status, _ = served.rows({**ROW, "id": 7})  # a column of the client's own
    assert status == 200


def test_what_mlflow_refuses_says_why_and_nothing_else(served: Served) -> None:
    assert served.refusal({"style": "stone"}).startswith("Model is missing inputs ['image']")
    for options in ({"structure": "much"}, {"preserve_color": "no"}, {"size": 256.5}):
        ((name, value),) = options.items()
        said = served.refusal(ROW, **options)
        assert said.startswith(f"Invalid parameters found: {{('{name}'")
        assert f"for value `{value}`" in said
        assert PHOTO[:20] not in said


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        (DEEP, "application/json", "the JSON is nested too deeply; limit: 32 levels"),
        ("[" * 33 + "]" * 33, "application/json", "the JSON is nested too deeply"),
        ('{"inputs": %s}' % ("9" * 5000), "application/json", "not valid JSON; found: Exceeds"),
        ('{"params": {"size": NaN}}', "application/json", "not a value of JSON; found: NaN"),
        ("", "application/json", "not valid JSON"),
        ("[]", "application/json", "the request is no JSON object"),
        ("{}", "", "no content type; limit: application/json"),
        ("", "text/csv", "Failed to parse input as a Pandas DataFrame"),
        (json.dumps({"dataframe_records": [ROW], "params": {"faces": "9" * 5000}}),
         "application/json", "faces; found: 999"),
    ],
    ids=["deep", "33", "long", "nan", "nothing", "list", "no type", "csv", "digits"],
)  # fmt: skip
def test_what_mlflow_would_fail_at_is_refused_in_a_sentence(
    served: Served, body: str, kind: str, sentence: str
) -> None:
    status, said = served.post(body, kind)
    assert (status, said["error_code"]) == (400, REFUSED)
    assert said["message"].startswith(sentence)
    assert len(said["message"]) < 700


def test_other_models_of_the_same_process_are_served_as_before(served: Served) -> None:
    other = SimpleNamespace(
        metadata=mlflow.models.Model(),
        unwrap_python_model=object,
        predict=lambda data, params=None: list(data),
    )
    serve: Any = scoring_server.invocations
    answer = serve(b'{"inputs": [1, 2]}', "application/json", other, None)
    assert json.loads(answer.response) == {"predictions": [1, 2]}


def test_a_second_model_of_a_process_refuses_as_the_first(served: Served) -> None:
    """Each load runs the file anew; the guard of the first stands before both."""
    second = scoring_server.init(mlflow.pyfunc.load_model(str(served.folder)))
    asked = json.dumps(
        {"dataframe_records": [{**ROW, "style": "ston"}, {"image": TEXT}], "params": OPTIONS}
    )
    answer = TestClient(second).post(
        "/invocations", content=asked, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert len(answer.json()["errors"]) == 2
    status, said = served.rows({**ROW, "style": "ston"}, {"image": TEXT})
    assert (status, said) == (400, answer.json())


def test_a_fault_of_the_server_is_in_its_log_alone(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The face models are missing, which no client can help."""
    monkeypatch.setenv("DUALSTYLEGAN_WEIGHTS", str(served.folder / "nowhere"))
    status, said = served.rows(ROW, align=True)
    assert (status, said["error_code"], said["message"]) == (500, "INTERNAL_ERROR", FAULT)
    assert "weights are missing" in caplog.text
    assert "nowhere" in caplog.text


def test_what_was_found_and_left_is_said(
    served: Served, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALSTYLEGAN_WEIGHTS", str(weights))
    face = Image.open(weights / "astronaut.png").convert("RGB").resize((320, 320))
    group = Image.new("RGB", (face.width * 3 // 2, face.height), (128, 128, 128))
    group.paste(face)
    group.paste(face.resize((face.width // 2, face.height // 2)), (face.width, 0))
    rows = [{"image": base64_of(group), "style": "stone"}, {**ROW, "image": base64_of(photo())}]
    status, said = served.rows(*rows, align=True, paste=True)
    assert status == 200
    found, faceless = said["predictions"]
    assert faceless["error"].startswith("no face found; found: an image of 256 x 256")
    (left,) = found["left_out"]
    assert left.endswith("smaller than those asked for")
    (likeness,) = found["likeness"]
    assert f"likeness: {likeness:.3f}; limit: 0.64" in found["warning"]
    _, said = served.rows(*rows, align=True, paste=True, faces="all")
    (found, _) = said["predictions"]
    assert found["left_out"] == []
    assert len(found["likeness"]) == 2
    with pytest.warns(LikenessWarning):
        expected = served.model.transfer(group, "stone", paste=True, faces="all", size=PX)
    assert base64.b64decode(found["image"]) == encode_result(expected)


def test_a_photo_is_read_once_for_all_its_rows(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "dualstylegan.portrait.reading")
    rows = [{**ROW, "style": style} for style in ("stone", "amber-fox", "blue-heron")]
    status, said = served.rows(*rows, {**ROW, "image": base64_of(photo(40))})
    assert status == 200
    read = [record for record in caplog.records if record.name.endswith("reading")]
    assert len(read) == 2
    assert len({row["image"] for row in said["predictions"]}) == 4

"""Description of the REST interface in OpenAPI 3.1, from the schemas of its options and answers."""

from __future__ import annotations

import re
from typing import Any

from pydantic.json_schema import models_json_schema

from dualstylegan import __version__
from dualstylegan.networks.config import ClosedSchema
from dualstylegan.studio.schemas import (
    MEDIA,
    ZIP,
    ErrorAnswer,
    FrameQuery,
    LiveAnswer,
    OwnStyleAnswer,
    PictureQuery,
    SitterAnswer,
    StyleQuery,
    StylesAnswer,
)

REFERENCE = "#/components/schemas/{model}"
ANSWERS: tuple[type[ClosedSchema], ...] = (
    ErrorAnswer,
    LiveAnswer,
    OwnStyleAnswer,
    SitterAnswer,
    StylesAnswer,
)
SITTER, STYLE, LIVE = "/api/sitters/{sitter}", "/api/styles/{style}", "/api/live/{live}"
# The reasons of refusals, by status.
REFUSALS = {
    400: "the style is not ready yet",
    403: "another site's request",
    404: "no such sitter, live face, style or address",
    409: "a newer request of the same view took its place",
    413: "the file is too large",
    415: "not an image that can be read",
    422: "no usable face, an unknown style, a value out of its bounds, or no space on the disk",
    503: "too much work is waiting, too much is being sent, or the studio is closing",
}


def document() -> dict[str, Any]:
    """Return the description as JSON."""
    _, schemas = models_json_schema(
        [(schema, "serialization") for schema in ANSWERS], ref_template=REFERENCE
    )
    sitter, style, styles, live = (
        _json(schema) for schema in (SitterAnswer, OwnStyleAnswer, StylesAnswer, LiveAnswer)
    )
    jpeg: dict[str, Any] = {MEDIA["jpg"]: {}}
    pictures: dict[str, Any] = {kind: {} for kind in MEDIA.values()}
    face = _parameter("face", {"type": "integer", "minimum": 0}, "crop of this face alone")
    name = _parameter("name", {"type": "string"}, "of the new style") | {"required": True}
    paths = {
        "/api/sitters": {
            "post": _operation("Read a photo; the fit follows", 201, sitter, [413, 415, 422, 503])
            | {"requestBody": _upload()}
        },
        SITTER: {
            "get": _operation("Faces of a photo and progress of the fit", 200, sitter, [404]),
            "delete": _operation("Forget a photo", 204, None, [404]),
        },
        f"{SITTER}/picture": {
            "get": _operation("Restyle a photo", 200, pictures, [404, 409, 422, 503])
            | {"parameters": _options(PictureQuery)}
        },
        f"{SITTER}/photo": {
            "get": _operation("The photo, reduced", 200, jpeg, [404, 422]) | {"parameters": [face]}
        },
        "/api/live": {"post": _operation("Follow a face before a camera", 201, live, [503])},
        LIVE: {
            "get": _operation("Progress of the fit of the face", 200, live, [404]),
            "delete": _operation("Forget the face", 204, None, [404]),
        },
        f"{LIVE}/frames": {
            "post": _frame(pictures)
            | {"parameters": _options(FrameQuery), "requestBody": _upload()}
        },
        "/api/styles": {
            "get": _operation("Styles of the model", 200, styles, []),
            "post": _operation("Add a portrait as a style", 202, style, [413, 415, 422, 503])
            | {"parameters": [name], "requestBody": _upload()},
        },
        STYLE: {
            "get": _operation("Progress of an added style", 200, style, [404]),
            "delete": _operation("Forget an added style", 204, None, [404]),
        },
        f"{STYLE}/thumbnail": {
            "get": _operation("Small picture of a style's exemplar", 200, jpeg, [404])
        },
        f"{STYLE}/model": {
            "get": _operation("Model folder with an added style", 200, {ZIP: {}}, [400, 404, 422])
        },
    }
    for path, item in paths.items():
        for part in re.findall(r"{(\w+)}", path):
            item["parameters"] = [_in_path(part)]  # type: ignore[assignment]
    return {
        "openapi": "3.1.0",
        "info": {"title": "DualStyleGAN studio", "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas["$defs"]},
    }


def _operation(
    summary: str, status: int, content: dict[str, Any] | None, refusals: list[int]
) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "done"}
    if content is not None:
        done["content"] = content
    errors = {
        str(code): {"description": REFUSALS[code], "content": _json(ErrorAnswer)}
        for code in sorted([403, *refusals])
    }
    return {"summary": summary, "responses": {str(status): done, **errors}}


def _frame(pictures: dict[str, Any]) -> dict[str, Any]:
    """Return the operation that restyles a frame, and has no content where no face is in it."""
    operation = _operation(
        "Restyle the next frame of the camera; send it when the last one is answered",
        200,
        pictures,
        [404, 409, 413, 415, 422, 503],
    )
    operation["responses"]["204"] = {"description": "no face in the frame"}
    return operation


def _json(schema: type[ClosedSchema]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": REFERENCE.format(model=schema.__name__)}}}


def _upload() -> dict[str, Any]:
    """Return the description of a body that is the picture's file itself."""
    return {"required": True, "content": {"image/*": {}, "application/octet-stream": {}}}


def _options(query: type[StyleQuery]) -> list[dict[str, Any]]:
    """Return the options of a picture as parameters in the query."""
    schema = query.model_json_schema()
    required = schema.get("required", [])
    found = []
    for name, described in schema["properties"].items():
        text = described.pop("description", "")
        found.append(_parameter(name, described, text) | {"required": name in required})
    return found


def _parameter(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": schema}


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}

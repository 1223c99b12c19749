"""Endpoints of the REST interface, see `openapi` for their description."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from dualstylegan.errors import (
    DualStyleGANError,
    ImageError,
    RequestError,
    SettingsError,
    UnknownItemError,
    UploadError,
)
from dualstylegan.io.allocator import LARGE_BYTES, handing_back
from dualstylegan.networks.config import ClosedSchema
from dualstylegan.portrait.options import MAX_DIGITS
from dualstylegan.studio.export import chunks
from dualstylegan.studio.openapi import document
from dualstylegan.studio.schemas import (
    MEDIA,
    ZIP,
    ErrorAnswer,
    FrameQuery,
    LiveAnswer,
    OwnStyleAnswer,
    PictureQuery,
    ProgressAnswer,
    SitterAnswer,
    StyleAnswer,
    StyleQuery,
    StylesAnswer,
)
from dualstylegan.studio.studio import Studio

MAX_BODY = 100 << 20
BODY_SECONDS = 120
UNPROCESSABLE, UNSUPPORTED, CLOSED = 422, 415, 499
# Names of query parameters that may come several times.
REPEATED = frozenset({"style"})
Query = TypeVar("Query", bound=StyleQuery)


def studio_of(request: Request) -> Studio:
    """Return the studio that a request is for."""
    studio: Studio = request.app.state.studio
    return studio


def answer(content: ClosedSchema, status: int = 200) -> Response:
    """Return an answer in JSON."""
    return JSONResponse(content.model_dump(mode="json"), status_code=status)


@asynccontextmanager
async def received(request: Request) -> AsyncIterator[bytes]:
    """Read the body of a request as it comes; it counts as an upload until it is let go.

    Raises:
        UploadError: it exceeds `MAX_BODY`.
        RequestError: it takes longer than `BODY_SECONDS`.
        BusyError: others send too much at the same time.
    """
    limit = UploadError(
        "the file is too large", limit=f"{MAX_BODY >> 20} MB", fix="save the picture as JPEG"
    )
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BODY:
        raise limit
    body, room = io.BytesIO(), studio_of(request).uploads
    with ExitStack() as held:
        held.callback(lambda: room.give(body.tell()))
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    size = body.tell() + len(part)
                    if size > MAX_BODY:
                        raise limit
                    room.take(len(part))
                    if body.tell() < LARGE_BYTES <= size:
                        held.enter_context(handing_back())
                    body.write(part)
        except TimeoutError as error:
            raise RequestError(
                "the upload takes too long", limit=f"{BODY_SECONDS} seconds", fix="send it again"
            ) from error
        yield body.getvalue()  # itself, not a copy


def read_query(request: Request, schema: type[Query]) -> Query:
    """Read the options of a picture, by their schema.

    Raises:
        SettingsError: names the first option that is out of its bounds.
    """
    texts: dict[str, Any] = {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        texts[name] = values if name in REPEATED else values[-1]
    try:
        return schema.model_validate(texts)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise SettingsError(
            f"the option {name}",
            value=str(first["input"])[:80],
            limit=first["msg"],
            fix="/openapi.json describes the options",
        ) from error


async def post_sitter(request: Request) -> Response:
    """Read a photo: its faces by the encoder at once; the fit follows."""
    studio = studio_of(request)
    async with received(request) as body:
        name = await studio.read(body)
    return answer(SitterAnswer.of(name, studio.sittings.get(name)), 201)


async def get_sitter(request: Request) -> Response:
    """Return the faces of a photo and the progress of the fit."""
    name = request.path_params["sitter"]
    return answer(SitterAnswer.of(name, studio_of(request).sittings.get(name)))


async def delete_sitter(request: Request) -> Response:
    """Forget a photo."""
    studio_of(request).sittings.take(request.path_params["sitter"])
    return Response(status_code=204)


async def get_picture(request: Request) -> Response:
    """Restyle a photo."""
    query = read_query(request, PictureQuery)
    data = await studio_of(request).picture(request.path_params["sitter"], query)
    return Response(data, media_type=MEDIA[query.format])


async def get_photo(request: Request) -> Response:
    """Return the photo itself, reduced, or with `face` the crop of a face."""
    text = request.query_params.get("face")
    # an integer of thousands of digits Python refuses to read
    if text is not None and not (text.isdecimal() and len(text) < MAX_DIGITS):
        raise SettingsError(
            "the option face",
            value=text[:80],
            limit="an index, 0 the largest",
            fix="/openapi.json describes the options",
        )
    face = None if text is None else int(text)
    data = await studio_of(request).photo(request.path_params["sitter"], face)
    return Response(data, media_type=MEDIA["jpg"])


async def post_live(request: Request) -> Response:
    """Begin to follow a face before a camera."""
    studio = studio_of(request)
    return _live(studio, studio.go_live(), 201)


async def get_live(request: Request) -> Response:
    """Return the progress of the fit of a face before a camera."""
    return _live(studio_of(request), request.path_params["live"])


async def delete_live(request: Request) -> Response:
    """Forget a face before a camera."""
    studio_of(request).live.take(request.path_params["live"])
    return Response(status_code=204)


async def post_frame(request: Request) -> Response:
    """Restyle the next frame of a camera; no content where it shows no face."""
    query = read_query(request, FrameQuery)
    async with received(request) as body:
        data = await studio_of(request).frame(request.path_params["live"], body, query)
    if data is None:
        return Response(status_code=204)
    return Response(data, media_type=MEDIA[query.format])


async def get_styles(request: Request) -> Response:
    """List the styles of the model."""
    model = studio_of(request).model
    styles = [
        StyleAnswer(
            name=name,
            label=model.styles.labels.get(name, name),
            thumbnail=f"api/styles/{name}/thumbnail" if name in model.thumbnails else None,
        )
        for name in model.styles.names
    ]
    defaults = model.config.defaults
    return answer(
        StylesAnswer(
            model=model.config.name,
            size=max(model.generator.output_sizes),
            structure=defaults.structure,
            color=defaults.color,
            styles=styles,
        )
    )


async def post_style(request: Request) -> Response:
    """Add a portrait as a style; its progress is asked for by its id."""
    studio = studio_of(request)
    async with received(request) as body:
        style = await studio.add(request.query_params.get("name", ""), body)
    return _own(studio, style, 202)


async def get_style(request: Request) -> Response:
    """Return the progress of an added style."""
    return _own(studio_of(request), request.path_params["style"])


async def delete_style(request: Request) -> Response:
    """Forget an added style."""
    studio_of(request).styles.take(request.path_params["style"])
    return Response(status_code=204)


async def get_thumbnail(request: Request) -> Response:
    """Return a small picture of a style's exemplar."""
    studio, name = studio_of(request), request.path_params["style"]
    own = name in studio.styles
    data = studio.styles.get(name).thumbnail if own else studio.model.thumbnails.get(name)
    if not data:
        raise UnknownItemError(
            "no thumbnail of this style",
            value=name[:80],
            fix="/api/styles lists the styles that have one",
        )
    return Response(data, media_type=MEDIA["jpg"])


async def get_model(request: Request) -> Response:
    """Return a ZIP file of the model's folder with an added style."""
    name, file = await studio_of(request).export(request.path_params["style"])
    # names of styles may hold any letters, headers only ASCII
    disposition = f"attachment; filename*=utf-8''{quote(name)}.zip"
    headers = {"Content-Disposition": disposition}
    return StreamingResponse(chunks(file), media_type=ZIP, headers=headers)


async def get_document(request: Request) -> Response:
    """Return the description of the interface."""
    return JSONResponse(document())


def _own(studio: Studio, name: str, status: int = 200) -> Response:
    style = studio.styles.get(name)
    progress = ProgressAnswer.of(style.progress)
    return answer(OwnStyleAnswer(id=name, name=style.name, progress=progress), status)


def _live(studio: Studio, name: str, status: int = 200) -> Response:
    fit = ProgressAnswer.of(studio.live.get(name).fit)
    return answer(LiveAnswer(id=name, fit=fit), status)


async def refuse(request: Request, error: Exception) -> Response:
    """Return the answer to a typed error, by its status."""
    assert isinstance(error, DualStyleGANError)
    if isinstance(error, RequestError):
        status = error.status
    else:
        status = UNSUPPORTED if isinstance(error, ImageError) else UNPROCESSABLE
    return answer(ErrorAnswer.of(error), status)


async def refuse_address(request: Request, error: Exception) -> Response:
    """Return the answer to an unknown address or a method that it does not have."""
    assert isinstance(error, HTTPException)
    return answer(
        ErrorAnswer(error=error.detail.lower(), fix="see /openapi.json"), error.status_code
    )


async def hang_up(request: Request, error: Exception) -> Response:
    """Forget an upload that the visitor has broken off; nobody reads this answer."""
    return Response(status_code=CLOSED)


async def excuse(request: Request, error: Exception) -> Response:
    """Return the answer to a fault of the studio itself; its cause is in the log."""
    return answer(ErrorAnswer(error="the studio failed; its log has the cause"), 500)


ROUTES = [
    Route("/api/sitters", post_sitter, methods=["POST"]),
    Route("/api/sitters/{sitter}", get_sitter, methods=["GET"]),
    Route("/api/sitters/{sitter}", delete_sitter, methods=["DELETE"]),
    Route("/api/sitters/{sitter}/picture", get_picture, methods=["GET"]),
    Route("/api/sitters/{sitter}/photo", get_photo, methods=["GET"]),
    Route("/api/live", post_live, methods=["POST"]),
    Route("/api/live/{live}", get_live, methods=["GET"]),
    Route("/api/live/{live}", delete_live, methods=["DELETE"]),
    Route("/api/live/{live}/frames", post_frame, methods=["POST"]),
    Route("/api/styles", get_styles, methods=["GET"]),
    Route("/api/styles", post_style, methods=["POST"]),
    Route("/api/styles/{style}", get_style, methods=["GET"]),
    Route("/api/styles/{style}", delete_style, methods=["DELETE"]),
    Route("/api/styles/{style}/thumbnail", get_thumbnail, methods=["GET"]),
    Route("/api/styles/{style}/model", get_model, methods=["GET"]),
    Route("/openapi.json", get_document, methods=["GET"]),
]
HANDLERS = {
    DualStyleGANError: refuse,
    HTTPException: refuse_address,
    ClientDisconnect: hang_up,
    Exception: excuse,
}

"""Server of the studio: its application, and its life from the socket to Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from dualstylegan.errors import SettingsError
from dualstylegan.portrait.add_style import AddStyleSettings
from dualstylegan.studio.api import HANDLERS, ROUTES
from dualstylegan.studio.guard import Guard
from dualstylegan.studio.studio import Studio

if TYPE_CHECKING:
    from dualstylegan.portrait.model import PortraitModel

STATIC = Path(__file__).parent / "static"
EXPIRY_SECONDS = 60.0
GRACE_SECONDS = 2


def application(
    model: PortraitModel,
    host: str = "127.0.0.1",
    adding: AddStyleSettings | None = None,
) -> Starlette:
    """Return the application: page, REST interface, guard.

    Args:
        model: the model.
        host: name or address by which the server goes.
        adding: settings of the optimisation of added styles; None: the defaults.
    """
    studio = Studio(model, adding)

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        expiry = asyncio.create_task(_expire(studio))
        studio.warm_up()
        try:
            yield
        finally:
            expiry.cancel()
            studio.close()

    async def page(request: Request) -> FileResponse:
        return FileResponse(STATIC / "index.html")

    app = Starlette(
        routes=[Route("/", page), *ROUTES, Mount("/static", StaticFiles(directory=STATIC))],
        middleware=[Middleware(Guard, names=[host.lower(), socket.gethostname().lower()])],
        exception_handlers=cast("dict[Any, Any]", HANDLERS),
        lifespan=life,
    )
    # an address with a slash too many is unknown
    app.router.redirect_slashes = False
    app.state.studio = studio
    return app


async def _expire(studio: Studio) -> None:
    """Forget what visitors have left, for as long as the server runs."""
    while True:
        await asyncio.sleep(EXPIRY_SECONDS)
        studio.sittings.expire()
        studio.styles.expire()
        studio.live.expire()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one.

    Raises:
        SettingsError: the address is not this machine's, or the port is taken.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise SettingsError(
            "the studio cannot listen",
            value=f"{host}, port {port}: {getattr(error, 'strerror', None) or error}",
            fix="give another --port, or an address of this machine as --host",
        ) from error


def address(listening: socket.socket) -> str:
    """Return the address of a listening socket, for people to open."""
    host, port = listening.getsockname()[:2]
    found = ipaddress.ip_address(host)
    if found.is_unspecified:
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


class StudioServer(uvicorn.Server):
    """Server that leaves the work of its studio as soon as it is to end."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse what waits, then give what runs its seconds to end."""
        app = self.config.app
        assert isinstance(app, Starlette)
        app.state.studio.worker.close()
        await super().shutdown(sockets)


def server(app: Starlette) -> StudioServer:
    """Return a server of the application that says nothing but errors."""
    return StudioServer(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


def serve(app: Starlette, listening: socket.socket) -> None:
    """Serve until Ctrl-C."""
    # the limits are our own; filters set while decoding do not hold in the other threads
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    with contextlib.suppress(KeyboardInterrupt):
        server(app).run(sockets=[listening])

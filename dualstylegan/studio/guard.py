"""Guard of the server: refuses other sites' requests, and tells browsers to load nothing foreign.

A page of another site that is open in the same browser can send requests to this machine, under its
address (cross-site requests) or under a name of its own that it has moved here (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dualstylegan.errors import ClosingError, ForeignError, RequestError
from dualstylegan.studio.schemas import ErrorAnswer

HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Middleware that checks Host and Origin and adds headers to each answer.

    Args:
        app: the application.
        names: host names of the server beside `localhost` and addresses in numbers.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str] = ()) -> None:
        self.app = app
        self.names = frozenset({"localhost", *names})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of this site, refuse all others."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        error: RequestError | None = self._refusal(Headers(scope=scope))
        if error is None:
            try:
                return await self.app(scope, receive, guarded)
            except asyncio.CancelledError:  # the server ends, and its seconds are over
                if started:
                    raise
                error = ClosingError()
        answer = JSONResponse(ErrorAnswer.of(error).model_dump(), status_code=error.status)
        await answer(scope, receive, guarded)

    def _refusal(self, headers: Headers) -> ForeignError | None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            return ForeignError(
                "the studio does not go by this name",
                value=host[:80],
                limit="localhost, an address in numbers, or the name that --host gives",
                fix="open the address that the command has printed",
            )
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != host
        # a link on another page that leads here is welcome
        followed = headers.get("sec-fetch-mode") == "navigate"
        if foreign or (headers.get("sec-fetch-site") == "cross-site" and not followed):
            return ForeignError(
                "a request of another site", value=(origin or "")[:80], fix="use the studio's page"
            )
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
            if name is None:
                return False
            if name in self.names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

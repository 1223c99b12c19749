"""Requests in HTTP to the bytes, valid, hostile and malformed ones, each drawn from a seed."""

from __future__ import annotations

import http.client
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

Kind = Literal["valid", "hostile", "malformed"]
VALID: Kind = "valid"
HOSTILE: Kind = "hostile"
MALFORMED: Kind = "malformed"
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Shot:
    """Request, as the bytes that go over the wire.

    Attributes:
        kind: valid ones are to be served, hostile ones to be refused in words, malformed ones to
            be survived.
        name: of what is wrong with it.
        parts: bytes that are sent one after another.
        pause: seconds after each part.
        ending: "open" waits for the answer; "half" says that no more is sent, and waits; "gone"
            hangs up without reading.
    """

    kind: Kind
    name: str
    parts: tuple[bytes, ...]
    pause: float = 0.0
    ending: Literal["open", "half", "gone"] = "open"

    @property
    def method(self) -> str:
        """Method, which decides on whether an answer has a body."""
        return self.parts[0].split(b" ", 1)[0].decode("latin-1") if self.parts else "GET"


@dataclass(frozen=True)
class Outcome:
    """Answer to a shot; a status of 0: closed without one, -1: none in time, -2: not connected."""

    status: int
    seconds: float
    body: bytes = b""


def fire(port: int, shot: Shot) -> Outcome:
    """Send a request on a connection of its own and read the answer."""
    start = time.perf_counter()
    status, body = 0, b""
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
    except OSError:
        return Outcome(-2, time.perf_counter() - start)
    with connection:
        try:
            try:
                for part in shot.parts:
                    connection.sendall(part)
                    if shot.pause:
                        time.sleep(shot.pause)
                if shot.ending == "half":
                    connection.shutdown(socket.SHUT_WR)
            except TimeoutError:
                raise
            except OSError:
                pass  # refused while it was sent: the answer is there all the same
            if shot.ending != "gone":
                answer = http.client.HTTPResponse(connection, method=shot.method)
                answer.begin()
                body = answer.read()
                status = answer.status
        except TimeoutError:
            status = -1
        except (OSError, http.client.HTTPException):
            status = 0
    return Outcome(status, time.perf_counter() - start, body)


def request(
    method: str, target: str, body: bytes | None = None, kind: str | None = None, *headers: str
) -> bytes:
    """Return a request as a well-behaved client sends it, to be closed after the answer.

    Args:
        method: of HTTP.
        target: path and query, as they are sent.
        body: bytes, if any.
        kind: content type of the body, if any.
        headers: further ones.
    """
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def chunked(method: str, target: str, body: bytes, kind: str, pieces: int) -> tuple[bytes, ...]:
    """Return a request whose body comes in chunks."""
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    step = max(1, -(-len(body) // pieces))
    parts = [body[start : start + step] for start in range(0, len(body), step)]
    framed = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
    return (head.encode(), *framed, b"0\r\n\r\n")


def malformed(rng: random.Random, target: str, body: bytes, kind: str) -> Shot:
    """Return a request that breaks the rules of HTTP, or is never finished.

    Args:
        rng: draws the way.
        target: an address that takes the body.
        body: a valid one.
        kind: its content type.
    """
    whole = request("POST", target, body, kind)
    head, _, _ = whole.partition(b"\r\n\r\n")
    cut = rng.randrange(1, len(whole))
    garbage = rng.randbytes(rng.randrange(1, 400))
    start = f"POST {target} HTTP/1.1\r\nHost: localhost\r\n".encode()
    wrong_lengths = (b"-1", b"1e3", b"9" * 30, b"0x10", b"+5", b"5, 6", b"\xb2", b"")
    ways: dict[str, Callable[[], Shot]] = {
        "garbage": lambda: _shot("garbage", garbage, ending="half"),
        "cut and half closed": lambda: _shot("cut and half closed", whole[:cut], ending="half"),
        "cut and gone": lambda: _shot("cut and gone", whole[:cut], ending="gone"),
        "asked and gone": lambda: _shot("asked and gone", whole, ending="gone"),
        "half closed": lambda: _shot("half closed", whole, ending="half"),
        "slow": lambda: Shot(MALFORMED, "slow", tuple(_slices(whole, 8)), 0.05),
        "flipped": lambda: _shot("flipped", _flipped(rng, head) + b"\r\n\r\n", ending="half"),
        "length": lambda: _shot(
            "length",
            start + b"Content-Length: " + rng.choice(wrong_lengths) + b"\r\n\r\n" + body[:50],
            ending="half",
        ),
        "two lengths": lambda: _shot(
            "two lengths",
            start + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
            ending="half",
        ),
        "length and chunks": lambda: _shot(
            "length and chunks",
            start + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"5\r\nabcde\r\n0\r\n\r\n",
            ending="half",
        ),
        "chunk size": lambda: _shot(
            "chunk size",
            start + b"Transfer-Encoding: chunked\r\n\r\n"
            + rng.choice((b"-5", b"zz", b"f" * 40, b"", b"5;" + b"x" * 9000)) + b"\r\nabcde\r\n",
            ending="half",
        ),
        "coding": lambda: _shot(
            "coding", start + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", ending="half"
        ),
        "long header": lambda: _shot(
            "long header", start + b"X: " + b"a" * 100_000 + b"\r\n\r\n", ending="half"
        ),
        "long address": lambda: _shot(
            "long address", request("GET", "/" + "a" * rng.randrange(10, 100_000)), ending="half"
        ),
        "many headers": lambda: _shot(
            "many headers", start + b"".join(b"X%d: 1\r\n" % n for n in range(3000)) + b"\r\n",
            ending="half",
        ),
        "zero in header": lambda: _shot(
            "zero in header", start + b"X: a\0b\r\n\r\n", ending="half"
        ),
        "no host": lambda: _shot("no host", b"GET / HTTP/1.1\r\n\r\n", ending="half"),
        "old": lambda: _shot("old", b"GET / HTTP/1.0\r\n\r\n"),
        "older": lambda: _shot("older", b"GET /\r\n\r\n", ending="half"),
        "http/2": lambda: _shot("http/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ending="half"),
        "tls": lambda: _shot("tls", b"\x16\x03\x01\x02\x00\x01\x00" + garbage, ending="half"),
        "method": lambda: _shot(
            "method", request(rng.choice(("PUT", "TRACE", "CONNECT", "BREW", "HEAD")), target)
        ),
        "address": lambda: _shot(
            "address",
            request("GET", "/" + quote(garbage) + rng.choice(("", "?%ff=%00", "?" + "&" * 500))),
        ),
        "upgrade": lambda: _shot(
            "upgrade",
            request("GET", target, None, None, "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
            ending="half",
        ),
    }  # fmt: skip
    return ways[rng.choice(sorted(ways))]()


def _shot(name: str, data: bytes, ending: Literal["open", "half", "gone"] = "open") -> Shot:
    return Shot(MALFORMED, name, (data,), 0.0, ending)


def _slices(data: bytes, count: int) -> list[bytes]:
    step = -(-len(data) // count)
    return [data[start : start + step] for start in range(0, len(data), step)]


def _flipped(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Return data with bytes changed, cut out or doubled."""
    changed = bytearray(_flipped(rng, data))
    at = rng.randrange(len(changed))
    length = rng.randrange(1, 64)
    change = rng.randrange(4)
    if change == 0:
        del changed[at : at + length]
    elif change == 1:
        changed[at:at] = changed[at : at + length]
    elif change == 2:
        del changed[at:]
    return bytes(changed)

"""Requests to `dualstylegan serve`: those of its page, and those that no page would send."""

from __future__ import annotations

import io
import random
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from tests.reliability.serving_shots import (
    HOSTILE,
    MALFORMED,
    VALID,
    Shot,
    chunked,
    fire,
    malformed,
    mutated,
    request,
)
from tests.support.portrait_models import STYLE_NAMES

SITTERS, TYPE = "/api/sitters", "image/jpeg"
UNITS = ("nan", "inf", "-inf", "1e999", "-0.1", "1.5", "true", "no", "", "0x1", "[]", "\ud800", "½")
WHOLE = (
    "256.5",
    "64.5",
    "63",
    "1025",
    "-64",
    "1e2",
    "",
    "true",
    "9" * 5000,
    "nan",
    "٦٤",
    "6 4",
    "\0",
)
BITS = ("2", "nein", "", "nan", "[]", "0.5", "-1")
WRONG: dict[str, tuple[str, ...]] = {
    "structure": UNITS,
    "color": UNITS,
    "size": WHOLE,
    "face": ("-1", "0.5", "9", "", "9" * 5000, "nan", "true"),
    "preserve_color": BITS,
    "whole": BITS,
    "draft": BITS,
    "format": ("gif", "", "../png", "PNG", "a" * 5000),
    "view": ("v" * 65,),
    "colour": ("1",),
    "style": ("nobody", "", "stone:nan", "stone:inf", "stone:-1", "stone:", "stone:much", "\0",
              "a" * 5000),
}  # fmt: skip
ADDRESSES = (
    "/nowhere", "/api", "/api/sitters/", "/api/sitters/nobody",
    "/api/sitters/nobody/picture?style=x", "/api/styles/none", "/api/styles/none/thumbnail",
    "/api/styles/none/model", "/api/live/none",
    "/static/../api.py", "/static/%2e%2e/server.py", "/static//etc/passwd", "/static/%00",
    "/static/..%2f..%2f..%2fetc%2fpasswd", "//etc/passwd", "/static", "/static/",
    "/api/styles/%ed%a0%80",
)  # fmt: skip


class StudioShots:
    """Requests of visitors who share one photo.

    Args:
        port: of the studio.
        photo: JPEG file that shows a face.
    """

    def __init__(self, port: int, photo: bytes) -> None:
        self.photo = photo
        upload = request("POST", SITTERS, photo, TYPE)
        answer = fire(port, Shot(VALID, "photo", (upload,)))
        assert answer.status == 201, answer
        self.sitter = answer.body.decode().partition('"id":"')[2].partition('"')[0]

    def picture(self, *options: str) -> str:
        """Return the address of a picture with options."""
        return f"{SITTERS}/{self.sitter}/picture?{'&'.join(options)}"

    def one(self, rng: random.Random) -> Shot:
        """Return the request for a small picture in one of the styles."""
        asked = self.picture(f"style={rng.choice(STYLE_NAMES)}", "size=64")
        return Shot(VALID, "picture", (request("GET", asked),))

    def valid(self, rng: random.Random) -> Shot:
        """Return a request that is to be served."""
        if rng.random() < 0.03:
            if rng.random() < 0.5:
                return Shot(VALID, "photo", (request("POST", SITTERS, self.photo, TYPE),))
            return Shot(VALID, "chunked", chunked("POST", SITTERS, self.photo, TYPE, 9))
        if rng.random() < 0.3:
            target = rng.choice(
                (
                    "/", "/api/styles", "/openapi.json", "/static/studio.js",
                    f"{SITTERS}/{self.sitter}",
                    f"{SITTERS}/{self.sitter}/photo", f"/api/styles/{STYLE_NAMES[-1]}/thumbnail",
                )
            )  # fmt: skip
            return Shot(VALID, target[:13], (request("GET", target),))
        options = [f"style={rng.choice(STYLE_NAMES)}:{rng.random():.2f}", f"style={STYLE_NAMES[0]}"]
        options += [f"structure={rng.random():.2f}", "size=64", "format=jpg"]
        options += rng.choice(([], ["preserve_color=true"], ["whole=1", "draft=1"]))
        return Shot(VALID, "mix", (request("GET", self.picture(*options)),))

    def hostile(self, rng: random.Random) -> Shot:
        """Return a request in good HTTP that must be refused."""
        way = rng.randrange(6)
        if way < 3:
            name = rng.choice(sorted(WRONG))
            value = rng.choice(WRONG[name])
            options = [f"style={STYLE_NAMES[0]}", "size=64"]
            options = [one for one in options if not one.startswith(f"{name}=")]
            text = quote(value.encode("utf-8", "surrogatepass"))
            asked = self.picture(*options, f"{name}={text}")
            if name == "face" and rng.random() < 0.5 and value:
                asked = f"{SITTERS}/{self.sitter}/photo?face={text}"
            return Shot(HOSTILE, f"{name} {value[:20]!r}", (request("GET", asked),))
        if way == 3:
            target = rng.choice(ADDRESSES)
            method = rng.choice(("GET", "GET", "DELETE", "PUT"))
            return Shot(HOSTILE, f"{method} {target}", (request(method, target),))
        data = rng.choice((b"", b"text", self.photo[:500], blank(rng), rng.randbytes(3000)))
        target = rng.choice((SITTERS, f"/api/live/none/frames?style={STYLE_NAMES[0]}"))
        if way == 4 and len(data) > 600:
            data = data[:600]
        return Shot(HOSTILE, f"{target} {data[:8]!r}", (request("POST", target, data, TYPE),))

    def draw(self, rng: random.Random) -> Shot:
        """Return a request of any kind."""
        way = rng.random()
        if way < 0.4:
            return self.valid(rng)
        if way < 0.8:
            return self.hostile(rng)
        if way < 0.82:
            upload = request("POST", SITTERS, mutated(rng, self.photo), TYPE)
            return Shot(MALFORMED, "mutated", (upload,))
        return malformed(rng, SITTERS, self.photo[:2000], TYPE)


def blank(rng: random.Random) -> bytes:
    """Return a picture without a face."""
    buffer = io.BytesIO()
    Image.new("RGB", (200, 200), rng.choice(("gray", "navy"))).save(buffer, "JPEG")
    return buffer.getvalue()


def portrait(weights: Path) -> bytes:
    """Return a photo of a face as a visitor sends it."""
    buffer = io.BytesIO()
    Image.open(weights / "astronaut.png").convert("RGB").resize((256, 256)).save(buffer, "JPEG")
    return buffer.getvalue()

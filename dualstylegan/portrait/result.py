"""Facts about a result: its recipe, the likeness of its faces; their place in image files."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dualstylegan.io.files import short_digest
from dualstylegan.portrait.config import RESULT_FORMATS, PortraitConfig
from dualstylegan.portrait.options import ReadOptions, RestyleOptions

if TYPE_CHECKING:
    from dualstylegan.portrait.sitter import Sitter, SitterFace
    from dualstylegan.portrait.style_choice import ChosenStyle

PREFIX = "dualstylegan:"
# Facts that no recipe knows beforehand.
OUTCOME = frozenset(f"{PREFIX}{name}" for name in ("pasted", "left_out", "likeness", "warning"))
QUALITY = 95
# EXIF: the pointer to the tags of the picture's taking, and the free text among them.
EXIF_IFD, USER_COMMENT = 0x8769, 0x9286
ASCII_CODE = b"ASCII\0\0\0"


@dataclass(frozen=True)
class Recipe:
    """All that decides about the pixels of a result.

    Attributes:
        config: of the model, with its defaults.
        model_digest, photo_digest: of the model and of the photo's pixels.
        style: the style.
        options: weights, truncation and size.
        reading: faces, alignment and steps of the fit.
        face: index of the face that is shown; None: all that were read, in the photo.
    """

    config: PortraitConfig
    model_digest: str
    photo_digest: str
    style: ChosenStyle
    options: RestyleOptions
    reading: ReadOptions
    face: int | None = 0

    def facts(self) -> dict[str, str]:
        """Return the recipe as text, by keys that begin with `dualstylegan:`.

        Keys: `model`, `model_digest`, `photo`, `style` (of a named style or a mix), `seed` (of a
        drawn one), `style_digest`, `structure` and `color` or `weights`, `truncation`,
        `preserve_color` (where it is on), `size`, `align` (where it is off), `face` (where it is
        not the largest), `paste` (where faces are put back), `faces` (that are, where not the
        largest), `background` (then, where it is not kept), `fit_steps`.
        """
        defaults, reading, paste = self.config.defaults, self.reading, self.face is None
        ground = self.options.background
        steps = defaults.fit_steps if reading.fit_steps is None else reading.fit_steps
        return prefixed(
            {
                **model_facts(self.config, self.model_digest),
                "photo": short_digest(self.photo_digest),
                **self.style.facts,
                **self.options.facts(defaults),
                "align": None if reading.align else "false",
                "face": str(self.face) if self.face else None,
                "paste": "true" if paste else None,
                "faces": str(reading.faces) if paste and reading.faces != "largest" else None,
                "background": ground if paste and ground != "keep" else None,
                "fit_steps": str(steps),
            }
        )

    def made(self, image: Image.Image) -> bool:
        """Return True if an image, or its file, says that it was made by this recipe."""
        found = facts_of(image)
        return {k: v for k, v in found.items() if k not in OUTCOME} == self.facts()


def outcome_facts(sitter: Sitter, faces: Sequence[SitterFace], paste: bool) -> dict[str, str]:
    """Return what came out as text, by keys that begin with `dualstylegan:`.

    Keys: `pasted` (number of faces that were put back), `left_out` (then, the others, and why),
    `likeness` (where it was measured) and `warning` (if there is one), of each face.
    """
    likeness = [f"{f.fit.likeness:.3f}" for f in faces if f.fit.likeness is not None]
    warnings = dict.fromkeys(str(f.fit.warning) for f in faces if f.fit.warning is not None)
    return prefixed(
        {
            "pasted": str(len(faces)) if paste else None,
            "left_out": "\n".join(map(str, sitter.left_out)) or None if paste else None,
            "likeness": ", ".join(likeness) or None,
            "warning": "\n".join(warnings) or None,
        }
    )


def model_facts(config: PortraitConfig, digest: str) -> dict[str, str | None]:
    """Return the name of a model and its digest as text."""
    return {"model": config.name, "model_digest": short_digest(digest)}


def prefixed(facts: Mapping[str, str | None]) -> dict[str, str]:
    """Return facts under the keys that files hold them by; those that are None do not apply."""
    return {PREFIX + key: value for key, value in facts.items() if value is not None}


def facts_of(image: Image.Image) -> dict[str, str]:
    """Return the facts of an image: of a result, or of a PNG, JPEG or WebP file that holds them."""
    items: Mapping[str, object] = {str(key): value for key, value in image.info.items()}
    if not any(key.startswith(PREFIX) for key in items):
        items = _exif_facts(image)
    return {key: str(value) for key, value in items.items() if key.startswith(PREFIX)}


def _exif_facts(image: Image.Image) -> dict[str, object]:
    """Return what JSON the EXIF comment of an image holds; nothing where it is another text."""
    try:
        comment = image.getexif().get_ifd(EXIF_IFD).get(USER_COMMENT, b"")
        found = json.loads(bytes(comment).removeprefix(ASCII_CODE))
    # Whatever odd metadata holds, it is not ours.
    except Exception:
        return {}
    return found if isinstance(found, dict) else {}


def encode_result(image: Image.Image, suffix: str = ".png") -> bytes:
    """Return a result as a file that holds its facts, the same from every entry point.

    PNG holds them in text chunks, JPEG and WebP in the EXIF comment, as JSON.

    Args:
        image: a result.
        suffix: of the file, one of `RESULT_FORMATS`.
    """
    buffer = io.BytesIO()
    kind = RESULT_FORMATS[suffix]
    if kind == "PNG":
        image.save(buffer, kind, pnginfo=png_text(image))
    else:
        image.save(buffer, kind, quality=QUALITY, exif=exif_text(facts_of(image)))
    return buffer.getvalue()


def png_text(image: Image.Image) -> PngInfo:
    """Return the facts of an image as text chunks, for `Image.save(..., pnginfo=...)`."""
    text = PngInfo()
    for key, value in facts_of(image).items():
        text.add_text(key, value)
    return text


def exif_text(facts: Mapping[str, str]) -> Image.Exif:
    """Return facts as an EXIF comment, for `Image.save(..., exif=...)`."""
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[USER_COMMENT] = ASCII_CODE + json.dumps(facts).encode()
    return exif

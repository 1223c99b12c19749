"""Facts about a result: its recipe, the likeness of its faces; their place in image files."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dualstylegan.portrait.config import PortraitConfig
from dualstylegan.portrait.options import RestyleOptions

if TYPE_CHECKING:
    from dualstylegan.portrait.sitter import Sitter, SitterFace
    from dualstylegan.portrait.style_choice import ChosenStyle

PREFIX = "dualstylegan:"
QUALITY = 95
DIGEST_LENGTH = 16
# Formats of results; all of them hold the facts.
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
# EXIF: the pointer to the tags of the picture's taking, and the free text among them.
EXIF_IFD, USER_COMMENT = 0x8769, 0x9286
ASCII_CODE = b"ASCII\0\0\0"


def result_facts(
    config: PortraitConfig,
    sitter: Sitter,
    faces: Sequence[int],
    style: ChosenStyle,
    options: RestyleOptions,
    paste: bool,
) -> dict[str, str]:
    """Return facts about the making of a result as text, by keys that begin with `dualstylegan:`.

    The recipe, which decides the pixels: `model`, `model_digest`, `photo` (digest of its pixels),
    `style` (of a named style or a mix), `seed` (of a drawn one), `style_digest`, `structure` and
    `color` or `weights`, `truncation`, `preserve_color` (where it is on), `size`, `align` (where it
    is off), `face` (index, where it is not the largest), `paste` (where faces were put back into
    the photo), `faces` (that were asked for then, where not the largest), `background` (then, where
    it is not kept), `fit_steps`. The outcome: `pasted` (number of faces), `left_out` (the
    others, and why), `likeness` (where it was measured) and `warning` (if there is one), of each
    face.

    Args:
        config: of the model, with its defaults.
        sitter: the photo as it was read.
        faces: indices of the faces that are shown.
        style: the style.
        options: weights, truncation and size.
        paste: the faces were put back into the photo.
    """
    shown = [sitter.faces[index] for index in faces]
    facts: dict[str, str | None] = {
        "model": config.name,
        "model_digest": sitter.model_digest[:DIGEST_LENGTH],
        "photo": sitter.photo_digest[:DIGEST_LENGTH],
        **style.facts,
        **options.facts(config.defaults),
        "align": "false" if shown[0].quad_Q2 is None else None,
        "face": str(faces[0]) if faces[0] > 0 else None,
        "paste": "true" if paste else None,
        "faces": str(sitter.asked) if paste and sitter.asked != "largest" else None,
        "background": options.background if paste and options.background != "keep" else None,
        "pasted": str(len(shown)) if paste else None,
        "left_out": "\n".join(map(str, sitter.left_out)) or None if paste else None,
        **_fit_facts(shown),
    }
    return {PREFIX + key: value for key, value in facts.items() if value is not None}


def _fit_facts(faces: Sequence[SitterFace]) -> dict[str, str | None]:
    likeness = [f"{f.fit.likeness:.3f}" for f in faces if f.fit.likeness is not None]
    warnings = dict.fromkeys(str(f.fit.warning) for f in faces if f.fit.warning is not None)
    return {
        "fit_steps": str(faces[0].fit.steps),
        "likeness": ", ".join(likeness) or None,
        "warning": "\n".join(warnings) or None,
    }


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
        suffix: of the file, one of `FORMATS`.
    """
    buffer = io.BytesIO()
    kind = FORMATS[suffix]
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

"""Images as texts in base64, as requests hold them."""

from __future__ import annotations

import base64

from dualstylegan.errors import ImageError

IMAGE_FIX = "give the bytes of the photo's file in base64 as `image`"


def file_of_base64(text: str | None) -> bytes:
    """Return the bytes of an image file in base64.

    Raises:
        ImageError: nothing, or not base64.
    """
    if text is None:
        raise ImageError("no image", fix=IMAGE_FIX)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ImageError("not base64", value=text[:40], fix=IMAGE_FIX) from error

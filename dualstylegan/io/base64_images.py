"""Images as texts in base64, as requests hold them."""

from __future__ import annotations

import base64

from PIL import Image

from dualstylegan.errors import ImageError
from dualstylegan.io.images import decode_image

IMAGE_FIX = "give the bytes of the photo's file in base64 as `image`"


def decode_base64(text: str | None) -> Image.Image:
    """Read an image in base64 with the checks of any file.

    Raises:
        ImageError: nothing, not base64, or not an image.
    """
    if text is None:
        raise ImageError("no image", fix=IMAGE_FIX)
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ImageError("not base64", value=text[:40], fix=IMAGE_FIX) from error
    return decode_image(data)

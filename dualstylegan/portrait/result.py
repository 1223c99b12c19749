"""Facts about a result: the fit of the face's code, its likeness, and text chunks of a PNG.

Legend of shape suffixes: L row, D style width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dualstylegan.errors import LikenessWarning
from dualstylegan.portrait.config import PortraitConfig

if TYPE_CHECKING:
    from torch import Tensor

PREFIX = "dualstylegan:"


@dataclass(frozen=True)
class FaceFit:
    """Code fitted to a face.

    Attributes:
        code_LD: Z+ code.
        steps: optimisation steps after the encoder.
        likeness: identity similarity of g(code) to the face, by dlib: 1 for equal embeddings; None
            where face recognition is not at hand.
        line: least similarity at which the fit counts as the same person; 0: any.
    """

    code_LD: Tensor
    steps: int
    likeness: float | None
    line: float

    @property
    def warning(self) -> LikenessWarning | None:
        """Warning about a likeness below the line; None where there is nothing to say."""
        if self.likeness is None or self.line == 0 or self.likeness >= self.line:
            return None
        return LikenessWarning(self.likeness, self.line, self.steps)


def result_facts(
    config: PortraitConfig,
    style: str | None,
    weights: Mapping[str, float | None],
    preserve_color: bool,
    fitted: FaceFit,
) -> dict[str, str]:
    """Return facts about the making of a result as text, by keys that begin with `dualstylegan:`.

    The command line adds `seed` for a style that it drew.

    Keys: `model`, `style` (of a named style), `structure`, `color`, `truncation`, `preserve_color`
    (where it is on), `fit_steps`, `likeness` (where it was measured), `warning` (if there is one).

    Args:
        config: of the model, with its defaults.
        style: name of the style; None for a code without a name.
        weights: structure, color and truncation; None takes the model's default.
        preserve_color: option of `transfer`.
        fitted: fit of the face.
    """
    defaults = config.defaults.model_dump()
    facts = {"model": config.name, "style": style}
    facts |= {k: f"{defaults[k] if v is None else v:g}" for k, v in weights.items()}
    facts["preserve_color"] = "true" if preserve_color else None
    facts["fit_steps"] = str(fitted.steps)
    facts["likeness"] = None if fitted.likeness is None else f"{fitted.likeness:.3f}"
    facts["warning"] = None if fitted.warning is None else str(fitted.warning)
    return {PREFIX + key: value for key, value in facts.items() if value is not None}


def facts_of(image: Image.Image) -> dict[str, str]:
    """Return the facts in an image's `info`: of a result, or of a PNG file that holds them."""
    items = ((str(key), value) for key, value in image.info.items())
    return {key: str(value) for key, value in items if key.startswith(PREFIX)}


def png_text(image: Image.Image) -> PngInfo:
    """Return the facts of an image as text chunks, for `Image.save(..., pnginfo=...)`."""
    text = PngInfo()
    for key, value in facts_of(image).items():
        text.add_text(key, value)
    return text

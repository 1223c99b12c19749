"""Background of a photo into which restyled faces are pasted."""

from __future__ import annotations

from typing import Literal, get_args

# "keep" leaves it as it is. "style" brings the results' own, which fade into the photo, whose
# palette follows theirs.
Background = Literal["keep", "style"]
BACKGROUNDS: tuple[Background, ...] = get_args(Background)

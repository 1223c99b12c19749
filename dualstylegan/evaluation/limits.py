"""Fewest faces and exemplars that can be evaluated, for every caller that has to know."""

from __future__ import annotations

from dualstylegan.errors import DataError

# Measures compare each result with another face and another exemplar.
MIN_FACES = 2
MIN_EXEMPLARS = 2


def check_counts(faces: int, exemplars: int) -> None:
    """Check that there are enough images for an evaluation.

    Raises:
        DataError: fewer content faces or exemplars than the measures compare.
    """
    if faces < MIN_FACES or exemplars < MIN_EXEMPLARS:
        raise DataError(
            "too few images to evaluate",
            value=f"content faces: {faces}, exemplars: {exemplars}",
            limit=f"at least {MIN_FACES} content faces and {MIN_EXEMPLARS} exemplars",
            fix="add portraits, or raise evaluate.contents and evaluate.styles",
        )

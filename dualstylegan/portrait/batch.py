"""Restyling of many photos in many styles into a folder; what is there already is kept.

A photo is read once for all styles. A result counts as there if its file says that it was made by
the same recipe: photo, model, style and options.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from PIL import Image

from dualstylegan.errors import DataError, DualStyleGANError, LikenessWarning
from dualstylegan.io.files import write_bytes
from dualstylegan.io.images import picture_digest, read_image
from dualstylegan.io.names import safe_name
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.options import ReadOptions, RestyleOptions
from dualstylegan.portrait.reading import read_sitter
from dualstylegan.portrait.restyling import restyle_sitter
from dualstylegan.portrait.result import Recipe, encode_result, facts_of
from dualstylegan.portrait.sheets import small_square
from dualstylegan.portrait.sitter import Sitter
from dualstylegan.portrait.style_choice import ChosenStyle
from dualstylegan.portrait.styles import file_part

# Share of a photo's time that its reading takes, for the time left.
READING_SHARE = 0.9
Status = Literal["made", "kept", "failed"]


@dataclass(frozen=True)
class BatchPlan:
    """Results to make of each photo.

    Attributes:
        styles: the styles by the names that stand in the results' names.
        folder: where the results go.
        options: weights, truncation and size.
        reading: faces, alignment and steps of the fit.
        paste: put the faces back into their photo.
        cell_px: side of the small squares for a contact sheet.
        suffix: of the results' files, one of `RESULT_FORMATS`.
    """

    styles: Mapping[str, ChosenStyle]
    folder: Path
    options: RestyleOptions
    reading: ReadOptions
    paste: bool = False
    cell_px: int = 128
    suffix: str = ".png"

    def path(self, stem: str, style: str) -> Path:
        """Return the path of a photo's result."""
        return self.folder / f"{safe_name(f'{stem}_{file_part(style)}')}{self.suffix}"


@dataclass(frozen=True)
class Outcome:
    """Result of a photo in a style, made, kept as it was, or failed.

    Attributes:
        photo: path of the photo.
        style: name of the style; None where the photo itself could not be read.
        path: of the result; None where it failed.
        facts: of the result, see `Recipe`.
        error: what failed.
        seconds: that it took, the reading of the photo included in its first result.
        cell: the result as a small square; None where it failed.
    """

    photo: Path
    style: str | None
    path: Path | None = None
    status: Status = "failed"
    facts: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    seconds: float = 0.0
    cell: Image.Image | None = None


@dataclass(frozen=True)
class PhotoOutcome:
    """Outcomes of a photo in all styles, and the photo as a small square if it could be read."""

    photo: Path
    outcomes: tuple[Outcome, ...]
    cell: Image.Image | None = None


def result_stems(photos: Sequence[Path]) -> dict[str, Path]:
    """Return the photos by the beginnings of their results' names, all different.

    These are the photos' names without ending; with it, or with the folder, where they repeat.

    Raises:
        DataError: a photo is given twice, or two would have results of the same name.
    """
    choices = (
        [path.stem for path in photos],
        [path.name for path in photos],
        [f"{path.absolute().parent.name}_{path.name}" for path in photos],
    )
    for names in choices:
        if len({safe_name(name).casefold() for name in names}) == len(photos):
            return dict(zip(names, photos, strict=True))
    repeated = [name for name in choices[-1] if choices[-1].count(name) > 1]
    raise DataError(
        "a photo is given twice, or two have one name in folders of one name",
        value=repeated[0],
        fix="give each photo once, and names of their own",
    )


def restyle_photos(
    model: PortraitModel,
    photos: Mapping[str, Path],
    plan: BatchPlan,
    advance: Callable[[float], None] = lambda share: None,
) -> Iterator[PhotoOutcome]:
    """Restyle photos one after the other; a photo that fails does not stop the others.

    Args:
        model: a trained model.
        photos: by the beginnings of their results' names, see `result_stems`.
        plan: styles, options and folder.
        advance: called with the share of the work that is done, 0 to 1.
    """
    for index, (stem, path) in enumerate(photos.items()):

        def within(share: float, before: int = index) -> None:
            advance((before + share) / len(photos))

        try:
            photo = read_image(path)
        except DualStyleGANError as error:
            yield PhotoOutcome(path, (Outcome(path, None, error=_named(error, path)),))
        else:
            outcomes = tuple(_restyle_photo(model, stem, path, photo, plan, within))
            yield PhotoOutcome(path, outcomes, small_square(photo, plan.cell_px))
        within(1.0)


def _restyle_photo(
    model: PortraitModel,
    stem: str,
    path: Path,
    photo: Image.Image,
    plan: BatchPlan,
    within: Callable[[float], None],
) -> Iterator[Outcome]:
    digest = picture_digest(photo)
    sitter: Sitter | None = None
    for done, (name, style) in enumerate(plan.styles.items()):
        started = time.perf_counter()
        target = plan.path(stem, name)
        recipe = _recipe(model, digest, style, plan)
        kept = _kept(target, recipe, plan.cell_px)
        if kept is not None:
            yield Outcome(path, name, target, "kept", kept[0], cell=kept[1])
            continue
        try:
            if sitter is None:
                sitter = _read(model, photo, plan, within)
            result = restyle_sitter(
                model, sitter, style, plan.options, 0, photo if plan.paste else None
            )
            write_bytes(target, encode_result(result, plan.suffix))
        except DualStyleGANError as error:
            yield Outcome(path, name if sitter else None, error=_named(error, path))
            if sitter is None:  # the photo itself: every other style would fail alike
                return
            continue
        taken, cell = time.perf_counter() - started, small_square(result, plan.cell_px)
        yield Outcome(path, name, target, "made", facts_of(result), None, taken, cell)
        within(READING_SHARE + (1 - READING_SHARE) * (done + 1) / len(plan.styles))


def _read(
    model: PortraitModel, photo: Image.Image, plan: BatchPlan, within: Callable[[float], None]
) -> Sitter:
    """Read the faces of a photo; likeness is told by the results' facts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LikenessWarning)
        return read_sitter(
            model,
            photo,
            plan.reading,
            lambda done, total: within(READING_SHARE * done / total),
        )


def _recipe(model: PortraitModel, photo_digest: str, style: ChosenStyle, plan: BatchPlan) -> Recipe:
    face = None if plan.paste else 0
    return Recipe(model.config, model.digest, photo_digest, style, plan.options, plan.reading, face)


def _kept(path: Path, recipe: Recipe, pixels: int) -> tuple[dict[str, str], Image.Image] | None:
    """Return facts and small square of a result that is there and was made by the recipe."""
    try:
        with Image.open(path) as image:
            if recipe.made(image):
                return facts_of(image), small_square(image, pixels)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        pass  # missing, or not a whole picture: it is made anew
    return None


def _named(error: DualStyleGANError, path: Path) -> str:
    """Return an error's text, which names a file in any case."""
    return str(error) if error.file is not None else f"{path}: {error}"

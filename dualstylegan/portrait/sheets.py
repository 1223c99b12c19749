"""Sheets of small pictures: the styles of a model, and photos beside their results."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from dualstylegan.errors import DataError
from dualstylegan.io.files import read_generation
from dualstylegan.io.images import make_grid
from dualstylegan.portrait.config import PortraitConfig, read_config, read_thumbnails

STYLE_PX = 128
STYLE_COLUMNS = 6
# Cells of a contact sheet shrink with their number; what JPEG cannot hold is left out.
CELL_PX, MIN_CELL_PX = 128, 32
SHEET_PX, MAX_SHEET_PX = 12_000, 60_000
GAP_PX = 26
BLANK = (225, 225, 225)


def style_sheet(folder: Path) -> Image.Image:
    """Return the thumbnails of a model's styles with their names; a blank where there is none.

    Raises:
        CheckpointError: no model folder.
        DataError: a thumbnail is not an image.
    """
    config, stored = read_generation(folder, _named_thumbnails)
    cells = [_thumbnail(name, stored.get(name)) for name in config.styles]
    labels = [config.labels.get(name, name) for name in config.styles]
    return make_grid(cells, min(STYLE_COLUMNS, len(cells)), labels)


def _named_thumbnails(folder: Path) -> tuple[PortraitConfig, dict[str, bytes]]:
    """Read a model's config and its thumbnails by style."""
    config = read_config(folder)
    return config, read_thumbnails(folder, config.styles)


def _thumbnail(name: str, data: bytes | None) -> Image.Image:
    if data is None:
        return Image.new("RGB", (STYLE_PX, STYLE_PX), BLANK)
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return small_square(image, STYLE_PX)
    except OSError as error:
        raise DataError(
            "the thumbnail of a style is damaged", value=name, fix="package the model anew"
        ) from error


def small_square(image: Image.Image, pixels: int) -> Image.Image:
    """Return an image reduced into a square, on grey where it does not fill it."""
    return ImageOps.pad(image.convert("RGB"), (pixels, pixels), color=BLANK)


def cell_size(rows: int, columns: int) -> int:
    """Return the side in pixels of the cells of a contact sheet."""
    longest = max(rows, columns, 1)
    return max(MIN_CELL_PX, min(CELL_PX, SHEET_PX // longest))


def contact_sheet(
    rows: Sequence[Sequence[Image.Image | None]], heads: Sequence[str], names: Sequence[str]
) -> Image.Image:
    """Return photos beside their results, a row each: the photo, then a result per style.

    Args:
        rows: squares of one size; None where there is no result.
        heads: names of the columns.
        names: names of the photos.
    """
    size = next(cell.width for row in rows for cell in row if cell is not None)
    blank = Image.new("RGB", (size, size), BLANK)
    shown = rows[: MAX_SHEET_PX // (size + GAP_PX)]
    cells = [cell or blank for row in shown for cell in row]
    labels = [
        name if i == 0 else heads[i] for name in names[: len(shown)] for i in range(len(heads))
    ]
    return make_grid(cells, len(heads), labels)

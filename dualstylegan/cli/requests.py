"""Requests to the command line, checked before torch is imported."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dualstylegan.cli.parameters import Size
from dualstylegan.errors import CheckpointError, DataError, ImageError, OutputError, SettingsError
from dualstylegan.faces.backgrounds import BACKGROUNDS, Background

if TYPE_CHECKING:
    from dualstylegan.portrait.config import PortraitConfig


def check_size(folder: Path, config: PortraitConfig, size: int) -> None:
    """Refuse a size that is not offered, or that the model in a folder cannot render."""
    from dualstylegan.graphs.manifest import is_exported, read_manifest

    if size not in tuple(Size):
        raise SettingsError("--size", value=size, limit="256, 512 or 1024", fix="give one of these")
    resolution = config.network.generator.resolution
    if is_exported(folder):
        resolution = max(read_manifest(folder).dualstylegan)
    if size > resolution:
        raise SettingsError(
            "the size exceeds the model's resolution",
            value=f"{size} px",
            limit=f"{resolution} px",
            fix="give a smaller --size",
        )


def asked_styles(
    config: PortraitConfig, texts: Sequence[str] | None, seed: int | None
) -> list[dict[str, float]]:
    """Return the styles that `--style` names, as weights by name; none where `--seed` draws one.

    Raises:
        SettingsError: neither or both are given, a style is unknown, or the seed is out of bounds.
        CheckpointError: the model draws no styles.
    """
    from dualstylegan.portrait.config import check_options
    from dualstylegan.portrait.styles import parse_styles

    check_options(seed=seed)
    if bool(texts) == (seed is not None):
        raise SettingsError("give either --style or --seed", fix="`dualstylegan styles` lists them")
    if texts:
        return parse_styles(config.styles, config.labels, texts)
    if not config.has_sampler:
        raise CheckpointError("the model has no style sampler", fix="give --style")
    return []


def parse_background(text: str) -> Background:
    """Return the background that a text asks for."""
    for background in BACKGROUNDS:
        if text == background:
            return background
    raise SettingsError(
        "--background", value=text, limit=" or ".join(BACKGROUNDS), fix="give one of these"
    )


def parse_weights(text: str | None) -> tuple[float, ...] | None:
    """Return the weights in a text, separated by commas; None where there is no text."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(
            "--weights",
            value=text,
            limit="numbers, as in 1,1,0.5",
            fix="separate them by commas alone",
        ) from error


def is_folder(output: Path) -> bool:
    """Return True if results go into a folder: one that exists, or a name without an ending.

    Raises:
        DataError: a file of a format that results do not have.
        OutputError: a folder with the name of a picture.
    """
    from dualstylegan.portrait.config import RESULT_FORMATS

    picture = output.suffix.lower() in RESULT_FORMATS
    if picture and os.path.isdir(output):  # unlike Path, also where the name is too long
        raise OutputError("a folder, not a file", file=output, fix="name a file")
    if picture or os.path.isdir(output):
        return not picture
    if output.suffix or os.path.lexists(output):
        raise DataError(
            "not a format for results",
            file=output,
            value=output.suffix,
            limit=", ".join(RESULT_FORMATS),
            fix="name a file of these, or a folder",
        )
    return True


def check_image(path: Path) -> None:
    """Refuse an image file that is missing or cannot be opened."""
    try:
        if path.is_dir():
            raise ImageError("a folder, not an image file", file=path, fix="name a file in it")
        if not path.is_file():
            raise ImageError("no such image file", file=path, fix="check the path")
        with open(path, "rb"):
            pass
    except OSError as error:
        raise ImageError(
            "cannot be read",
            file=path,
            value=error.strerror,
            fix="check the path and its permissions",
        ) from error

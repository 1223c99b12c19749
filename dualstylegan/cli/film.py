"""The command `dualstylegan film`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dualstylegan.cli import parameters as p
from dualstylegan.cli.reporting import progress, reported, say
from dualstylegan.cli.requests import (
    asked_styles,
    check_image,
    check_size,
    parse_weights,
)
from dualstylegan.errors import DataError
from dualstylegan.portrait.stores import find_model

if TYPE_CHECKING:
    from dualstylegan.portrait.film import FilmPlan
    from dualstylegan.portrait.options import ReadOptions, RestyleOptions

READING_SHARE = 0.3


def add_command(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def film(
        photos: Annotated[list[Path], typer.Argument(help="The photos whose faces it shows.")],
        output: Annotated[Path, typer.Option("--output", "-o", help=".webp, .mp4, .mov or .mkv.")],
        style: Annotated[
            list[str],
            typer.Option(
                help="A style; a,b or all for several; again for the next.",
                autocompletion=p.complete_styles,
            ),
        ],
        model: p.Model = None,
        seconds: Annotated[float, typer.Option(help="From a face or style to the next.")] = 2.0,
        fps: Annotated[int, typer.Option(help="Frames a second.")] = 25,
        loop: Annotated[bool, typer.Option("--loop", help="Back to the start, for ever.")] = False,
        structure: p.Structure = None,
        color: p.Color = None,
        weights: p.Weights = None,
        preserve_color: p.PreserveColor = False,
        truncation: p.Truncation = None,
        size: p.Pixels = p.Size.SMALL,
        align: p.Align = True,
        fit_steps: p.FitSteps = None,
        device: p.Device = "auto",
        verbose: p.Verbose = False,
        quiet: p.Quiet = False,
    ) -> None:
        """Film PHOTOS from style to style (--style a,b,c or all) and from face to face."""
        with reported():
            from dualstylegan.portrait.options import ReadOptions, RestyleOptions

            rows = parse_weights(weights)
            options = RestyleOptions(structure, color, rows, preserve_color, truncation, size)
            reading = ReadOptions(align=align, fit_steps=fit_steps)
            folder, styles = _checked(photos, output, model, style, options, reading)
            started = time.perf_counter()
            from dualstylegan.portrait.film import FilmPlan

            plan = FilmPlan(seconds, fps, loop)
            plan.check(len(photos) * len(styles), size)
            frames = _write_film(photos, output, folder, styles, plan, options, reading, device)
            say(f"{output}  {frames} frames  {time.perf_counter() - started:.1f} s")


def _checked(
    photos: list[Path],
    output: Path,
    model: str | None,
    style: list[str],
    options: RestyleOptions,
    reading: ReadOptions,
) -> tuple[Path, list[dict[str, float]]]:
    """Check a request, before torch is imported; return the model's folder and the styles."""
    from dualstylegan.io.files import check_writable
    from dualstylegan.portrait.config import read_config

    reading.check()
    _check_format(output)
    for photo in photos:
        check_image(photo)
    check_writable(output)
    folder = find_model(model)
    config = read_config(folder)
    check_size(folder, config, options.size)
    options.check(config)
    return folder, [one for text in style for one in asked_styles(config, [text], None)]


def _check_format(output: Path) -> None:
    """Refuse a file that is no film, and a video without PyAV."""
    from dualstylegan.io.video_reading import require_pyav
    from dualstylegan.io.video_writing import FORMATS
    from dualstylegan.portrait.config import FILM_SUFFIX

    suffix = output.suffix.lower()
    if output.is_dir() or suffix not in (*FORMATS, FILM_SUFFIX):
        formats = ", ".join((FILM_SUFFIX, *FORMATS))
        raise DataError(
            "not a format for films", file=output, limit=formats, fix="name a file of these"
        )
    if suffix in FORMATS:
        require_pyav()


def _write_film(
    photos: list[Path],
    output: Path,
    folder: Path,
    asked: list[dict[str, float]],
    plan: FilmPlan,
    options: RestyleOptions,
    reading: ReadOptions,
    device: str,
) -> int:
    """Read the photos, render and write the film; return the number of frames."""
    from dualstylegan.io.images import read_image
    from dualstylegan.portrait.film import film_facts, film_frames, key_frames, write_film
    from dualstylegan.portrait.model import PortraitModel
    from dualstylegan.portrait.style_choice import choose_style

    images = [read_image(photo) for photo in photos]
    model = PortraitModel.from_pretrained(folder, device=device)
    styles = [choose_style(model, style, None, options) for style in asked]
    with progress("filming") as advance:
        sitters = []
        for image in images:
            sitters.append(model.read(image, align=reading.align, fit_steps=reading.fit_steps))
            advance(READING_SHARE * len(sitters) / len(images))
        keys = key_frames(model, sitters, styles)
        count = plan.frames(len(keys))
        write_film(
            output,
            film_frames(model, keys, plan, options),
            count,
            plan,
            film_facts(model, sitters, styles, options),
            lambda done, total: advance(READING_SHARE + (1 - READING_SHARE) * done / total),
        )
    return count

"""The command `dualstylegan video`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dualstylegan.cli import parameters as p
from dualstylegan.cli.reporting import progress, reported, say
from dualstylegan.cli.requests import asked_styles, check_size, parse_background, parse_weights
from dualstylegan.errors import DataError, OutputError, SettingsError
from dualstylegan.portrait.stores import find_model

if TYPE_CHECKING:
    from dualstylegan.portrait.options import RestyleOptions


def add_command(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def video(
        source: Annotated[Path, typer.Argument(help="The video to restyle.")],
        output: Annotated[Path, typer.Option("--output", "-o", help="A .mp4, .mov or .mkv file.")],
        style: p.Styles = None,
        seed: p.Seed = None,
        model: p.Model = None,
        structure: p.Structure = None,
        color: p.Color = None,
        weights: p.Weights = None,
        preserve_color: p.PreserveColor = False,
        truncation: p.Truncation = None,
        size: p.Pixels = p.Size.SMALL,
        background: Annotated[
            str, typer.Option(help="Of the whole frame: keep the video's, or style.")
        ] = "keep",
        crop: Annotated[bool, typer.Option("--crop", help="Write the face's crop alone.")] = False,
        fit_steps: p.FitSteps = None,
        device: p.Device = "auto",
        verbose: p.Verbose = False,
        quiet: p.Quiet = False,
    ) -> None:
        """Restyle the face in the video SOURCE; its sound and its timing stay."""
        with reported():
            from dualstylegan.portrait.options import ReadOptions, RestyleOptions

            rows = parse_weights(weights)
            ground = parse_background(background)
            options = RestyleOptions(
                structure, color, rows, preserve_color, truncation, size, ground
            )
            ReadOptions(fit_steps=fit_steps).check()
            folder, chosen = _checked(source, output, model, style, seed, options)
            started = time.perf_counter()
            from dualstylegan.portrait.model import PortraitModel
            from dualstylegan.video.restyling import restyle_video

            portrait = PortraitModel.from_pretrained(folder, device=device)
            with progress("restyling") as advance:
                done = restyle_video(
                    portrait,
                    source,
                    output,
                    chosen,
                    seed=seed,
                    structure=structure,
                    color=color,
                    weights=rows,
                    preserve_color=preserve_color,
                    truncation=truncation,
                    size=size,
                    background=ground,
                    crop=crop,
                    fit_steps=fit_steps,
                    progress=lambda count, total: advance(min(count / total, 1) if total else 0),
                )
            seconds = time.perf_counter() - started
            say(f"{output}  {done.restyled} of {done.frames} frames restyled  {seconds:.1f} s")


def _checked(
    source: Path,
    output: Path,
    model: str | None,
    style: list[str] | None,
    seed: int | None,
    options: RestyleOptions,
) -> tuple[Path, dict[str, float] | None]:
    """Check a request, before torch is imported; return the model's folder and the style.

    The style is None where the seed draws one.
    """
    from dualstylegan.io.files import check_writable
    from dualstylegan.portrait.config import read_config
    from dualstylegan.portrait.runtimes import chosen_runtime

    _check_files(source, output)
    check_writable(output)
    folder = find_model(model)
    chosen_runtime(folder, "torch")
    config = read_config(folder)
    check_size(folder, config, options.size)
    options.check(config)
    asked = asked_styles(config, style, seed)
    if len(asked) > 1:
        raise SettingsError(
            "a video has one style or mix", value=f"{len(asked)} styles", fix="name one"
        )
    return folder, asked[0] if asked else None


def _check_files(source: Path, output: Path) -> None:
    """Refuse files that cannot be meant, and do without PyAV at once."""
    from dualstylegan.io.video_reading import require_pyav
    from dualstylegan.io.video_writing import check_format

    check_format(output)
    if output.is_dir():
        raise OutputError("a folder, not a file", file=output, fix="name a file")
    if source.is_dir():
        raise DataError("a folder, not a video file", file=source, fix="name a file in it")
    if not source.is_file():
        raise DataError("no such video file", file=source, fix="check the path")
    if output.exists() and output.samefile(source):
        raise OutputError("would replace the video itself", file=output, fix="name another file")
    require_pyav()

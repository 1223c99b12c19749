"""The command `dualstylegan`: restyle a photo, list a model's styles.

Nothing heavy is imported before it is needed, so that `--help` and wrong usage answer at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Annotated

import typer

from dualstylegan.errors import DataError, DualStyleGANError, SettingsError
from dualstylegan.io.allocator import keep_freed_memory
from dualstylegan.portrait.stores import find_model
from dualstylegan.published.commands import add_commands

FORMATS = (".png", ".jpg", ".jpeg", ".webp")


class Size(IntEnum):
    """Sizes of a result in pixels."""

    SMALL = 256
    MEDIUM = 512
    LARGE = 1024


@contextmanager
def reported() -> Iterator[None]:
    """Turn a typed error into one line on stderr and exit status 2."""
    try:
        yield
    except DualStyleGANError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from error


def build_app() -> typer.Typer:
    """Return the command-line application."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

    @app.callback()
    def about() -> None:
        """Restyle portraits after an exemplar (DualStyleGAN)."""
        keep_freed_memory()

    @app.command()
    def transfer(
        photo: Annotated[Path, typer.Argument(help="The photo to restyle.")],
        output: Annotated[Path, typer.Option("--output", "-o", help="Where the result goes.")],
        style: Annotated[str | None, typer.Option(help="Name of a style.")] = None,
        seed: Annotated[int | None, typer.Option(help="In place of a style: draw one.")] = None,
        model: Annotated[
            str | None,
            typer.Option("--model", "-m", help="Folder, or models:/NAME@champion."),
        ] = None,
        structure: Annotated[
            float | None, typer.Option(min=0, max=1, help="0 the face's shapes, 1 the exemplar's.")
        ] = None,
        color: Annotated[
            float | None, typer.Option(min=0, max=1, help="0 the face's colours, 1 the exemplar's.")
        ] = None,
        preserve_color: Annotated[
            bool, typer.Option("--preserve-color", help="Keep the photo's palette.")
        ] = False,
        truncation: Annotated[
            float | None, typer.Option(min=0, max=1, help="Below 1: nearer to the mean face.")
        ] = None,
        size: Annotated[int, typer.Option(help="256, 512 or 1024 pixels.")] = Size.SMALL,
        align: Annotated[bool, typer.Option(help="Find and crop the face.")] = True,
        paste: Annotated[bool, typer.Option("--paste", help="Put it back into the photo.")] = False,
        fit_steps: Annotated[
            int | None,
            typer.Option("--fit-steps", help="Steps that fit a code to the face; 0: none."),
        ] = None,
        refine: Annotated[int | None, typer.Option(hidden=True)] = None,
        device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    ) -> None:
        """Restyle the face in PHOTO after a style and write the result."""
        with reported():
            _check_request(output, style, seed, size)
            started = time.perf_counter()
            from dualstylegan.io.images import read_image
            from dualstylegan.portrait.model import PortraitModel

            image = read_image(photo)
            portrait = PortraitModel.from_pretrained(find_model(model), device=device)
            chosen = style if style is not None else portrait.sample_style(seed or 0)
            result = portrait.transfer(
                image,
                chosen,
                structure=structure,
                color=color,
                preserve_color=preserve_color,
                truncation=truncation,
                size=size,
                align=align,
                paste=paste,
                fit_steps=fit_steps if refine is None else refine,
            )
            _write(output, result)
            print(
                f"{output}  {result.width} x {result.height}  {time.perf_counter() - started:.1f} s"
            )

    @app.command()
    def styles(
        model: Annotated[
            str | None, typer.Argument(help="Folder, or models:/NAME@champion.")
        ] = None,
    ) -> None:
        """List the styles of a model, one a line."""
        with reported():
            from dualstylegan.portrait.config import read_config

            print("\n".join(read_config(find_model(model)).styles))

    add_style_command(app)
    add_commands(app, reported)
    return app


def add_style_command(app: typer.Typer) -> None:
    """Add the command `add-style`."""

    @app.command("add-style")
    def add(
        portrait: Annotated[Path, typer.Argument(help="An artistic portrait.")],
        name: Annotated[str, typer.Option(help="Name of the new style.")],
        output: Annotated[Path, typer.Option("--output", "-o", help="The model folder to make.")],
        model: Annotated[
            str | None,
            typer.Option("--model", "-m", help="Folder, or models:/NAME@champion."),
        ] = None,
        align: Annotated[bool, typer.Option(help="Find and crop the face.")] = True,
    ) -> None:
        """Make PORTRAIT a style of a trained model, without training; about a minute."""
        with reported():
            if output.exists():
                raise DataError("the folder is there already", file=output, fix="name another")
            started = time.perf_counter()
            from dualstylegan.io.images import read_image
            from dualstylegan.portrait.add_style import add_style
            from dualstylegan.portrait.model import PortraitModel

            image = read_image(portrait)
            trained = PortraitModel.from_pretrained(find_model(model))
            added = add_style(trained, name, image, align=align, progress=_show_steps)
            added.model.save_pretrained(output)
            passed = time.perf_counter() - started
            losses = f"{added.loss_before:.3f} -> {added.loss_after:.3f}"
            print(f"{output}  {name}  loss {losses}  {passed:.1f} s")


def _show_steps(what: str, done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{what} {done}/{total}", end=end, file=sys.stderr, flush=True)


def _check_request(output: Path, style: str | None, seed: int | None, size: int) -> None:
    """Refuse what cannot be done before anything is loaded."""
    if (style is None) == (seed is None):
        raise SettingsError("give either --style or --seed", fix="dualstylegan styles lists names")
    if size not in tuple(Size):
        raise SettingsError("--size", value=size, limit="256, 512 or 1024")
    if output.suffix.lower() not in FORMATS:
        raise DataError(
            "not a format for results", file=output, value=output.suffix, limit=", ".join(FORMATS)
        )


def _write(path: Path, image: object) -> None:
    """Write a result whole, in the format that its name asks for."""
    from PIL import Image

    from dualstylegan.io.files import atomic_write

    assert isinstance(image, Image.Image)
    Image.init()
    with atomic_write(path) as handle:
        image.save(handle, format=Image.EXTENSION[path.suffix.lower()], quality=95)


def main() -> None:
    """Run the command line."""
    build_app()()

"""The command `dualstylegan`: restyle a photo, list a model's styles, add a style.

A request is checked before torch is imported or a model loaded, so that `--help`, wrong usage, a
missing file and an unknown style are answered at once.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO, cast

import typer

from dualstylegan.errors import (
    CheckpointError,
    DataError,
    DualStyleGANError,
    ImageError,
    LikenessWarning,
    OutputError,
    SettingsError,
)
from dualstylegan.io.allocator import keep_freed_memory
from dualstylegan.portrait.stores import find_model
from dualstylegan.published.commands import add_commands
from dualstylegan.studio.command import add_serve_command

if TYPE_CHECKING:
    from PIL import Image

    from dualstylegan.portrait.config import PortraitConfig

# Typer has a click of its own, whose base of usage errors is public as this base alone.
USAGE_ERROR = cast(type[typer.BadParameter], typer.BadParameter.__base__)
FORMATS = (".png", ".jpg", ".jpeg", ".webp")


class Size(IntEnum):
    """Sizes of a result in pixels."""

    SMALL = 256
    MEDIUM = 512
    LARGE = 1024


@contextmanager
def reported() -> Iterator[None]:
    """Turn a typed error into one line on stderr and exit status 2, a typed warning into a line."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", LikenessWarning)
        others = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, LikenessWarning):
                print(f"warning: {message}", file=sys.stderr)
            else:
                others(message, category, filename, lineno, file, line)

        warnings.showwarning = show
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

    add_transfer_command(app)

    @app.command()
    def styles(
        model: Annotated[
            str | None, typer.Argument(help="Folder, or models:/NAME@champion.")
        ] = None,
    ) -> None:
        """List the styles of a model, one per line: name, and label where it differs."""
        with reported():
            from dualstylegan.portrait.config import read_config

            config = read_config(find_model(model))
            for name in config.styles:
                print("\t".join([name, config.labels[name]] if name in config.labels else [name]))

    add_style_command(app)
    add_serve_command(app, reported)
    add_commands(app, reported)
    return app


def add_transfer_command(app: typer.Typer) -> None:
    """Add the command `transfer`."""

    @app.command()
    def transfer(
        photo: Annotated[Path, typer.Argument(help="The photo to restyle.")],
        output: Annotated[Path, typer.Option("--output", "-o", help="Where the result goes.")],
        style: Annotated[str | None, typer.Option(help="Name or label of a style.")] = None,
        seed: Annotated[
            int | None, typer.Option(help="Seed of a new style, in place of --style.")
        ] = None,
        model: Annotated[
            str | None,
            typer.Option("--model", "-m", help="Folder, or models:/NAME@champion."),
        ] = None,
        structure: Annotated[
            float | None, typer.Option(help="0 the face's shapes, 1 the exemplar's.")
        ] = None,
        color: Annotated[
            float | None, typer.Option(help="0 the face's colours, 1 the exemplar's.")
        ] = None,
        preserve_color: Annotated[
            bool, typer.Option("--preserve-color", help="Keep the photo's palette.")
        ] = False,
        truncation: Annotated[
            float | None, typer.Option(help="0 to 1; below 1: nearer to the mean face.")
        ] = None,
        size: Annotated[int, typer.Option(help="256, 512 or 1024 pixels.")] = Size.SMALL,
        align: Annotated[bool, typer.Option(help="Find and crop the face.")] = True,
        paste: Annotated[bool, typer.Option("--paste", help="Put it back into the photo.")] = False,
        fit_steps: Annotated[
            int | None,
            typer.Option("--fit-steps", help="Steps that fit the face's code; 0: encoder alone."),
        ] = None,
        refine: Annotated[int | None, typer.Option(hidden=True)] = None,
        device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    ) -> None:
        """Restyle the face in PHOTO after a style and write the result."""
        fit_steps = fit_steps if refine is None else refine
        with reported():
            from dualstylegan.io.files import check_writable
            from dualstylegan.portrait.config import check_options, read_config

            _check_request(output, style, seed, size, align, paste)
            check_options(
                structure=structure, color=color, truncation=truncation, fit_steps=fit_steps
            )
            _check_image(photo)
            check_writable(output)
            folder = find_model(model)
            style = _check_model(read_config(folder), style, size)
            started = time.perf_counter()
            from dualstylegan.io.images import read_image
            from dualstylegan.portrait.model import PortraitModel

            image = read_image(photo)
            portrait = PortraitModel.from_pretrained(folder, device=device)
            result = portrait.transfer(
                image,
                style,
                seed=seed,
                structure=structure,
                color=color,
                preserve_color=preserve_color,
                truncation=truncation,
                size=size,
                align=align,
                paste=paste,
                fit_steps=fit_steps,
            )
            _write(output, result)
            print(
                f"{output}  {result.width} x {result.height}  {time.perf_counter() - started:.1f} s"
            )


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
        """Add PORTRAIT to a trained model as a style, without training; about a minute."""
        with reported():
            from dualstylegan.io.files import check_writable
            from dualstylegan.portrait.config import check_new_name, read_config

            if os.path.lexists(output):
                raise DataError("the folder exists already", file=output, fix="name another")
            _check_image(portrait)
            folder = find_model(model)
            check_new_name(read_config(folder), name)
            check_writable(output, sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()))
            started = time.perf_counter()
            from dualstylegan.io.images import read_image
            from dualstylegan.portrait.add_style import add_style
            from dualstylegan.portrait.model import PortraitModel

            image = read_image(portrait)
            trained = PortraitModel.from_pretrained(folder)
            added = add_style(trained, name, image, align=align, progress=_show_steps)
            added.model.save_pretrained(output)
            passed = time.perf_counter() - started
            losses = f"{added.loss_before:.3f} -> {added.loss_after:.3f}"
            print(f"{output}  {name}  loss {losses}  {passed:.1f} s")


def _show_steps(what: str, done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{what} {done}/{total}", end=end, file=sys.stderr, flush=True)


def _check_request(
    output: Path, style: str | None, seed: int | None, size: int, align: bool, paste: bool
) -> None:
    """Refuse options that contradict each other or have no such value."""
    if (style is None) == (seed is None):
        raise SettingsError("give either --style or --seed", fix="`dualstylegan styles` lists them")
    if size not in tuple(Size):
        raise SettingsError("--size", value=size, limit="256, 512 or 1024")
    if paste and not align:
        raise SettingsError("--paste needs the alignment", fix="leave out --no-align")
    if output.suffix.lower() not in FORMATS:
        raise DataError(
            "not a format for results", file=output, value=output.suffix, limit=", ".join(FORMATS)
        )
    if os.path.isdir(output):  # unlike Path, also where the name is too long
        raise OutputError("a folder, not a file", file=output, fix="name a file")


def _check_image(path: Path) -> None:
    """Refuse an image file that is missing or cannot be opened."""
    try:
        if not path.is_file():
            raise ImageError("no such image file", file=path, fix="check the path")
        with open(path, "rb"):
            pass
    except OSError as error:
        raise ImageError("cannot be read", file=path, value=error.strerror) from error


def _check_model(config: PortraitConfig, style: str | None, size: int) -> str | None:
    """Return the name of the style, or refuse what the model cannot do."""
    from dualstylegan.portrait.styles import find_style

    resolution = config.network.generator.resolution
    if size > resolution:
        raise SettingsError(
            "the size exceeds the model's resolution", value=f"{size} px", limit=f"{resolution} px"
        )
    if style is None and not config.has_sampler:
        raise CheckpointError("the model has no style sampler", fix="give --style")
    return None if style is None else find_style(config.styles, config.labels, style)


def _write(path: Path, image: Image.Image) -> None:
    """Write a result whole, in the format of its suffix; elsewhere if that fails.

    Raises:
        OutputError: names the file that holds the result instead.
    """
    import tempfile

    try:
        _save(path, image)
    except OutputError as error:
        rescued = Path(tempfile.mkdtemp(prefix="dualstylegan-")) / f"result{path.suffix.lower()}"
        _save(rescued, image)
        raise OutputError(
            error.problem, file=error.file, value=error.value, fix=f"the result is in {rescued}"
        ) from error


def _save(path: Path, image: Image.Image) -> None:
    from dualstylegan.io.files import write_bytes
    from dualstylegan.portrait.result import encode_result

    write_bytes(path, encode_result(image, path.suffix.lower()))


def main() -> None:
    """Run the command line; a fault of usage is one line and exit code 2."""
    try:
        sys.exit(build_app()(sys.argv[1:] or ["--help"], standalone_mode=False))
    except USAGE_ERROR as error:
        print(f"error: {error.format_message()}", file=sys.stderr)
        sys.exit(2)
    except typer.Abort:
        sys.exit(130)

"""The command `dualstylegan add-style`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from dualstylegan.cli.parameters import Align, Model
from dualstylegan.cli.reporting import progress, reported, say
from dualstylegan.cli.requests import check_image
from dualstylegan.errors import DataError
from dualstylegan.io.locks import exclusive


def add_command(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("add-style")
    def add(
        portrait: Annotated[Path, typer.Argument(help="An artistic portrait.")],
        name: Annotated[str, typer.Option(help="Name of the new style.")],
        output: Annotated[Path, typer.Option("--output", "-o", help="The model folder to make.")],
        model: Model = None,
        align: Align = True,
    ) -> None:
        """Add PORTRAIT to a trained model as a style, without training; about a minute."""
        with reported():
            folder = _checked(portrait, name, output, model)
            with exclusive(output):
                _check_new(output)  # again: another process may have made it meanwhile
                _make(portrait, name, output, folder, align)


def _make(portrait: Path, name: str, output: Path, folder: Path, align: bool) -> None:
    """Add the style to the model in `folder` and write the model `output`."""
    started = time.perf_counter()
    from dualstylegan.io.images import read_image
    from dualstylegan.portrait.add_style import add_style
    from dualstylegan.portrait.model import PortraitModel

    image = read_image(portrait)
    trained = PortraitModel.from_pretrained(folder)
    with progress("fitting the style") as advance:
        added = add_style(
            trained,
            name,
            image,
            align=align,
            progress=lambda phase, done, total: advance(done / total),
        )
    added.model.save_pretrained(output)
    passed = time.perf_counter() - started
    losses = f"{added.loss_before:.3f} -> {added.loss_after:.3f}"
    say(f"{output}  {name}  loss {losses}  {passed:.1f} s")


def _check_new(output: Path) -> None:
    """Refuse a folder that exists."""
    if os.path.lexists(output):
        raise DataError("the folder exists already", file=output, fix="name another")


def _checked(portrait: Path, name: str, output: Path, model: str | None) -> Path:
    """Check a request; return the folder of the model."""
    from dualstylegan.io.files import check_writable
    from dualstylegan.portrait.config import check_new_name, read_config
    from dualstylegan.portrait.runtimes import chosen_runtime
    from dualstylegan.portrait.stores import find_model

    _check_new(output)
    check_image(portrait)
    folder = find_model(model)
    chosen_runtime(folder, "torch")
    check_new_name(read_config(folder), name)
    check_writable(output, sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()))
    return folder

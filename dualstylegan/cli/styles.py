"""The command `dualstylegan styles`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dualstylegan.cli.parameters import ModelArgument
from dualstylegan.cli.reporting import reported, say
from dualstylegan.errors import one_line


def add_command(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def styles(
        model: ModelArgument = None,
        sheet: Annotated[
            Path | None, typer.Option(help="A picture of all styles with their names.")
        ] = None,
    ) -> None:
        """List the styles of a model, one per line: name, and label where it differs."""
        with reported():
            from dualstylegan.portrait.config import read_config
            from dualstylegan.portrait.stores import find_model

            folder = find_model(model)
            config = read_config(folder)
            if sheet is not None:
                _write_sheet(sheet, folder)
                say(f"{sheet}")
                return
            for name in config.styles:
                parts = [name, config.labels[name]] if name in config.labels else [name]
                print("\t".join(map(one_line, parts)))


def _write_sheet(path: Path, folder: Path) -> None:
    from dualstylegan.cli.requests import is_folder
    from dualstylegan.errors import OutputError
    from dualstylegan.io.files import check_writable, write_bytes

    if is_folder(path):
        raise OutputError("a folder, not a file", file=path, fix="name a file, such as sheet.png")
    check_writable(path)
    from dualstylegan.portrait.result import encode_result
    from dualstylegan.portrait.sheets import style_sheet

    write_bytes(path, encode_result(style_sheet(folder), path.suffix.lower()))

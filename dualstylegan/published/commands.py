"""Commands `dualstylegan import-published` and `export-published`.

torch is imported inside the commands, so that `--help` is fast.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer


def add_commands(app: typer.Typer, reported: Callable[[], AbstractContextManager[None]]) -> None:
    """Add the subcommands to the application; `reported` turns typed errors into exit codes."""

    @app.command("import-published")
    def import_files(
        output: Annotated[Path, typer.Option("--output", "-o", help="The model folder to make.")],
        files: Annotated[
            list[Path] | None,
            typer.Argument(help="generator.pt encoder.pt exstyle_code.npy ... as published."),
        ] = None,
        name: Annotated[str, typer.Option(help="Name of the model.")] = "published",
        source: Annotated[
            Path | None, typer.Option(help="StyleGAN2 file that is the source generator g.")
        ] = None,
        adapted: Annotated[
            Path | None, typer.Option(help="StyleGAN2 file that is g', adapted to a style.")
        ] = None,
    ) -> None:
        """Import published checkpoints, read as data alone, into a model folder."""
        with reported():
            from dualstylegan.published.adapter import import_published

            for line in import_published(
                files or [], output, name=name, source=source, adapted=adapted
            ):
                print(line)
            print(output)

    @app.command("export-published")
    def export_files(
        model: Annotated[Path, typer.Argument(help="Model folder.")],
        output: Annotated[Path, typer.Option("--output", "-o", help="A new folder for the files.")],
    ) -> None:
        """Write a model folder back in the published formats."""
        with reported():
            from dualstylegan.published.exporting import export_published

            for path in export_published(model, output):
                print(path)

"""`dualstylegan import-published` and `export-published`.

Nothing heavy is imported before it is needed.
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
        files: Annotated[
            list[Path],
            typer.Argument(help="generator.pt encoder.pt exstyle_code.npy ... as published."),
        ],
        output: Annotated[Path, typer.Option("--output", "-o", help="The model folder to make.")],
        name: Annotated[str, typer.Option(help="Name of the model.")] = "published",
    ) -> None:
        """Import published checkpoints, read as data alone, into a model folder."""
        with reported():
            from dualstylegan.published.adapter import import_published

            for line in import_published(files, output, name=name):
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

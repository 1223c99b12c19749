"""The command `dualstylegan export-web`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dualstylegan.cli.parameters import Model
from dualstylegan.cli.reporting import progress, reported, say


def add_command(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("export-web")
    def export(
        output: Annotated[Path, typer.Option("--output", "-o", help="The new folder to make.")],
        model: Model = None,
        runtime: Annotated[
            Path | None,
            typer.Option(
                help="An unpacked package onnxruntime-web, in place of the one that npm fetches."
            ),
        ] = None,
    ) -> None:
        """Export a model as a static site that restyles in its visitors' browsers."""
        with reported():
            from dualstylegan.portrait.config import read_config
            from dualstylegan.portrait.stores import find_model
            from dualstylegan.web.exporter import check_target, export_site

            check_target(output)
            folder = find_model(model)
            read_config(folder)
            with progress("exporting") as advance:
                parts = export_site(folder, output, runtime, lambda what, share: advance(share))
            for part in parts:
                say(f"{part.length / 1e6:6.1f} MB  {part.name}")
            total = sum(part.length for part in parts) / 1e6
            say(f"{total:6.1f} MB  on their way to a visitor: {output}")

"""The command `dualstylegan export-onnx`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from dualstylegan.cli.parameters import Model
from dualstylegan.cli.reporting import progress, reported, say
from dualstylegan.errors import DataError


def add_command(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("export-onnx")
    def export(
        output: Annotated[Path, typer.Option("--output", "-o", help="The new folder to make.")],
        model: Model = None,
        size: Annotated[
            list[int] | None,
            typer.Option(
                help="Side of the results in pixels; several may be given. [default: 256]"
            ),
        ] = None,
        half: Annotated[
            bool, typer.Option("--half", help="Store weights in half the bytes, as float16.")
        ] = False,
    ) -> None:
        """Export a model to ONNX: a folder that restyles without torch, here and elsewhere."""
        with reported():
            from dualstylegan.io.files import check_writable
            from dualstylegan.portrait.config import read_config
            from dualstylegan.portrait.runtimes import chosen_runtime
            from dualstylegan.portrait.stores import find_model

            if os.path.lexists(output):
                raise DataError("the folder exists already", file=output, fix="name another")
            check_writable(output)
            folder = find_model(model)
            read_config(folder)
            chosen_runtime(folder, "torch")
            from dualstylegan.portrait.onnx_folder import ExportPlan, export_onnx

            with progress("exporting") as advance:
                manifest = export_onnx(
                    folder,
                    output,
                    ExportPlan(tuple(size or ()), half),
                    lambda name, share: advance(share),
                )
            weight = sum(file.length for file in manifest.files.values()) / 1e6
            sizes = ", ".join(f"{px} px" for px in manifest.dualstylegan)
            say(f"{output}  {sizes}  {manifest.weights}  {weight:.1f} MB")

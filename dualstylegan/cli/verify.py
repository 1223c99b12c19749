"""The command `dualstylegan verify`."""

from __future__ import annotations

from pathlib import Path

import typer

from dualstylegan.cli.parameters import ModelArgument
from dualstylegan.cli.reporting import reported, say

MAX_TOLD = 8


def add_command(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def verify(model: ModelArgument = None) -> None:
        """Read every file of a model and compare it with what was written."""
        with reported():
            from dualstylegan.portrait.stores import find_model

            folder = find_model(model)
            count, length = verify_folder(folder)
            say(f"{folder}: {count} files, {length / 1e6:.1f} MB, all as they were written")


def verify_folder(folder: Path) -> tuple[int, int]:
    """Read every file of a model folder; return their number and bytes.

    Raises:
        CheckpointError: a file is damaged, missing or not the model's, or the folder has no
            listing of its files.
    """
    from dualstylegan.errors import CheckpointError
    from dualstylegan.graphs.manifest import MANIFEST_FILE, is_exported, read_manifest
    from dualstylegan.networks.listing import FIX, LISTING_FILE, find_problems, read_listing

    listing = read_manifest(folder) if is_exported(folder) else read_listing(folder)
    if listing is None:
        raise CheckpointError(
            "the folder does not say what its files were",
            file=folder,
            limit=f"a folder with {LISTING_FILE}",
            fix="make the model again",
        )
    problems = find_problems(folder, listing.files, MANIFEST_FILE)
    if problems:
        more = len(problems) - MAX_TOLD
        told = problems[:MAX_TOLD] + ([f"and {more} more"] if more > 0 else [])
        raise CheckpointError(
            "the model is not as it was written", file=folder, value="; ".join(told), fix=FIX
        )
    return len(listing.files), sum(record.length for record in listing.files.values())

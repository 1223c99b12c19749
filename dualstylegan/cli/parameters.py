"""Parameters that several commands share, with their help and the completion of style names."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Annotated

import typer

from dualstylegan.cli.reporting import louder, quieter


class Size(IntEnum):
    """Sizes of a result in pixels."""

    SMALL = 256
    MEDIUM = 512
    LARGE = 1024


def complete_styles(context: typer.Context, incomplete: str) -> list[str]:
    """Return the styles of the model that the command names, which begin as the word does."""
    from dualstylegan.errors import DualStyleGANError
    from dualstylegan.portrait.config import read_config
    from dualstylegan.portrait.stores import find_model

    before, comma, begun = incomplete.rpartition(",")
    try:
        names = read_config(find_model(context.params.get("model"))).styles
    except DualStyleGANError:
        return []
    return [f"{before}{comma}{name}" for name in names if name.startswith(begun)]


MODEL_HELP = "Folder, name (demo), org/name of a hub, or models:/NAME@champion."
Model = Annotated[str | None, typer.Option("--model", "-m", help=MODEL_HELP)]
ModelArgument = Annotated[str | None, typer.Argument(help=MODEL_HELP)]
# One that cannot be read fails by itself, and the others are restyled.
Photos = Annotated[list[Path], typer.Argument(help="Photos, or folders of them.", readable=False)]
Styles = Annotated[
    list[str] | None,
    typer.Option(
        "--style",
        help="Name or label of a style; a,b or all for several; given again, as a:0.6, a mix.",
        autocompletion=complete_styles,
    ),
]
Seed = Annotated[int | None, typer.Option(help="Seed of a new style, in place of --style.")]
Structure = Annotated[float | None, typer.Option(help="0 the face's shapes, 1 the exemplar's.")]
Color = Annotated[float | None, typer.Option(help="0 the face's colours, 1 the exemplar's.")]
Weights = Annotated[
    str | None, typer.Option(help="One weight per row, 1,1,..., in place of these two.")
]
PreserveColor = Annotated[bool, typer.Option("--preserve-color", help="Keep the photo's palette.")]
Truncation = Annotated[float | None, typer.Option(help="0 to 1; below 1: nearer to the mean face.")]
Pixels = Annotated[int, typer.Option("--size", help="256, 512 or 1024 pixels.")]
Align = Annotated[bool, typer.Option(help="Find and crop the face.")]
FacesText = Annotated[
    str, typer.Option("--faces", help="With --paste: largest, all, or how many of the largest.")
]
Paste = Annotated[bool, typer.Option("--paste", help="Put it back into the photo.")]
BackgroundText = Annotated[
    str, typer.Option("--background", help="With --paste: keep the photo's, or style.")
]
FitSteps = Annotated[
    int | None,
    typer.Option("--fit-steps", help="Steps that fit the face's code; 0: encoder alone."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", callback=louder, help="Say more of what is done.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", callback=quieter, help="Say faults alone.")]

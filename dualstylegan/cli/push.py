"""The command `dualstylegan push`."""

from __future__ import annotations

from typing import Annotated

import typer

from dualstylegan.cli.parameters import MODEL_HELP
from dualstylegan.cli.reporting import reported, say


def add_command(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def push(
        model: Annotated[str, typer.Argument(help=MODEL_HELP)],
        repository: Annotated[str, typer.Argument(help="org/name, or org/name@branch.")],
        half: Annotated[bool, typer.Option("--half", help="In half precision.")] = False,
        private: Annotated[
            bool, typer.Option("--private", help="Make a new repository a private one.")
        ] = False,
        message: Annotated[str | None, typer.Option(help="Message of the commit.")] = None,
    ) -> None:
        """Upload MODEL to REPOSITORY of a hub, where there is a token for it (HF_TOKEN)."""
        with reported():
            from dualstylegan.portrait import hub
            from dualstylegan.portrait.stores import find_model

            folder = find_model(model)
            done = hub.push(folder, repository, half=half, message=message, private=private or None)
            say(done)

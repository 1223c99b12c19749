"""Command `dualstylegan serve`. The server is imported inside, so that `--help` is fast."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Annotated

import typer

from dualstylegan.errors import SettingsError
from dualstylegan.portrait.runtimes import chosen_runtime
from dualstylegan.portrait.stores import find_model

PORT = 7860
NEEDED = ("starlette", "uvicorn")


def add_serve_command(
    app: typer.Typer, reported: Callable[[], AbstractContextManager[None]]
) -> None:
    """Add the command to the application; `reported` turns typed errors into exit codes."""

    @app.command()
    def serve(
        model: Annotated[
            str | None,
            typer.Option(
                "--model",
                "-m",
                help="Folder, name (demo), org/name of a hub, or models:/NAME@champion.",
            ),
        ] = None,
        port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = PORT,
        host: Annotated[
            str, typer.Option(help="Address to listen on; only this machine reaches 127.0.0.1.")
        ] = "127.0.0.1",
        device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    ) -> None:
        """Open the studio: a page to restyle photos, and a REST interface. Ctrl-C ends it."""
        with reported():
            require_server()
            folder = find_model(model)
            chosen_runtime(folder, "torch")
            from dualstylegan.io.stopping import end_on_signals
            from dualstylegan.studio.server import address, application, listen
            from dualstylegan.studio.server import serve as run

            end_on_signals("studio closed")
            with listen(host, port) as listening:
                from dualstylegan.portrait.model import PortraitModel

                loaded = PortraitModel.from_pretrained(folder, device=device)
                print(f"studio: {address(listening)}  (Ctrl-C ends it)", flush=True)
                run(application(loaded, host), listening)


def require_server() -> None:
    """Refuse where the packages of the server are missing.

    Raises:
        SettingsError: names the extra that brings them.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise SettingsError(
            "the studio needs further packages",
            value=f"{', '.join(missing)} missing",
            fix='pip install "dualstylegan[serve]"',
        )

"""The command `dualstylegan`: restyle photos and videos, film photos, list and add styles.

A request is checked before torch is imported or a model loaded, so that `--help`, wrong usage, a
missing file and an unknown style are answered at once.
"""

from __future__ import annotations

import sys
from typing import Annotated, cast

import typer

from dualstylegan import __version__
from dualstylegan.cli import add_style, export_onnx, film, styles, transfer, video
from dualstylegan.cli.parameters import Quiet, Verbose
from dualstylegan.cli.reporting import report_to_stderr, reported
from dualstylegan.io.allocator import keep_freed_memory
from dualstylegan.published.commands import add_commands
from dualstylegan.studio.command import add_serve_command

# Typer has a click of its own, whose base of usage errors is public as this base alone.
USAGE_ERROR = cast(type[typer.BadParameter], typer.BadParameter.__base__)
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def _show_version(asked: bool) -> None:
    if asked:
        print(f"dualstylegan {__version__}")
        raise typer.Exit


def build_app() -> typer.Typer:
    """Return the command-line application."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

    @app.callback()
    def about(
        version: Annotated[
            bool,
            typer.Option(
                "--version", callback=_show_version, is_eager=True, help="Show the version."
            ),
        ] = False,
        verbose: Verbose = False,
        quiet: Quiet = False,
    ) -> None:
        """Restyle portraits after an exemplar (DualStyleGAN)."""
        report_to_stderr(verbose, quiet)
        keep_freed_memory()

    for module in (transfer, film, video, styles, add_style, export_onnx):
        module.add_command(app)
    add_serve_command(app, reported)
    add_commands(app, reported)
    return app


def main() -> None:
    """Run the command line; a fault of usage is one line and exit code 2, Ctrl-C a line and 130."""
    try:
        status = build_app()(sys.argv[1:] or ["--help"], standalone_mode=False)
    except USAGE_ERROR as error:
        print(f"error: {error.format_message()}", file=sys.stderr)
        sys.exit(2)
    except typer.Abort:
        status = INTERRUPTED
    # outside of its standalone mode, Typer returns the status of an interrupt
    if status == INTERRUPTED:
        print("stopped", file=sys.stderr)
    sys.exit(status)

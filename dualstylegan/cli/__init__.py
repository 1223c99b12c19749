"""The command `dualstylegan`: restyle photos and videos, film photos, list and add styles.

A request is checked before torch is imported or a model loaded, so that `--help`, wrong usage, a
missing file and an unknown style are answered at once.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated, cast

from dualstylegan.io.stopping import INTERRUPTED, end_on_signals

STOPPED = "stopped"
# Before everything else is imported: Ctrl-C is one line from here on.
if Path(sys.argv[0]).stem == "dualstylegan":
    end_on_signals(STOPPED)

import typer

from dualstylegan import __version__
from dualstylegan.cli import (
    add_style,
    export_onnx,
    export_web,
    film,
    push,
    styles,
    transfer,
    verify,
    video,
)
from dualstylegan.cli.parameters import Quiet, Verbose
from dualstylegan.cli.reporting import report_to_stderr, reported
from dualstylegan.errors import one_line
from dualstylegan.io.allocator import keep_freed_memory
from dualstylegan.io.files import output_error
from dualstylegan.published.commands import add_commands
from dualstylegan.studio.command import add_serve_command

# Typer has a click of its own, whose base of usage errors is public as this base alone.
USAGE_ERROR = cast(type[typer.BadParameter], typer.BadParameter.__base__)
PIPE_CLOSED = 141  # 128 + SIGPIPE, as shells have it


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

    modules = (transfer, film, video, styles, add_style, export_onnx, export_web, push, verify)
    for module in modules:
        module.add_command(app)
    add_serve_command(app, reported)
    add_commands(app, reported)
    return app


def main() -> None:
    """Run the command line; a fault of usage is one line and exit code 2, Ctrl-C a line and 130."""
    end_on_signals(STOPPED)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that Windows' code page lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = build_app()(sys.argv[1:] or ["--help"], standalone_mode=False)
        sys.stdout.flush()
    except USAGE_ERROR as error:
        print(f"error: {one_line(error.format_message())}", file=sys.stderr)
        status = 2
    except typer.Abort:
        status = INTERRUPTED
    except OSError as error:
        status = _unheard(error)
    # outside of its standalone mode, Typer returns the status of an interrupt
    if status == INTERRUPTED:
        print(STOPPED, file=sys.stderr)
    sys.exit(status)


def _unheard(error: OSError) -> int:
    """Return the status where what is printed cannot be written, and print no more.

    A reader such as `head` that has enough is no fault.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return PIPE_CLOSED
    print(f"error: {output_error(error)}", file=sys.stderr)
    return 2

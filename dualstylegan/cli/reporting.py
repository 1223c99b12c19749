"""Reports of the command line: errors and warnings as lines, loudness, progress with time left.

All of it goes to stderr through the logger `dualstylegan`; stdout holds results alone.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import typer

from dualstylegan.errors import TORCH_FIX, DualStyleGANError, LikenessWarning, one_line
from dualstylegan.io.files import output_error

LOGGER = logging.getLogger("dualstylegan")


class _ToStderr(logging.Handler):
    """Handler that writes each record as a line to what stderr is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        named = record.levelno >= logging.WARNING
        head = f"{record.levelname.lower()}: " if named else ""
        print(head + one_line(record.getMessage()), file=sys.stderr)


def report_to_stderr(verbose: bool, quiet: bool) -> None:
    """Send the package's log to stderr, more of it or faults alone."""
    LOGGER.handlers = [_ToStderr()]
    LOGGER.propagate = False
    level = logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO
    LOGGER.setLevel(level)
    if quiet or not sys.stderr.isatty():
        _hide_bars()


def louder(asked: bool) -> bool:
    """Log more, where an option asks for it."""
    if asked:
        LOGGER.setLevel(logging.DEBUG)
    return asked


def quieter(asked: bool) -> bool:
    """Log errors alone, where an option asks for it."""
    if asked:
        LOGGER.setLevel(logging.ERROR)
        _hide_bars()
    return asked


def _hide_bars() -> None:
    """Hide the progress bars of the client of model hubs, which is imported later."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def say(text: str) -> None:
    """Print a line about a result to stdout, unless faults alone are asked for."""
    if LOGGER.isEnabledFor(logging.INFO):
        print(one_line(text))


@contextmanager
def reported() -> Iterator[None]:
    """Turn an error of this package or of the system into one line on stderr and exit status 2.

    A typed warning becomes a line as well.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", LikenessWarning)
        others = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, LikenessWarning):
                LOGGER.warning(message)
            else:
                others(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        try:
            yield
        except DualStyleGANError as error:
            LOGGER.error(error)
            raise typer.Exit(2) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            LOGGER.error(output_error(error))
            raise typer.Exit(2) from error
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            LOGGER.error(f"this command needs torch, which is not installed; fix: {TORCH_FIX}")
            raise typer.Exit(2) from error


# Called with the share of the work that is done, 0 to 1.
Advance = Callable[[float], None]


@contextmanager
def progress(what: str) -> Iterator[Advance]:
    """Show the progress of long work with the time left, where a person looks on."""
    if not (sys.stderr.isatty() and LOGGER.isEnabledFor(logging.INFO)):
        yield lambda share: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=1.0)
        yield lambda share: shown.update(task, completed=share)

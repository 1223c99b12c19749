"""Reference of the command line: usage, arguments and options of each command, as `--help` says."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
from collections.abc import Iterator
from typing import Any

import typer

from docs.site.markdown import join, table
from dualstylegan.cli import build_app

# Modules of the pipeline that take options of their own.
MODULES = ("flows.portrait", "tasks.shared.profile")


def page() -> str:
    """Return the reference as Markdown."""
    group: Any = typer.main.get_command(build_app())
    parts = [*_tables(group, typer.Context(group))]
    for name, command in group.commands.items():
        if not command.hidden:
            parts += [f"## dualstylegan {name}", *describe(name, command)]
    for module in MODULES:
        parts += [f"## python -m {module}", f"```text\n{help_of(module).strip()}\n```"]
    return join(parts)


def describe(name: str, command: Any) -> Iterator[str]:
    """Yield the paragraphs on a command."""
    context = typer.Context(command, info_name=f"dualstylegan {name}")
    yield f"```text\n{' '.join(command.get_usage(context).split())}\n```"
    yield (command.help or "").strip()
    yield from _tables(command, context)


def _tables(command: Any, context: typer.Context) -> Iterator[str]:
    """Yield the tables of arguments and of options; hidden ones have no line in the help."""
    for kind in ("argument", "option"):
        shown = [p for p in command.params if p.param_type_name == kind and not p.hidden]
        records = (parameter.get_help_record(context) for parameter in shown)
        yield table(
            [kind, "meaning"], ([f"`{names}`", said] for names, said in filter(None, records))
        )


def help_of(module: str) -> str:
    """Return what `python -m MODULE --help` prints."""
    printed, given = io.StringIO(), sys.argv
    sys.argv = [f"python -m {module}", "--help"]
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            runpy.run_module(module, run_name="__main__", alter_sys=False)
    finally:
        sys.argv = given
    return printed.getvalue()

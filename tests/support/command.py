"""The command `dualstylegan` in the tests' own process."""

from __future__ import annotations

from dataclasses import dataclass

from typer.testing import CliRunner

from dualstylegan.cli import build_app


@dataclass(frozen=True)
class Done:
    """Exit status of a command, and what it wrote."""

    status: int
    stdout: str
    stderr: str


def run(*arguments: object) -> Done:
    """Run the command with arguments."""
    found = CliRunner().invoke(build_app(), [str(argument) for argument in arguments])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return Done(found.exit_code, found.stdout, found.stderr)

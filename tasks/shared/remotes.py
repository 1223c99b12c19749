"""DVC remotes: one that takes nothing is refused before the work whose results it is to take.

`python -m tasks.shared.remotes [NAME]` checks a remote as the flow does that pushes to it. DVC
itself finds out after the work, with a line per file.
"""

from __future__ import annotations

import argparse
import queue
import re
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dualstylegan.errors import DualStyleGANError, OutputError, SettingsError
from tasks.shared.runner import explain

CONFIG = ".dvc/config"
PAGE = "docs/howto/remotes.md"
# Written and removed; where it may not be removed it stays, and the next check writes it again.
PROBE = "write-check"
ANSWER_SECONDS = 30.0
# Plug-ins of DVC that the project has an extra for.
EXTRAS = {"s3": "dualstylegan[s3]"}
USER_INFO = re.compile(r"//[^/@]*@")


def check_remote(name: str | None = None, project: Path | str = ".") -> str:
    """Write a small file to a remote and remove it; return the remote's address.

    Args:
        name: of the remote, by default the project's default remote.
        project: folder of the DVC project.

    Raises:
        SettingsError: there is no such remote, or its options are wrong.
        OutputError: it cannot be reached or written: address, rights, credentials, plug-in.
    """
    from dvc.config import ConfigError
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        with Repo(str(project)) as repo:
            remotes = repo.config["remote"]
            name = name or repo.config["core"].get("remote")
            if name not in remotes:
                raise _unknown(name, sorted(remotes))
            address = USER_INFO.sub("//", str(remotes[name]["url"]))
            _within(ANSWER_SECONDS, lambda: _write(repo, name), f"remote {name}, {address}")
            return address
    except NotDvcRepoError as error:
        raise SettingsError(
            "no DVC project", file=project, fix="run it in the project's folder"
        ) from error
    except ConfigError as error:
        raise SettingsError(
            "options of a remote that DVC refuses",
            file=Path(project, CONFIG),
            value=_line(error),
            fix=f"see {PAGE}",
        ) from error


def _unknown(name: str | None, known: list[str]) -> SettingsError:
    """Return the error of a remote that is not configured."""
    return SettingsError(
        "no such remote" if name else "no default remote",
        file=CONFIG,
        value=name,
        limit=", ".join(known) or "none is configured",
        fix=f"dvc remote add {name or '-d store'} ADDRESS",
    )


def _write(repo: Any, name: str) -> None:
    """Write the probe as DVC writes its objects, and remove it where that is allowed."""
    remote = repo.cloud.get_remote(name)
    remote.fs.makedirs(remote.path, exist_ok=True)
    target = remote.fs.join(remote.path, PROBE)
    with tempfile.NamedTemporaryFile() as empty:
        remote.fs.put_file(empty.name, target)
    with suppress(Exception):
        remote.fs.remove(target)


def _within(seconds: float, work: Callable[[], None], remote: str) -> None:
    """Do work that may wait for a network; give it up after some seconds (OutputError).

    The libraries of the remotes try again for minutes, each in its own way.
    """
    outcome: queue.Queue[Exception | None] = queue.Queue()

    def run() -> None:
        try:
            work()
            outcome.put(None)
        except Exception as error:
            outcome.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        error = outcome.get(timeout=seconds)
    except queue.Empty:
        error = TimeoutError(f"no answer within {seconds:.0f} s")
    if error is not None:
        raise OutputError(
            "the remote cannot be written", file=remote, value=_line(error), fix=_fix(error)
        ) from error


def _fix(error: Exception) -> str:
    """Return what helps against an error of a remote's library."""
    if isinstance(error, ImportError):
        needed = re.search(r"'dvc-(\w+)'", str(error))
        kind = needed.group(1) if needed else ""
        return f"pip install '{EXTRAS.get(kind, f'dvc-{kind}' if kind else 'dvc')}'"
    if isinstance(error, PermissionError) or "redential" in str(error):
        return f"give credentials that may write there, see {PAGE}"
    if isinstance(error, FileNotFoundError):
        return "create it, or correct the address: dvc remote modify NAME url ADDRESS"
    return f"check the address and the network, see {PAGE}"


def _line(error: Exception) -> str:
    """Return the first line of an error's message, or of its type's name where it has none."""
    text = USER_INFO.sub("//", str(error)).strip() or type(error).__name__
    return text.splitlines()[0]


def main() -> None:
    """Run `python -m tasks.shared.remotes [NAME]`."""
    parser = argparse.ArgumentParser(prog="python -m tasks.shared.remotes", description=__doc__)
    parser.add_argument("name", nargs="?", help="of the remote; by default the default one")
    name = parser.parse_args().name
    try:
        print(f"{check_remote(name)} can be written")
    except DualStyleGANError as error:
        sys.exit(explain("remote", error))


if __name__ == "__main__":
    main()

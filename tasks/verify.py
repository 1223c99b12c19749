"""Check of the pipeline's files against dvc.lock, and of the base models against git, byte by byte.

`dvc status` trusts a file whose time and size are those that it remembers; a bit that has flipped
on the disk since changes neither, and git likewise. Here every file is read.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dualstylegan.errors import DataError, one_line
from tasks.shared.paths import PROJECT, Paths
from tasks.shared.progress import with_progress
from tasks.shared.sections import read_yaml

LOCK_FILE = "dvc.lock"
CACHE = Path(".dvc/cache/files/md5")
FOLDER_SUFFIX = ".dir"
DAMAGED = 1


@dataclass(frozen=True)
class Output:
    """Output of a stage, as dvc.lock has it.

    Attributes:
        stage: its name.
        path: of the file or folder, relative to the project.
        md5: of the file; of a folder, that of the list of its files, with FOLDER_SUFFIX.
        size: in bytes.
    """

    stage: str
    path: Path
    md5: str
    size: int


@dataclass(frozen=True)
class Fault:
    """File that is not as its stage left it.

    Attributes:
        stage: that wrote it; empty for a file of the project itself.
        path: of the file, or of the folder where the file cannot be told.
        problem: missing, changed, or not the stage's.
    """

    stage: str
    path: Path
    problem: str

    def __str__(self) -> str:
        """Return file, problem and fix in a line."""
        if not self.stage:
            return f"{self.path}: {self.problem}; fix: `git checkout -- {self.path}`"
        fix = f"`dvc checkout --force {self.path}`, or `dvc repro --force {self.stage}`"
        return f"{self.path}: {self.problem}; stage: {self.stage}; fix: {fix}"


def read_lock(project: Path) -> list[Output]:
    """Read the outputs that dvc.lock knows, in its order.

    Raises:
        DataError: there is no dvc.lock, or it is not DVC's.
    """
    path = project / LOCK_FILE
    if not path.is_file():
        raise DataError("nothing was made here yet", file=path, fix="run `dvc repro`")
    stages: dict[str, Any] = read_yaml(path).get("stages") or {}
    try:
        return [
            Output(name, Path(out["path"]), str(out["md5"]), int(out["size"]))
            for name, stage in stages.items()
            for out in stage.get("outs", ())
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            "not a lock file of DVC", file=path, value=error, fix="run `dvc repro`"
        ) from error


def faults_of(project: Path, output: Output) -> Iterator[Fault]:
    """Yield the files of an output that are not as its stage left them."""
    path = project / output.path
    if not path.exists():
        yield Fault(output.stage, output.path, "missing")
    elif not output.md5.endswith(FOLDER_SUFFIX):
        if md5_of(path) != output.md5:
            yield Fault(output.stage, output.path, "changed")
    else:
        yield from _faults_of_folder(project, output)


def _faults_of_folder(project: Path, output: Output) -> Iterator[Fault]:
    folder = project / output.path
    files = (path for path in folder.rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): md5_of(path) for path in files}
    if _listing_digest(found) + FOLDER_SUFFIX == output.md5:
        return
    listed = _read_listing(project, output.md5)
    if listed is None:
        yield Fault(output.stage, output.path, "changed")
        return
    for name in sorted(listed.keys() | found.keys()):
        if found.get(name) != listed.get(name):
            problem = "missing" if name not in found else "changed"
            problem = problem if name in listed else "not the stage's"
            yield Fault(output.stage, output.path / name, problem)


def _listing_digest(md5s: dict[str, str]) -> str:
    """Compute the MD5 of a folder as DVC does: of its files' MD5s by path, as JSON."""
    listing = json.dumps([{"md5": md5s[name], "relpath": name} for name in sorted(md5s)])
    return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest()


def _read_listing(project: Path, md5: str) -> dict[str, str] | None:
    """Read the MD5s of a folder's files from DVC's cache; None where it lacks or has damaged it."""
    path = project / CACHE / md5[:2] / md5[2:]
    try:
        listed = {item["relpath"]: item["md5"] for item in json.loads(path.read_text())}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return listed if _listing_digest(listed) + FOLDER_SUFFIX == md5 else None


def md5_of(path: Path) -> str:
    """Compute the MD5 of a file, which is what DVC names contents by."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def faults_of_base(project: Path) -> list[Fault]:
    """Return the base models that are not as git has them; none where git does not keep them."""
    listed = _git(project, "ls-files", "-s", "-z", "--", str(Paths.base))
    faults = []
    for entry in filter(None, listed.split("\0")):
        facts, _, name = entry.partition("\t")
        path = Path(name)
        if not (project / path).is_file():
            faults.append(Fault("", path, "missing"))
        elif _git(project, "hash-object", "--", name).strip() != facts.split()[1]:
            faults.append(Fault("", path, "changed"))
    return faults


def _git(project: Path, *words: str) -> str:
    """Return what git prints; nothing where there is no git, or the project is not its."""
    try:
        done = subprocess.run(["git", *words], cwd=project, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def verify(project: Path) -> list[Fault]:
    """Read every file of a project and return those that are not as they were left.

    Raises:
        DataError: nothing was made yet.
    """
    outputs = read_lock(project)
    shown = with_progress(outputs, "verify", "outputs")
    return [
        *(fault for output in shown for fault in faults_of(project, output)),
        *faults_of_base(project),
    ]


def main() -> None:
    """Run `python -m tasks.verify`; exit with code 1 where a file is damaged."""
    from tasks.shared.runner import run_stage

    faults: list[Fault] = []
    run_stage("verify", lambda: faults.extend(verify(PROJECT)), of_set=False)
    for fault in faults:
        print(one_line(str(fault)))
    if faults:
        sys.exit(DAMAGED)
    print("verify: every file is as it was left")


if __name__ == "__main__":
    main()

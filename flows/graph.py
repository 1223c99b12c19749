"""DVC's resolved graph as steps: dependencies and staleness of each stage.

dvc.yaml alone states the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualstylegan.errors import SettingsError
from tasks.shared.sections import read_yaml
from tasks.shared.sets import SETS
from tasks.shared.settings import DEFAULT_FILE

GRAPH_FILE = "dvc.yaml"
# Between a stage and the style set whose it is, as DVC addresses it.
SET_SIGN = "@"
FOREACH = "foreach"


@dataclass(frozen=True)
class Step:
    """A stage.

    Attributes:
        name: as DVC addresses it.
        needs: names of the stages whose outputs it reads.
        outs: its outputs, relative to the project.
        due: True if it, or something that it reads, is stale.
    """

    name: str
    needs: frozenset[str]
    outs: tuple[str, ...]
    due: bool


def stage_of(name: str) -> str:
    """Return a step's stage: `align` of `align@NAME`, which is that of one style set."""
    return name.partition(SET_SIGN)[0]


def steps_of(target: str, names: Iterable[str]) -> list[str]:
    """Return the steps that a target stands for: itself, or those of all style sets, sorted."""
    return sorted(name for name in names if target in (name, stage_of(name)))


def check_targets(targets: Iterable[str], names: Iterable[str]) -> None:
    """Refuse targets that are no stages.

    Raises:
        SettingsError: the first unknown target, and the stages that there are.
    """
    known = sorted(names)
    for target in targets:
        if not steps_of(target, known):
            raise SettingsError(
                "no such stage",
                file=GRAPH_FILE,
                value=target,
                limit=", ".join(known),
                fix="give one of these",
            )


def stage_names(folder: Path | str) -> list[str]:
    """Return the stages in dvc.yaml, and those of each style set, without importing DVC.

    Raises:
        SettingsError: dvc.yaml, or params.yaml where it is needed, is missing or not valid YAML.
    """
    stages: dict[str, Any] = read_yaml(Path(folder) / GRAPH_FILE).get("stages") or {}
    names = []
    for name, stage in stages.items():
        names.append(name)
        if FOREACH in stage:
            sets = read_yaml(Path(folder) / DEFAULT_FILE).get(SETS) or {}
            names += [f"{name}{SET_SIGN}{one}" for one in sets]
    return names


def read_graph(folder: Path | str, targets: Iterable[str] = ()) -> list[Step]:
    """Return stages in an order in which they can run, from one status pass over the project.

    Args:
        folder: of the DVC project.
        targets: only these stages, of one style set or of all, and their dependencies; all when
            empty.

    Raises:
        SettingsError: a target is no stage.
        dvc.exceptions.DvcException: no project here, or its graph is not valid.
    """
    from dvc.repo import Repo, lock_repo

    # Each stage of the one graph is asked: `Repo.status` reads dvc.yaml and lock once per target.
    with Repo(str(folder)) as repo, lock_repo(repo):
        root = Path(repo.root_dir)
        graph = repo.index.graph
        # DVC's own addresses are relative to the working folder
        names = {stage: _name(stage, root) for stage in graph}
        needs = {
            name: frozenset(names[n] for n in graph.successors(s)) for s, name in names.items()
        }
        outs = {
            name: tuple(str(Path(out.fs_path).relative_to(root)) for out in stage.outs)
            for stage, name in names.items()
        }
        # What is imported stays as it is until `dvc update`, and its source may be out of reach.
        stale = {
            name
            for stage, name in names.items()
            if (any(out.status() for out in stage.outs) if stage.is_import else stage.status())
        }
    return plan(needs, outs, stale, targets)


def _name(stage: Any, root: Path) -> str:
    """Return the address of a stage in the project's folder."""
    file = Path(stage.path).relative_to(root)
    own = getattr(stage, "name", None)
    if own is None:  # of a .dvc file
        return str(file)
    return str(own) if str(file) == GRAPH_FILE else f"{file}:{own}"


def plan(
    needs: Mapping[str, frozenset[str]],
    outs: Mapping[str, tuple[str, ...]],
    stale: Iterable[str],
    targets: Iterable[str] = (),
) -> list[Step]:
    """Order stages by their dependencies; staleness spreads to what depends on it.

    Raises:
        SettingsError: a target is no stage.
    """
    targets, stale = list(targets), set(stale)
    check_targets(targets, needs)
    ordered: dict[str, Step] = {}

    def visit(name: str) -> Step:
        if name not in ordered:
            before = [visit(need) for need in sorted(needs[name])]
            due = name in stale or any(step.due for step in before)
            ordered[name] = Step(name, needs[name], outs[name], due)
        return ordered[name]

    wanted = [step for target in targets for step in steps_of(target, needs)]
    for name in wanted or sorted(needs):
        visit(name)
    return list(ordered.values())

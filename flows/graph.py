"""The graph that DVC resolved, as steps: what needs what, and what is stale.

The order stands in dvc.yaml alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """A stage.

    Attributes:
        name: as DVC addresses it.
        needs: names of the stages whose outputs it reads.
        outs: its outputs, relative to the project.
        due: whether it, or something that it reads, is stale.
    """

    name: str
    needs: frozenset[str]
    outs: tuple[str, ...]
    due: bool


def read_graph(folder: Path | str, targets: Iterable[str] = ()) -> list[Step]:
    """Stages in an order in which they can run, from one status pass over the project.

    Args:
        folder: of the DVC project.
        targets: only these stages and what they need; all when empty.

    Raises:
        dvc.exceptions.DvcException: no project here, or its graph is not valid.
    """
    from dvc.repo import Repo

    with Repo(str(folder)) as repo:
        root = Path(repo.root_dir)
        own = root / "dvc.yaml"  # other pipelines of the project, such as data/base, stand alone
        graph = repo.index.graph.subgraph(s for s in repo.index.graph if Path(s.path) == own)
        needs = {s.addressing: frozenset(n.addressing for n in graph.successors(s)) for s in graph}
        outs = {
            s.addressing: tuple(str(Path(o.fs_path).relative_to(root)) for o in s.outs)
            for s in graph
        }
        stale = set(repo.status(targets=list(needs)))
    return plan(needs, outs, stale, targets)


def plan(
    needs: Mapping[str, frozenset[str]],
    outs: Mapping[str, tuple[str, ...]],
    stale: Iterable[str],
    targets: Iterable[str] = (),
) -> list[Step]:
    """Order stages so that each comes after what it needs; staleness spreads to what depends on it.

    Raises:
        KeyError: a target is no stage.
    """
    ordered: dict[str, Step] = {}
    stale = set(stale)

    def visit(name: str) -> Step:
        if name not in ordered:
            before = [visit(need) for need in sorted(needs[name])]
            due = name in stale or any(step.due for step in before)
            ordered[name] = Step(name, needs[name], outs[name], due)
        return ordered[name]

    for name in list(targets) or sorted(needs):
        visit(name)
    return list(ordered.values())

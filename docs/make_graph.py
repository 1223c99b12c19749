"""Draw DVC's graph of the stages as a Mermaid chart and write it into README.md.

An arrow means that a stage reads what another one writes. Arrows that a longer way implies are left
out (transitive reduction).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"```mermaid\n.*?```", re.DOTALL)


def read_needs() -> dict[str, frozenset[str]]:
    """Return the stages of dvc.yaml for one style set and, for each, those that it depends on."""
    from dvc.repo import Repo

    from flows.graph import stage_of

    graph = Repo(str(ROOT)).index.graph
    stages = {stage: stage_of(str(stage.name)) for stage in graph.nodes if hasattr(stage, "cmd")}
    return {
        name: frozenset(stages[need] for need in graph.successors(stage) if need in stages)
        for stage, name in stages.items()
    }


def ancestors(name: str, needs: Mapping[str, Set[str]]) -> set[str]:
    """Return every stage that a stage depends on, directly or not."""
    return set(needs[name]).union(*(ancestors(need, needs) for need in needs[name]))


def chart(needs: Mapping[str, Set[str]]) -> str:
    """Return the Mermaid chart of a graph, reduced to the arrows that no other way implies."""
    arrows = sorted(
        f"    {need} --> {name}"
        for name, direct in needs.items()
        for need in direct
        if not any(need in ancestors(other, needs) for other in direct)
    )
    return "```mermaid\nflowchart LR\n" + "\n".join(arrows) + "\n```"


def with_chart(readme: str) -> str:
    """Return README with its chart replaced by that of the current graph."""
    return BLOCK.sub(lambda _: chart(read_needs()), readme, count=1)


if __name__ == "__main__":
    page = ROOT / "README.md"
    page.write_text(with_chart(page.read_text()))

"""Command `python -m tasks.base NAME`: a stage of tasks/base."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tasks.base.common import load_base_settings, ship
from tasks.base.encoder import train_encoder
from tasks.base.heads import train_heads
from tasks.base.measure import measure
from tasks.base.pastiche import train_pastiche
from tasks.base.settings import BaseSettings
from tasks.base.structure import train_structure
from tasks.shared.runner import prepare, run_stage

STAGES: dict[str, Callable[[BaseSettings], None]] = {
    "heads": train_heads,
    "encoder": train_encoder,
    "structure": train_structure,
    "pastiche": train_pastiche,
    "measure": measure,
    "ship": ship,
}


def main() -> None:
    """Run one stage."""
    if len(sys.argv) != 2 or sys.argv[1] not in STAGES:
        sys.exit(f"usage: python -m tasks.base {'|'.join(STAGES)}")
    name = sys.argv[1]

    def stage() -> None:
        settings = load_base_settings()
        prepare(settings.runtime)
        STAGES[name](settings)

    run_stage(f"base-{name}", stage, of_set=False)


if __name__ == "__main__":
    main()

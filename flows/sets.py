"""The flow `sets`: the pipeline of every style set as a run of its own, and the gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow

from flows.graph import SET_SIGN, stage_names
from flows.parameters import Retries, StyleSetName
from flows.portrait import portrait
from flows.runs import FLOW

GALLERY = "gallery"


@flow(
    name="sets",
    **FLOW,
)
def sets(
    names: list[StyleSetName] | None = None, retries: Retries = 1, folder: str | None = None
) -> dict[str, Any]:
    """Bring style sets up to date, one run of `portrait` after the other, then the gallery.

    A set that fails does not stop the others.

    Args:
        names: of the sets; all when None.
        retries: attempts after a failed one, per stage.
        folder: of the project; by default the working folder.

    Returns:
        What the run of each set returns, by its name.

    Raises:
        StageFailed: of the first set that failed, after all others.
    """
    stages = stage_names(folder or ".")
    found = [name.partition(SET_SIGN) for name in stages if SET_SIGN in name]
    known = list(dict.fromkeys(name for _, _, name in found))
    project, states = str(Path(folder or ".").resolve()), {}
    for name in names or known:
        targets = [f"{stage}{SET_SIGN}{one}" for stage, _, one in found if one == name]
        run = portrait.with_options(flow_run_name=name)
        states[name] = run(
            targets=targets,
            retries=retries,
            folder=project,
            return_state=True,
        )
    done = {name: state.result() for name, state in states.items()}
    if names is None and GALLERY in stages:
        done[GALLERY] = portrait(targets=[GALLERY], retries=retries, folder=folder)
    return done

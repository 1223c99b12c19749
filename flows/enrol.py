"""The flow `enrol`: new exemplars become styles of a trained model, without training."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from dualstylegan.errors import DataError, one_line
from dualstylegan.io.files import check_writable
from dualstylegan.io.images import scan_images
from flows.processes import Children, run_module
from flows.runs import FLOW


@task(task_run_name="{shown}", cache_policy=NO_CACHE, persist_result=False)
def add_style(shown: str, portrait: Path, model: str | None, output: str) -> str:
    """Add one exemplar to a model as a style; return the folder of the new model (StageFailed).

    Args:
        shown: name of the style as the run shows it.
        portrait: the exemplar, whose name is the style's.
        model, output: the model's folder, and the new one's.
    """
    options = ["--model", model] if model else []
    arguments = ["add-style", str(portrait), f"--name={portrait.stem}", *options, "-o", output]
    run_module("dualstylegan", arguments, Path.cwd())
    return output


@flow(
    name="enrol",
    flow_run_name="enrol-{portraits}",
    **FLOW,
)
def enrol(portraits: str, output: str, model: str | None = None) -> dict[str, Any]:
    """Add every portrait of a folder to a model, as a style of its file's name.

    Args:
        portraits: folder of new exemplars.
        output: folder of the model to make; it must not exist.
        model: as `dualstylegan add-style --model` takes it; by default the project's.

    Returns:
        Names of the new styles, and seconds.

    Raises:
        DataError: no portraits, or the folder of the model exists.
        StageFailed: a portrait is refused; no model is written.
    """
    start = time.monotonic()
    folder = scan_images(Path(portraits))
    for path, reason in folder.skipped:
        get_run_logger().warning("not taken: %s: %s", one_line(str(path)), reason)
    found, names = folder.paths, [one_line(path.stem) for path in folder.paths]
    if not found:
        raise DataError("no portraits", file=portraits, fix="name a folder that holds some")
    if Path(output).exists():
        raise DataError("the folder exists already", file=output, fix="name another")
    check_writable(Path(output))
    try:
        with tempfile.TemporaryDirectory(dir=Path(output).absolute().parent) as scratch:
            for number, path in enumerate(found):
                before, model = model, str(Path(scratch, str(number)))
                add_style(names[number], path, before, model)
                if number:
                    shutil.rmtree(str(before))
            Path(str(model)).rename(output)
    except Exception:
        raise
    except BaseException:  # a signal
        Children.end()
        raise
    seconds = round(time.monotonic() - start, 1)
    get_run_logger().info("%s: %d styles added, %.1f s", output, len(found), seconds)
    return {"styles": names, "seconds": seconds}

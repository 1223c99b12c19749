"""Data of the pipeline's runs, as MLflow shows it: folders and tables with DVC's digests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.shared.paths import Paths
from tasks.shared.sections import read_yaml

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK = Path("dvc.lock")
CONTEXT = "mlflow.data.context"


def uses() -> dict[str, dict[Path, str]]:
    """Return the data of the style set that a stage reads, and what for, by stage."""
    training = {Paths.aligned: "training"}
    evaluation = {Paths.aligned: "evaluation", Paths.pastiches: "evaluation"}
    return {
        "align": {Paths.portraits: "source"},
        "invert": training,
        "adapt": training | {Paths.style_codes: "training"},
        "destylize": training | {Paths.style_codes: "training"},
        "finetune": training
        | {Paths.extrinsic_codes: "training", Paths.intrinsic_codes: "training"},
        "refine": training | {Paths.extrinsic_codes: "training"},
        "sampler": {Paths.refined_codes: "training"},
        "evaluate": evaluation | {Paths.content_codes: "evaluation"},
        "leaderboard": evaluation,
        "register": evaluation
        | {Paths.portraits: "source", Paths.aligned: "training and evaluation"},
    }


def locked_outputs() -> dict[str, dict[str, Any]]:
    """Return the entries of all outputs in dvc.lock, by path; empty where there is none."""
    if not LOCK.is_file():
        return {}
    stages = read_yaml(LOCK).get("stages") or {}
    return {out["path"]: out for stage in stages.values() for out in stage.get("outs", ())}


def log_datasets(client: MlflowClient, run: str, stage: str) -> None:
    """Log the data that a stage reads to a run; what DVC has not recorded is left out."""
    from mlflow.entities import DatasetInput, InputTag

    outputs = locked_outputs()
    inputs = [
        DatasetInput(dataset(path, outputs[path.as_posix()]), [InputTag(CONTEXT, use)])
        for path, use in uses().get(stage, {}).items()
        if outputs.get(path.as_posix(), {}).get("md5")
    ]
    if inputs:
        client.log_inputs(run, inputs)


def dataset(path: Path, entry: Mapping[str, Any]) -> Any:
    """Return an output of DVC as a data set of MLflow.

    Args:
        path: of the output.
        entry: of dvc.lock: `md5`, `size`, and of a folder `nfiles`.
    """
    from mlflow.entities import Dataset

    profile = {"num_files": entry.get("nfiles", 1), "num_bytes": entry.get("size", 0)}
    source = json.dumps({"uri": path.as_posix(), "dvc_md5": entry["md5"]})
    return Dataset(path.stem, entry["md5"], "local", source, profile=json.dumps(profile))

"""Paths of the pipeline's files, relative to the project's folder: each stands here once."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# State of an unfinished training, in the folder of its run.
STATE_FILE = "state.safetensors"


class Paths:
    """Files and folders that stages read and write."""

    data = Path("data")
    base = data / "base"
    weights = data / "weights"
    portraits = data / "portraits"
    aligned = data / "aligned"
    codes = data / "codes"
    models = data / "models"
    adapted = models / "adapted"
    finetuned = models / "finetuned"
    trained = {"adapt": adapted, "finetune": finetuned}  # noqa: RUF012
    portrait = models / "portrait"
    reports = data / "reports"
    cache = data / "cache"
    timings = reports / "timings"

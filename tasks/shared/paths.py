"""Paths of the pipeline's files, relative to the project's folder: each stands here once."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


class Paths:
    """Files and folders that stages read and write."""

    data = Path("data")
    base = data / "base"
    weights = data / "weights"
    portraits = data / "portraits"
    aligned = data / "aligned"
    codes = data / "codes"
    models = data / "models"
    portrait = models / "portrait"
    reports = data / "reports"
    cache = data / "cache"
    timings = reports / "timings"

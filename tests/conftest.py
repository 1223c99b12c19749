"""What all tests share: quiet libraries, and the pinned weights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
for name, value in {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}.items():
    os.environ.setdefault(name, value)


@pytest.fixture(scope="session")
def weights() -> Path:
    """data/weights, made by the stage `download` unless it is whole."""
    from tasks.weights.downloads import fetch_all

    out = ROOT / "data" / "weights"
    fetch_all(ROOT / "data" / "cache" / "downloads", out)
    return out

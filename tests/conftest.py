"""What all tests share: quiet libraries, and the pinned weights."""

from __future__ import annotations

import os
import subprocess
import sys
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
    """data/weights; fetched when they are not there, so that the first run takes minutes."""
    folder = ROOT / "data" / "weights"
    if not (folder / "provenance.json").is_file():
        subprocess.run([sys.executable, "-m", "tasks.download"], cwd=ROOT, check=True)
    return folder

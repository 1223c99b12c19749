"""Fixtures of every floor of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def weights() -> Path:
    """data/weights, made by the stage `download` unless it is whole."""
    from dualstylegan.downloads import fetch_all

    out = ROOT / "data" / "weights"
    fetch_all(ROOT / "data" / "cache" / "downloads", out)
    return out

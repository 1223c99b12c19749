"""The shipped settings, some of them changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tasks.shared.paths import DEMO
from tasks.shared.profile import apply
from tasks.shared.sets import load
from tasks.shared.settings import Settings

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "params.yaml"
PROFILES = sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml"))


def write_params(folder: Path, changes: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write params.yaml: the shipped one with some settings of some sections changed.

    `portraits.source` is that of the demo's style set.
    """
    content = yaml.safe_load(SHIPPED.read_text())
    for section, values in changes.items():
        content[section] |= values
    source = content["portraits"].pop("source", None)
    if source is not None:
        content["sets"][DEMO]["source"] = source
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def shipped() -> Settings:
    """Return the shipped settings."""
    return load(SHIPPED)


def with_profile(name: str, folder: Path) -> Settings:
    """Return the shipped settings under a profile; FOLDER/params.yaml holds them."""
    path = write_params(folder, {})
    apply(ROOT / "profiles" / f"{name}.yaml", path)
    return load(path)

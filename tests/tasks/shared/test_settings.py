"""Settings: the shipped file is whole; every fault names file, key, value, limit and fix."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from dualstylegan.errors import SettingsError
from tasks.shared.settings import Settings, load

SHIPPED = Path(__file__).parents[3] / "params.yaml"


def write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text)
    return path


def test_shipped_file_names_every_setting() -> None:
    written = yaml.safe_load(SHIPPED.read_text())
    assert load(SHIPPED).model_dump(by_alias=True, mode="json") == written


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    settings = load(write(tmp_path, "align: {size: 512}"))
    assert settings == Settings(align=settings.align)
    assert settings.align.size == 512


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().align.size = 64  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("align: {size: 1}", r"params.yaml.*`align.size`.*found: 1; limit: .*64; fix"),
        (
            "align: {sise: 256}",
            r"unknown setting `align.sise`.*found: 256; limit: one of: held_out",
        ),
        ("alin: {}", r"unknown setting `alin`.*limit: .*align.*register"),
        ("adapt: {rate: .nan}", r"`adapt.rate` is refused.*nan.*limit"),
        ("adapt: {rate: fast}", r"`adapt.rate` is refused.*'fast'"),
        ("align: [", "not valid YAML"),
        ("- a", "no sections"),
    ],
)
def test_faults_are_explained(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml.*cannot be read"):
        load(tmp_path / "nowhere.yaml")

"""Settings: the shipped file is whole; faults name file, key, value, limit and fix."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError

from dualstylegan.codes.fitting import FitSettings
from dualstylegan.errors import DualStyleGANError, SettingsError
from dualstylegan.evaluation.plan import EvaluationPlan
from dualstylegan.portrait.add_style import AddStyleSettings
from dualstylegan.portrait.config import PortraitConfig, TransferDefaults
from tasks.base.settings import BaseSettings
from tasks.pages.measures import MEASURES
from tasks.shared import profile
from tasks.shared.results import plan_of
from tasks.shared.sets import Params, load, read_params
from tasks.shared.settings import DecidingMeasure, Package, Settings
from tests.support.closure import closure, file_of
from tests.support.settings import PROFILES, ROOT, SHIPPED, shipped, with_profile, write_params


def fields(schema: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting of a schema as `section.name`, with its field."""
    for name, field in schema.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields(kind, f"{prefix}{field.alias or name}.")
        yield f"{prefix}{field.alias or name}", field


def leaves(schema: type[BaseModel]) -> list[tuple[str, Any]]:
    """Return every setting that holds a value."""
    found = list(fields(schema))
    return [(k, f) for k, f in found if not any(other.startswith(f"{k}.") for other, _ in found)]


def test_the_shipped_file_states_every_setting() -> None:
    written = yaml.safe_load(SHIPPED.read_text())
    assert read_params(SHIPPED).model_dump(by_alias=True, mode="json") == written


@pytest.mark.parametrize("schema", [Params, Settings, BaseSettings])
def test_the_schema_has_meanings_and_no_values(schema: type[BaseModel]) -> None:
    assert [key for key, field in fields(schema) if not field.is_required()] == []
    assert [key for key, field in leaves(schema) if not field.description] == []


@pytest.mark.parametrize("schema", [Params, Settings, BaseSettings])
def test_a_value_that_turns_something_off_says_so(schema: type[BaseModel]) -> None:
    """A setting that may be 0 or null, and is no seed, says what that means."""
    silent = []
    for key, field in leaves(schema):
        zero = any(isinstance(bound, Ge) and bound.ge == 0 for bound in field.metadata)
        for value, allowed in (("0", zero), ("null", type(None) in get_args(field.annotation))):
            if allowed and f"{value}:" not in field.description:
                silent.append(f"{key}: {value}")
    told_by_their_unit = {
        "profile.seed: 0",
        "diagnose.refused: 0",
        "evaluate.seed: 0",
        "register.guard_slack: 0",
        "cpu.encoder.pictures_from: 0",
        "cpu.structure.six_from: 0",
        "cpu.structure.five_from: 0",
    }
    assert {key.replace("gpu.", "cpu.") for key in silent} <= told_by_their_unit | {
        f"{section}.truncation: 0" for section in ("adapt", "finetune", "package")
    }


def test_defaults_of_the_core_are_those_of_the_shipped_settings() -> None:
    """A library user without params.yaml gets what the pipeline measures."""
    settings = shipped()
    assert plan_of(settings) == EvaluationPlan()
    added, evaluation = AddStyleSettings(), settings.evaluate
    assert (added.invert_steps, added.refine_steps) == (
        evaluation.held_out_invert_steps,
        evaluation.held_out_refine_steps,
    )
    fitted, options = FitSettings(), settings.package
    assert fitted.size == settings.profile.working_size
    assert (fitted.structure, fitted.color) == (options.structure, options.color)
    for name in set(vars(fitted)) - {"size", "structure", "color"}:
        assert getattr(fitted, name) == getattr(options, f"fit_{name}"), name
    # The structure of a new exemplar is learnt in its code alone, at a rate of its own.
    own = {"steps", "structure_rate"}
    for section in (settings.invert, settings.refine):
        for name in section.model_fields_set & set(vars(added)) - own:
            assert getattr(added, name) == getattr(section, name), name


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        shipped().align.size = 64


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"align": {"size": 1}}, r"params.yaml.*`align.size`.*found: 1; limit: .*64; fix"),
        (
            {"align": {"sise": 256}},
            r"unknown setting `align.sise`.*found: 256; limit: one of: held_out, size",
        ),
        ({"adapt": {"rate": float("nan")}}, r"`adapt.rate` is refused.*nan.*limit"),
        ({"adapt": {"rate": "fast"}}, r"`adapt.rate` is refused.*'fast'"),
        ({"adapt": {"anchored": 5}}, r"`adapt.anchored` exceeds `adapt.batch`; found: 5; limit: 4"),
        ({"profile": {"working_size": 512}}, r"`profile.working_size` exceeds `align.size`"),
        ({"evaluate": {"size": 128, "measure_size": 256}}, r"`evaluate.measure_size` exceeds"),
        ({"evaluate": {"contents": 4}}, r"`leaderboard.faces` exceeds `evaluate.contents`"),
        (
            {"evaluate": {"styles": 9}, "leaderboard": {"styles": 10}},
            r"`leaderboard.styles` exceeds `evaluate.styles`; found: 10; limit: 9",
        ),
        (
            {"evaluate": {"contents": 5}, "ablate": {"steps": 1, "faces": 6}},
            r"`ablate.faces` exceeds",
        ),
        ({"register": {"measure": "fid"}}, r"`register.measure` is refused.*'fid'.*kid_results"),
    ],
)
def test_faults_are_explained(
    tmp_path: Path, changes: dict[str, dict[str, object]], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        load(write_params(tmp_path, changes))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("align: [", "not valid YAML"),
        ("- a", "no sections"),
        ("align: {size: 256}", r"setting `profile` is missing; fix: add the line"),
    ],
)
def test_files_that_are_no_settings_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(SettingsError, match=words):
        load(tmp_path / "params.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml.*cannot read settings"):
        load(tmp_path / "nowhere.yaml")


def accepted(model: type[BaseModel], name: str, value: object) -> bool:
    """Return True if a model of the core takes a value for one of its fields."""
    try:
        model.model_validate({name: value})
    except ValidationError as error:
        return all(fault["loc"] != (name,) for fault in error.errors())
    return True


@pytest.mark.parametrize(
    ("consumer", "name"),
    [(TransferDefaults, name) for name in ("structure", "color", "truncation")]
    + [(PortraitConfig, "name")],
)
def test_bounds_are_those_of_the_model_that_consumes_them(
    consumer: type[BaseModel], name: str
) -> None:
    """The model's config admits exactly what the settings of `package` admit."""
    for value in (-0.01, 0.0, 1.0, 1.01, 1.5, "", "a", "a" * 100, "a" * 101):
        assert accepted(Package, name, value) == accepted(consumer, name, value), value


def test_the_deciding_measures_are_measures_of_the_report() -> None:
    assert set(get_args(DecidingMeasure)) <= {measure.key for measure in MEASURES}


def test_every_number_is_bounded_below_and_above() -> None:
    numbers = [(k, f) for k, f in leaves(Settings) if f.annotation in (int, float)]
    assert len(numbers) > 70
    for key, field in numbers:
        assert any(isinstance(bound, Ge | Gt) for bound in field.metadata), key
        assert any(isinstance(bound, Le | Lt) for bound in field.metadata), key


def names_used(module: str) -> set[str]:
    """Attributes, fields and arguments that a module names, or one that it imports."""
    return set[str]().union(*map(names_in, closure(module)))


@cache
def names_in(path: Path) -> frozenset[str]:
    """Attributes, fields and arguments that a file names."""
    found: set[str] = set()
    schema = path.name == "settings.py"  # to declare a setting is not to read it
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.keyword) and node.arg:
            found.add(node.arg)
        elif schema:
            continue
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)  # plans take whole sections, field by field
        elif isinstance(node, ast.arg):
            found.add(node.arg)
    return frozenset(found)


def test_every_setting_is_read_by_its_stage() -> None:
    stages = [field.alias or name for name, field in Settings.model_fields.items()]
    used = {stage: names_used(f"tasks.{stage}") for stage in stages if file_of(f"tasks.{stage}")}
    everywhere = set[str]().union(*used.values())
    assert [
        key
        for key, _ in leaves(Settings)
        if key.split(".")[-1] not in used.get(key.split(".")[0], everywhere)
    ] == []


def test_every_setting_of_the_base_models_is_read() -> None:
    used = names_used("tasks.base.__main__")
    assert [key for key, _ in leaves(BaseSettings) if key.split(".")[-1] not in used] == []


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_hold_differences_only(name: str, tmp_path: Path) -> None:
    def count(values: dict[str, Any]) -> int:
        return sum(count(v) if isinstance(v, dict) else 1 for v in values.values())

    overlay = yaml.safe_load((ROOT / "profiles" / f"{name}.yaml").read_text())
    path = write_params(tmp_path, {})
    changes = profile.apply(ROOT / "profiles" / f"{name}.yaml", path)
    assert len(changes) == count(overlay)
    assert with_profile(name, tmp_path) != shipped()


def test_a_profile_leaves_comments_and_other_lines_alone(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED.read_text())
    overlay = tmp_path / "one.yaml"
    overlay.write_text("align:\n  size: 512\n")
    assert profile.apply(overlay, path) == {"align.size": (256, 512)}
    assert path.read_text() == SHIPPED.read_text().replace("  size: 256\n", "  size: 512\n", 1)
    assert profile.apply(overlay, path) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("align: {sise: 1}", r"one\.yaml: unknown setting `align.sise`.*held_out, size"),
        ("align: {size: 1}", r"one\.yaml: setting `align.size` is refused"),
        ("adapt: {anchored: 60}", r"one\.yaml: setting `adapt.anchored` exceeds"),
    ],
)
def test_a_profile_that_does_not_fit_changes_nothing(tmp_path: Path, text: str, words: str) -> None:
    path = write_params(tmp_path, {})
    before = path.read_bytes()
    (tmp_path / "one.yaml").write_text(text)
    with pytest.raises(DualStyleGANError, match=words):
        profile.apply(tmp_path / "one.yaml", path)
    assert path.read_bytes() == before

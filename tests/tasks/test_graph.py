"""dvc.yaml as DVC reads it: resolved under every profile, and true to settings and code."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from dvc.stage import PipelineStage

from dualstylegan.errors import SettingsError
from dualstylegan.io.files import write_json
from tasks.base.settings import BaseSettings
from tasks.shared.paths import DEMO
from tasks.shared.sections import read_settings
from tasks.shared.settings import Settings
from tests.support.closure import ROOT, closure
from tests.support.settings import PROFILES, with_profile

GRAPH: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())
# what a stage does, for one style set where it has one
STAGES: dict[str, Any] = {name: one.get("do", one) for name, one in GRAPH["stages"].items()}
OF_SETS = {name for name, one in GRAPH["stages"].items() if "do" in one}
SETTINGS_FILE = "data/sets/${key}/settings.json"
BASE: dict[str, Any] = yaml.safe_load((ROOT / "tasks/base/dvc.yaml").read_text())["stages"]
# Code that cannot change a result: what reads, refuses, times, reports and finds files.
WITHOUT_EFFECT = frozenset(
    map(
        Path,
        (
            "dualstylegan/__init__.py",
            "dualstylegan/codes/__init__.py",
            "dualstylegan/errors.py",
            "dualstylegan/evaluation/__init__.py",
            "dualstylegan/faces/__init__.py",
            # the form of a model that restyles without torch, which no stage makes
            "dualstylegan/graphs/__init__.py",
            "dualstylegan/graphs/inference.py",
            "dualstylegan/graphs/manifest.py",
            "dualstylegan/graphs/sessions.py",
            "dualstylegan/pretraining/__init__.py",
            "dualstylegan/published/__init__.py",
            "tasks/__init__.py",
            "tasks/base/__init__.py",
            "tasks/base/settings.py",
            "tasks/demo/__init__.py",
            "tasks/serving/__init__.py",
            "tasks/shared/__init__.py",
            # where work is done, not what comes of it
            "tasks/shared/cluster.py",
            "tasks/shared/dataframes.py",
            "tasks/shared/feasibility.py",
            "tasks/shared/launch.py",
            "tasks/shared/paths.py",
            "tasks/shared/profile.py",
            "tasks/shared/progress.py",
            "tasks/shared/remote.py",
            "tasks/shared/runner.py",
            "tasks/shared/sections.py",
            "tasks/shared/sets.py",
            "tasks/shared/settings.py",
            "tasks/shared/datasets.py",
            "tasks/shared/live.py",
            "tasks/shared/parents.py",
            "tasks/shared/pipeline.py",
            "tasks/shared/runs.py",
            "tasks/shared/tracking.py",
        ),
    )
)


def copy_project(folder: Path) -> Path:
    """Copy what the graph and its settings are made of; data is left out."""
    for name in ("dvc.yaml", "params.yaml", ".dvcignore", ".dvc/config"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    resolve(folder)
    return folder


def steps(names: Iterable[str], style_set: str = DEMO) -> set[str]:
    """Return names as DVC addresses them, for one style set."""
    return {f"{name}@{style_set}" if name in OF_SETS else name for name in names}


def params_of(stage: dict[str, Any]) -> list[str]:
    """Return the settings that a stage names, those of its style set among them."""
    named: list[str] = []
    for one in stage.get("params", []):
        named += [one] if isinstance(one, str) else one[SETTINGS_FILE]
    return named


def resolve(folder: Path) -> None:
    """Write the settings of every style set as its stage `settings` does, without its checks."""
    content = yaml.safe_load((folder / "params.yaml").read_text())
    for name, style_set in content["sets"].items():
        own = {key: value for key, value in content.items() if key not in ("sets", "runtime")}
        for section, values in style_set["settings"].items():
            own[section] = own[section] | values
        own["portraits"] = own["portraits"] | {"source": style_set["source"]}
        write_json(folder / "data/sets" / name / "settings.json", own)


def stages_of(repo: Repo) -> Iterator[PipelineStage]:
    """Yield the stages of a repository."""
    return (stage for stage in repo.index.stages if isinstance(stage, PipelineStage))


def locked(repo: Repo) -> None:
    """Write dvc.lock as if every stage had just run with the present settings."""
    lock: dict[str, Any] = {"schema": "2.0", "stages": {}}
    for stage in stages_of(repo):
        entry: dict[str, Any] = {"cmd": stage.cmd}
        for dep in stage.deps:
            if isinstance(dep, ParamsDependency):
                dep.save()
                entry.setdefault("params", {})[dep.def_path] = dict(dep.hash_info.value)
        lock["stages"][stage.name] = entry
    (Path(repo.root_dir) / "dvc.lock").write_text(yaml.safe_dump(lock))


def changed_params(folder: Path) -> set[str]:
    """Return the stages that `dvc status` takes for stale on account of a setting.

    The stage `settings` is taken to have run.
    """
    resolve(folder)
    with Repo(str(folder)) as repo:
        status: dict[str, list[Any]] = repo.status()
    return {
        name.rsplit(":")[-1]
        for name, entries in status.items()
        for entry in entries
        if isinstance(entry, dict)
        and any(dep.endswith("settings.json") for dep in entry.get("changed deps", {}))
    }


@pytest.fixture(scope="module")
def up_to_date(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, every stage up to date with the shipped settings."""
    folder = copy_project(tmp_path_factory.mktemp("up-to-date"))
    with Repo.init(str(folder), no_scm=True, force=True) as repo:
        locked(repo)
    assert changed_params(folder) == set()
    return folder


@pytest.fixture
def project(up_to_date: Path, tmp_path: Path) -> Path:
    """The same, to change."""
    return Path(shutil.copytree(up_to_date, tmp_path / "project"))


def settings_by_name(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from settings_by_name(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def change(folder: Path, names: set[str]) -> None:
    """Change settings of params.yaml, whatever their kind."""
    path = folder / "params.yaml"
    content = yaml.safe_load(path.read_text())
    for name in names:
        *parents, last = name.split(".")
        section = content
        for parent in parents:
            section = section[parent]
        value = section[last]
        section[last] = value + 1 if isinstance(value, int | float) else f"{value}-changed"
    path.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("name", ["", *PROFILES])
def test_dvc_resolves_graph_and_settings_under_every_profile(name: str, tmp_path: Path) -> None:
    folder = copy_project(tmp_path)
    if name:
        with_profile(name, folder)
    with Repo.init(str(folder), no_scm=True, force=True) as repo:
        assert {stage.name for stage in stages_of(repo)} == steps(STAGES)
        repo.status()
        for stage in stages_of(repo):
            for dep in stage.deps:
                if isinstance(dep, ParamsDependency):
                    dep.save()  # MissingParamsError where a setting is not there
        networks = yaml.safe_load((folder / "params.yaml").read_text())["profile"]["networks"]
        adapt = next(stage for stage in stages_of(repo) if stage.name == f"adapt@{DEMO}")
        assert networks in {dep.def_path for dep in adapt.deps}


def test_the_runtime_makes_no_stage_stale(project: Path) -> None:
    runtime = yaml.safe_load((project / "params.yaml").read_text())["runtime"]
    names = {f"runtime.{name}" for name, _ in settings_by_name(runtime)}
    assert len(names) >= 7
    change(project, names)
    assert changed_params(project) == set()


@pytest.mark.parametrize(
    ("name", "stale"),
    [
        ("align.held_out", {"align"}),
        ("diagnose.min_exemplars", {"align", "diagnose"}),
        ("profile.seed", {"adapt", "finetune", "sampler", "ablate"}),
        ("evaluate.large_pairs", {"evaluate"}),
        ("evaluate.size", {"evaluate", "leaderboard", "ablate"}),
        ("finetune.patience", {"finetune", "ablate"}),
    ],
)
def test_a_setting_makes_those_stages_stale_that_read_it(
    project: Path, name: str, stale: set[str]
) -> None:
    """The report lists the settings and is renewed as well."""
    change(project, {name})
    assert changed_params(project) == steps(stale | {"report"})


def test_a_setting_of_a_style_set_makes_its_stages_stale_alone(tmp_path: Path) -> None:
    folder = copy_project(tmp_path)
    path = folder / "params.yaml"
    content = yaml.safe_load(path.read_text())
    content["sets"]["comic"] = {"source": "comic", "settings": {"finetune": {"steps": 7}}}
    path.write_text(yaml.safe_dump(content))
    resolve(folder)
    with Repo.init(str(folder), no_scm=True, force=True) as repo:
        every = {stage.name for stage in stages_of(repo)}
        assert every == steps(STAGES) | steps(STAGES, "comic")
        locked(repo)
    content["sets"]["comic"]["settings"]["finetune"]["steps"] = 8
    path.write_text(yaml.safe_dump(content))
    own = steps({"finetune", "ablate", "report"}, "comic")
    assert changed_params(folder) == own
    content["finetune"]["batch"] += 1
    path.write_text(yaml.safe_dump(content))
    assert changed_params(folder) == own | steps({"finetune", "ablate", "report"})


def test_every_other_setting_makes_a_stage_stale(project: Path) -> None:
    """`report` names them all; the folder of networks is a dependency itself."""
    values = dict(settings_by_name(yaml.safe_load((project / "params.yaml").read_text())))
    named = {"report"}
    for name, stage in STAGES.items():
        named |= set(params_of(stage)) if name not in ("report", "settings") else set()
    silent = {key for key in values if not {key, key.split(".")[0]} & named}
    silent = {key for key in silent if not key.startswith(("runtime.", "sets."))}
    assert silent == {"profile.networks"}
    reported = {name.split(".")[0] for name in values} - {"runtime", "sets"}
    assert set(params_of(STAGES["report"])) == reported
    assert set(params_of(STAGES["settings"])) == reported | {"sets.${key}"}


def test_every_section_is_a_stages_or_shared() -> None:
    sections = {field.alias or name for name, field in Settings.model_fields.items()}
    shared = {"download", "settings", "gallery"}
    assert sections == {*STAGES, "profile", "runtime"} - shared


@pytest.mark.parametrize("name", STAGES)
def test_stage_runs_its_module_and_says_what_it_makes(name: str) -> None:
    stage = STAGES[name]
    of_set = " ${key}" if name in OF_SETS else ""
    assert stage["cmd"] == f"python -m tasks.{name}{of_set}"
    assert stage["desc"]
    assert name in ("download", "settings", "gallery") or name in params_of(stage)


def dependencies(stage: dict[str, Any]) -> set[Path]:
    """Code that a stage names as its dependencies."""
    return {Path(dep) for dep in stage["deps"] if not dep.startswith(("data/", "${"))}


@pytest.mark.parametrize(
    ("name", "stage", "module"),
    [(name, stage, f"tasks.{name}") for name, stage in STAGES.items()]
    + [
        (f"base {name}", stage, f"tasks.base.{name}")
        for name, stage in BASE.items()
        if name != "ship"
    ],
)
def test_stages_depend_on_the_code_that_they_run(
    name: str, stage: dict[str, Any], module: str
) -> None:
    named = dependencies(stage)
    assert [path for path in named if not (ROOT / path).exists()] == []
    files = closure(module, WITHOUT_EFFECT)
    assert len(files) >= 3
    assert {str(file) for file in files if not named & {file, *file.parents}} == set()
    idle = [path for path in named if not any(path in {file, *file.parents} for file in files)]
    allowed = {
        "package": {"tasks/shared/licence_texts"},  # no code
        # without effect elsewhere: here it is all that the stage does
        "settings": {"tasks/shared/sets.py"},
    }
    assert {str(path) for path in idle} <= allowed.get(name, set())


def test_code_without_effect_exists() -> None:
    assert [str(path) for path in WITHOUT_EFFECT if not (ROOT / path).is_file()] == []


def outs(stages: dict[str, Any]) -> set[str]:
    """Outputs of stages, metrics included."""
    made = set()
    for stage in stages.values():
        for out in [*stage.get("outs", []), *stage.get("metrics", [])]:
            made.add(out if isinstance(out, str) else next(iter(out)))
    return made


def test_deps_that_are_data_are_made_by_a_stage_or_ship() -> None:
    used = {dep for stage in STAGES.values() for dep in stage["deps"] if dep.startswith("data/")}
    assert used <= outs(STAGES) | {"data/base", "data/cards"}
    used = {dep for stage in BASE.values() for dep in stage["deps"] if dep.startswith("data/")}
    theirs = {dep for dep in used if dep.startswith("data/cache")}
    assert theirs <= outs(BASE)
    made = {out.replace("${key}", DEMO) for out in outs(STAGES)}
    assert {
        dep for dep in used - theirs if not {*map(Path, made)} & {Path(dep), *Path(dep).parents}
    } == set()


def test_a_killed_package_leaves_the_previous_model_in_use() -> None:
    """DVC removes outputs before a stage runs, but for those that persist."""
    with Repo(str(ROOT)) as repo:
        made = {out.def_path: out for stage in stages_of(repo) for out in stage.outs}
        assert made["data/sets/demo/models/portrait"].persist
        assert repo.artifacts.read()["dvc.yaml"]["portrait"].path in made


def test_plots_show_files_that_stages_make() -> None:
    shown = []
    for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]:
        if isinstance(plot, str):
            shown.append(plot)
        else:
            (title, options), *_ = plot.items()
            assert re.fullmatch(r"[\w ,()-]+", title), "titles are addresses in DVC's page"
            shown += options["y"]
    made = {out.replace("${key}", "${shown}") for out in outs(STAGES)}
    assert [
        path for path in shown if not any(Path(out) in Path(path).parents for out in made)
    ] == []


def test_the_base_models_are_a_project_of_their_own() -> None:
    """Neither the pipeline's graph nor its status has them; their own has all of their stages."""
    from flows.graph import read_graph
    from tasks.base.__main__ import STAGES as COMMANDS

    assert {step.name for step in read_graph(ROOT)} == steps(STAGES)
    with Repo(str(ROOT / "tasks/base")) as repo:
        assert {stage.name for stage in stages_of(repo)} == set(COMMANDS) == set(BASE)
        for stage in stages_of(repo):
            assert stage.cmd == f"python -m tasks.base {stage.name}"
            for dep in stage.deps:
                if isinstance(dep, ParamsDependency):
                    dep.save()
    with Repo(str(ROOT)) as repo:
        assert set(repo.status()) <= steps(STAGES)


def test_base_settings_are_read_and_bounded(tmp_path: Path) -> None:
    path = ROOT / "tasks/base/params.yaml"
    settings = read_settings(BaseSettings, path)
    assert settings.chosen is settings.cpu
    wrong = tmp_path / "params.yaml"
    first = "    batch: 6\n    passes"  # the encoder's
    changed = path.read_text().replace(first, "    batch: 0\n    passes")
    wrong.write_text(changed)
    with pytest.raises(SettingsError, match=r"cpu\.encoder\.batch"):
        read_settings(BaseSettings, wrong)

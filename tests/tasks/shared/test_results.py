"""Results of the evaluation: cached by content, the same on threads and on a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from dualstylegan.codes.tables import CodeTable, write_codes
from dualstylegan.evaluation.eval_set import EvalSet, dualstylegan
from dualstylegan.evaluation.plan import EvaluationPlan
from dualstylegan.evaluation.rendering import build_eval_set
from dualstylegan.networks.precision import compute_dtype
from dualstylegan.portrait.model import PortraitModel
from tasks.shared.dataframes import write_dataframe
from tasks.shared.paths import Paths
from tasks.shared.results import ResultRenderer, plan_of, renderer_of
from tasks.shared.settings import Settings
from tests.support.dask_cluster import Cluster
from tests.support.measuring_networks import PLAN, faces
from tests.support.portrait_models import STYLE_NAMES, codes_of, tiny_model
from tests.support.settings import shipped


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def silent(what: str, done: int, total: int) -> None:
    """Show no progress."""


def eval_set(
    model: PortraitModel,
    plan: EvaluationPlan,
    count: int = 3,
    codes: Mapping[str, torch.Tensor] | None = None,
) -> EvalSet:
    contents = faces(3, 0)[:count]
    exemplars = [(n, i) for n, (_, i) in zip(STYLE_NAMES, faces(4, 1), strict=True)]
    return build_eval_set(model, contents, codes or codes_of(contents), exemplars, plan)


def large_codes() -> dict[str, torch.Tensor]:
    """Codes of the faces in a model of 128 px, by name."""
    generator = tiny_model(resolution=128).generator
    draw = torch.Generator().manual_seed(0)
    shape = generator.rows, generator.style_dim
    return {name: torch.randn(shape, generator=draw) for name, _ in faces(3, 0)}


def test_results_are_those_of_the_method_and_are_rendered_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_model()
    every, method = eval_set(model, PLAN), dualstylegan(model, PLAN.size)
    made = renderer_of(model, PLAN, shipped())(every)
    assert torch.equal(made, every.restyle(method, silent))
    for again in (every, eval_set(model, PLAN, 2)):
        with monkeypatch.context() as patch:
            patch.setattr(PortraitModel, "render", None)
            found = renderer_of(model, PLAN, shipped())(again)
        assert torch.equal(found, made[: len(again.contents)])


@pytest.mark.parametrize("other", [{"structure": 0.5}, {"color": 0.0}, {"size": 16}])
def test_other_options_are_other_results(other: dict[str, float]) -> None:
    model = tiny_model()
    plan = replace(PLAN, **other)  # type: ignore[arg-type]
    first, second = (
        renderer_of(model, one, shipped())(eval_set(model, one, 2)) for one in (PLAN, plan)
    )
    assert first.shape != second.shape or not torch.equal(first, second)


def trained(weights: Path) -> tuple[PortraitModel, Settings]:
    """Write a set's packaged model and the codes of its faces; return it as it is read."""
    settings = shipped()
    plan = {"size": 128, "measure_size": 64}
    evaluate = settings.evaluate.model_copy(update=plan)
    settings = settings.model_copy(update={"evaluate": evaluate})
    Paths.data.mkdir()
    Paths.weights.symlink_to(weights.resolve())
    tiny_model(resolution=128).save_pretrained(Paths.portrait)
    codes = large_codes()
    table, names = torch.stack(list(codes.values())), tuple(codes)
    Paths.codes.mkdir(parents=True)
    digests = ("0" * 64,) * len(names)
    write_codes(Paths.content_codes, CodeTable(names, digests, "z_plus", table, "g", {}))
    Paths.aligned.mkdir()
    rows = [{"kind": "style", "name": name, "frame": []} for name in STYLE_NAMES]
    write_dataframe(Paths.manifest, pd.DataFrame(rows))
    return PortraitModel.from_pretrained(Paths.portrait, weights_dir=Paths.weights), settings


def test_a_worker_asks_for_results_by_the_same_keys(weights: Path) -> None:
    model, settings = trained(weights)
    every = eval_set(model, plan_of(settings), codes=large_codes())
    codes = dict(zip(every.contents, every.code_CLD, strict=True))
    names = [f"{face}/{style}" for face in every.contents for style in every.styles]
    here, there = ResultRenderer(model, codes, plan_of(settings)), ResultRenderer.of_set(settings)
    assert here.keys(names) == there.keys(names)
    assert len(set(here.keys(names))) == len(names)


@pytest.mark.long
def test_results_on_a_cluster_are_those_on_threads(weights: Path) -> None:
    model, settings = trained(weights)
    plan = plan_of(settings)
    every = eval_set(model, plan, codes=large_codes())
    cluster = Cluster()
    try:
        cluster.answer()
        cluster.worker()
        runtime = settings.runtime.model_copy(update={"executor": cluster.address})
        there = settings.model_copy(update={"runtime": runtime})
        made = renderer_of(model, plan, there)(every)
    finally:
        cluster.stop()
    dtype = torch.bfloat16 if plan.bfloat16 else torch.float32
    with compute_dtype(model.generator, dtype):
        expected = every.restyle(dualstylegan(model, plan.size), silent)
    assert torch.equal(made, expected)

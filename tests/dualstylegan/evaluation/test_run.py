"""The evaluation end to end on a tiny model: tables, pictures and figures of the right kind."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dualstylegan.errors import DataError
from dualstylegan.evaluation.bootstrap import Array
from dualstylegan.evaluation.probe import Probe
from dualstylegan.evaluation.run import SWEEP_STEPS, Evaluation, Plan, evaluate, spread_evenly
from tests.support.portrait_models import STYLE_NAMES, codes_of, tiny_model
from tests.support.standing_faces import standing

PLAN = Plan(
    size=32,
    measure_size=16,
    batch=3,
    resamples=50,
    diversity_pairs=4,
    natural_faces=5,
    bfloat16=False,
)


class Features:
    """Stands in for LPIPS: fixed random convolutions."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.kernels = [torch.randn(6, 3, 3, 3, generator=draw) for _ in range(5)]

    def features(self, x: Tensor) -> list[Tensor]:
        return [torch.nn.functional.conv2d(x, k).relu() for k in self.kernels]

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        return sum((x - y).square().mean((1, 2, 3)) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def probe(plan: Plan = PLAN) -> Probe:
    """Stand-ins for the measuring networks."""
    return Probe(Features(), descriptor, marks, plan.measure_size, plan.batch, torch.device("cpu"))


def descriptor(x: Tensor) -> Tensor:
    """Stands in for the identity network."""
    return x.mean((2, 3))


def marks(picture: Tensor) -> Array:
    """Stands in for the landmark model: a face that the picture's mean colour stretches."""
    wide, high, open_ = (picture.float().mean((1, 2)) / 255).tolist()
    return standing(1 + wide, 1 + high, open_)


def faces(count: int, seed: int) -> list[tuple[str, Image.Image]]:
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 255, (count, 4, 4, 3), dtype=np.uint8)
    return [(f"face-{i}", Image.fromarray(p).resize((64, 64))) for i, p in enumerate(pixels)]


def run(plan: Plan = PLAN) -> Evaluation:
    exemplars = [(n, i) for n, (_, i) in zip(STYLE_NAMES, faces(4, 1), strict=True)]
    seen: list[tuple[str, int, int]] = []
    found = evaluate(
        tiny_model(),
        faces(3, 0),
        codes_of(faces(3, 0)),
        exemplars,
        [],
        probe(plan),
        plan,
        lambda *step: seen.append(step),
    )
    assert seen[-1][1] == seen[-1][2]
    return found


def test_evaluation_covers_every_face_in_every_style() -> None:
    found = run()
    assert found.rendered.results.shape == (3, 4, 3, 32, 32)
    assert found.rendered.results.dtype == torch.uint8
    assert found.rendered.reconstructions.shape == (4, 3, 32, 32)
    assert found.sweep.shape == (len(SWEEP_STEPS), len(SWEEP_STEPS), 3, 32, 32)
    assert found.table.identity.shape == (3, 4)
    for name, figure in found.figures.items():
        assert all(math.isfinite(v) for v in figure.as_dict().values()), name
    assert not torch.equal(found.sweep[0, 0], found.sweep[-1, -1])


def test_evaluation_is_repeatable_and_does_not_depend_on_the_batch() -> None:
    first, again = run(), run()
    assert first.figures == again.figures
    assert torch.equal(first.rendered.results, again.rendered.results)
    other = run(replace(PLAN, batch=2))
    for name, figure in first.figures.items():
        assert other.figures[name].value == pytest.approx(figure.value, rel=1e-3, abs=2e-2), name


def test_bfloat16_renders_nearly_the_same() -> None:
    exact, quick = run(), run(replace(PLAN, bfloat16=True))
    apart = (exact.rendered.results.float() - quick.rendered.results.float()).abs().mean()
    assert 0 < apart < 2


def test_subsets_are_spread_over_the_set() -> None:
    assert [n for n, _ in spread_evenly(faces(9, 0), 3)] == ["face-0", "face-3", "face-6"]
    assert len(spread_evenly(faces(3, 0), 8)) == 3
    found = run(Plan(size=32, measure_size=16, contents=2, styles=3, resamples=20))
    assert found.rendered.results.shape[:2] == (2, 3)


def test_exemplars_must_be_styles_of_the_model() -> None:
    with pytest.raises(DataError, match="face-0"):
        evaluate(tiny_model(), faces(2, 0), {}, faces(2, 1), [], probe(), PLAN)


def test_held_out_exemplars_are_rendered_and_stand_beside_the_trained() -> None:
    exemplars = [(n, i) for n, (_, i) in zip(STYLE_NAMES, faces(4, 1), strict=True)]
    given = tiny_model(), faces(3, 0), codes_of(faces(3, 0))
    found = evaluate(*given, exemplars[:3], exemplars[3:], probe(), PLAN)
    alone = evaluate(*given, exemplars[:3], [], probe(), PLAN)
    assert found.styles == STYLE_NAMES[:3]
    assert found.held_out == STYLE_NAMES[3:]
    assert found.enrolled is not None
    assert found.enrolled.results.shape == (3, 1, 3, 32, 32)
    assert alone.enrolled is None
    added = found.figures.keys() - alone.figures.keys()
    assert {"enrolled_style_nearest", "enrolled_style_nearest_trained_line"} <= added
    assert all(name.startswith("enrolled_") for name in added)
    assert alone.figures == {name: found.figures[name] for name in alone.figures}
    everything = evaluate(*given, exemplars, [], probe(), PLAN)
    assert torch.equal(found.enrolled.results[:, 0], everything.rendered.results[:, 3])

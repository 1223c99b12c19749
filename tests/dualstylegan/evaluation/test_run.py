"""The evaluation end to end on a tiny model: tables, pictures and figures of the right kind."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dualstylegan.codes.subsets import evenly_spaced_subset
from dualstylegan.errors import DataError
from dualstylegan.evaluation.bootstrap import Array
from dualstylegan.evaluation.eval_set import (
    ExemplarBatch,
    FaceBatch,
    RestyleMethod,
)
from dualstylegan.evaluation.identity_lines import SWEEP_WEIGHTS
from dualstylegan.evaluation.plan import EvaluationPlan
from dualstylegan.evaluation.run import Evaluation, evaluate
from dualstylegan.io.images import quantize
from dualstylegan.networks.precision import has_bfloat16
from tests.support.measuring_networks import PLAN, extractor, faces, landmarks_of
from tests.support.portrait_models import STYLE_NAMES, codes_of, tiny_model


def run(plan: EvaluationPlan = PLAN, painter: RestyleMethod | None = None) -> Evaluation:
    exemplars = [(n, i) for n, (_, i) in zip(STYLE_NAMES, faces(4, 1), strict=True)]
    seen: list[tuple[str, int, int]] = []
    found = evaluate(
        tiny_model(),
        faces(3, 0),
        codes_of(faces(3, 0)),
        exemplars,
        [],
        extractor(plan),
        plan,
        lambda *step: seen.append(step),
        painter,
    )
    assert seen[-1][1] == seen[-1][2]
    return found


def test_evaluation_covers_every_face_in_every_style() -> None:
    found = run()
    assert found.renderings.results.shape == (3, 4, 3, 32, 32)
    assert found.renderings.results.dtype == torch.uint8
    assert found.renderings.reconstructions.shape == (4, 3, 32, 32)
    assert found.sweep.shape == (len(SWEEP_WEIGHTS), len(SWEEP_WEIGHTS), 3, 32, 32)
    assert found.table.identity.shape == (3, 4)
    for name, figure in found.figures.items():
        assert all(math.isfinite(v) for v in figure.as_dict().values()), name
    assert not torch.equal(found.sweep[0, 0], found.sweep[-1, -1])


@pytest.mark.parametrize("kept", [0, 60, 100, 140])
def test_a_small_set_with_lost_faces_has_finite_figures_alone(kept: float) -> None:
    def some_landmarks(image: torch.Tensor) -> Array:
        """Find faces in dark pictures alone."""
        found = landmarks_of(image)
        return found if image.float().mean() < kept else np.full_like(found, np.nan)

    own = faces(2, 1)
    exemplars = list(zip(STYLE_NAMES, (image for _, image in own), strict=False))
    contents = faces(2, 0)
    given = {(face, style): image for face, _ in contents for style, image in exemplars}
    found = evaluate(
        tiny_model(),
        contents,
        codes_of(contents),
        exemplars,
        [],
        replace(extractor(), landmarks=some_landmarks),
        PLAN,
        pastiches=given,
    )
    for name, figure in found.figures.items():
        assert all(math.isfinite(v) for v in figure.as_dict().values()), name


def test_identity_of_the_rendered_codes_is_measured_against_the_own_photo() -> None:
    found = run()
    model, measuring = tiny_model(), extractor()
    assert found.lines.rendered_CCHW.shape == (3, 3, 32, 32)
    codes = found.eval_set.code_CLD
    for image, code_LD in zip(found.lines.rendered_CCHW, codes, strict=True):
        assert torch.equal(image, quantize(model.render(code_LD[None], None, size=32))[0])
    photos = measuring.identities(found.eval_set.face_CCHW)
    similar = (measuring.identities(found.lines.rendered_CCHW) * photos).sum(1)
    assert found.lines.rendered_C == pytest.approx(similar)
    assert found.figures["identity_code_line"].value == pytest.approx(similar.mean())


def test_a_painter_gives_the_line_of_painted_faces() -> None:
    def photo(faces: FaceBatch, exemplars: ExemplarBatch, truncation: float) -> torch.Tensor:
        return faces.image_NCHW

    def exemplar(faces: FaceBatch, exemplars: ExemplarBatch, truncation: float) -> torch.Tensor:
        return exemplars.image_NCHW

    assert "identity_painted_line" not in run().figures
    assert run(painter=photo).figures["identity_painted_line"].value == pytest.approx(1)
    assert run(painter=exemplar).figures["identity_painted_line"].value < 0.99
    none = run(replace(PLAN, painted_pairs=0), photo)
    assert "identity_painted_line" not in none.figures
    assert none.lines.curve == ()


def test_the_curve_of_structure_weights_measures_the_same_pairs_at_every_weight() -> None:
    found = run(replace(PLAN, painted_pairs=12))  # all pairs
    curve = {(point.structure, point.color): point for point in found.lines.curve}
    assert list(curve) == [(0, 1), (0.25, 1), (0.5, 1), (0.75, 1), (1, 1), (1, 0)]
    # the model's defaults are full weights
    for name, figure in (
        ("identity_same", curve[1, 1].identity),
        ("style_distance", curve[1, 1].style_distance),
        ("style_nearest", curve[1, 1].style_nearest),
    ):
        assert figure.value == pytest.approx(found.figures[name].value), name
    assert curve[0, 1].identity.value != pytest.approx(curve[1, 1].identity.value)
    assert curve[1, 0].style_distance.value != pytest.approx(curve[1, 1].style_distance.value)


def test_evaluation_is_repeatable_and_does_not_depend_on_the_batch() -> None:
    first, again = run(), run()
    assert first.figures == again.figures
    assert torch.equal(first.renderings.results, again.renderings.results)
    other = run(replace(PLAN, batch=2))
    for name, figure in first.figures.items():
        assert other.figures[name].value == pytest.approx(figure.value, rel=1e-3, abs=2e-2), name


def test_bfloat16_renders_nearly_the_same() -> None:
    exact, quick = run(), run(replace(PLAN, bfloat16=True))
    apart = (exact.renderings.results.float() - quick.renderings.results.float()).abs().mean()
    assert apart < 2
    assert (apart > 0) == has_bfloat16("cpu")


def test_subsets_are_spread_over_the_set() -> None:
    assert evenly_spaced_subset("abcdefghi", 3) == ["a", "d", "g"]
    assert evenly_spaced_subset("abc", 8) == evenly_spaced_subset("abc", None) == ["a", "b", "c"]
    found = run(EvaluationPlan(size=32, measure_size=16, contents=2, styles=3, resamples=20))
    assert found.renderings.results.shape[:2] == (2, 3)


def test_exemplars_must_be_styles_of_the_model() -> None:
    with pytest.raises(DataError, match="face-0"):
        evaluate(tiny_model(), faces(2, 0), {}, faces(2, 1), [], extractor(), PLAN)


def test_held_out_exemplars_are_rendered_and_stand_beside_the_trained() -> None:
    exemplars = [(n, i) for n, (_, i) in zip(STYLE_NAMES, faces(4, 1), strict=True)]
    given = tiny_model(), faces(3, 0), codes_of(faces(3, 0))
    found = evaluate(*given, exemplars[:3], exemplars[3:], extractor(), PLAN)
    alone = evaluate(*given, exemplars[:3], [], extractor(), PLAN)
    assert found.styles == STYLE_NAMES[:3]
    assert found.held_out == STYLE_NAMES[3:]
    assert found.held_out_renderings is not None
    assert found.held_out_renderings.results.shape == (3, 1, 3, 32, 32)
    assert alone.held_out_renderings is None
    added = found.figures.keys() - alone.figures.keys()
    assert {"enrolled_style_nearest", "enrolled_style_nearest_trained_line"} <= added
    assert all(name.startswith("enrolled_") for name in added)
    assert alone.figures == {name: found.figures[name] for name in alone.figures}
    everything = evaluate(*given, exemplars, [], extractor(), PLAN)
    assert torch.equal(found.held_out_renderings.results[:, 0], everything.renderings.results[:, 3])

"""Judged by ideal results, those themselves are perfect, and another person's are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dualstylegan.evaluation.eval_set import EvalSet, dualstylegan
from dualstylegan.evaluation.leaderboard import measure_methods, rank
from dualstylegan.evaluation.pastiche import (
    PasticheSet,
    compare,
    compare_results,
    describe_pastiches,
    measure_pastiche_lines,
    measure_pastiche_style,
    measure_pastiches,
)
from dualstylegan.evaluation.rendering import build_eval_set, render_natural
from dualstylegan.evaluation.run import Evaluation, evaluate
from tests.support.measuring_networks import PLAN, extractor, faces
from tests.support.portrait_models import STYLE_NAMES, codes_of, tiny_model

FACES, STYLES = 3, 4
Given = dict[tuple[str, str], Image.Image]
NAMES = ("pastiche_lpips", "pastiche_identity", "pastiche_recognised")


def eval_set() -> EvalSet:
    exemplars = [(n, i) for n, (_, i) in zip(STYLE_NAMES, faces(STYLES, 1), strict=True)]
    contents = faces(FACES, 0)
    return build_eval_set(tiny_model(), contents, codes_of(contents), exemplars, PLAN)


def ideal(styles: tuple[str, ...] = STYLE_NAMES) -> Given:
    """Return a picture of random colours per face and style."""
    names = [(face, style) for face, _ in faces(FACES, 0) for style in styles]
    return {pair: image for pair, (_, image) in zip(names, faces(len(names), 7), strict=True)}


def described(given: Given) -> PasticheSet:
    found = describe_pastiches(extractor(), eval_set(), given)
    assert found is not None
    return found


def judged(pastiches: PasticheSet, results: Tensor) -> dict[str, float]:
    flat = results.flatten(0, 1)
    table = compare_results(extractor(), pastiches, results, extractor().identities(flat))
    figures = measure_pastiches(table, seed=0, resamples=20)
    assert set(figures) == set(NAMES)
    return {name: figure.value for name, figure in figures.items()}


def test_the_ideal_result_is_perfect_and_another_persons_is_not() -> None:
    pastiches = described(ideal())
    assert judged(pastiches, pastiches.image_CSCHW) == pytest.approx(
        {"pastiche_lpips": 0, "pastiche_identity": 1, "pastiche_recognised": 1}
    )
    others = judged(pastiches, pastiches.image_CSCHW.roll(1, 0))
    assert others["pastiche_lpips"] > 0.01
    assert others["pastiche_identity"] < 0.99
    assert others["pastiche_recognised"] == 0


def test_lines_tell_what_another_person_and_the_plain_face_score() -> None:
    pastiches, measuring = described(ideal()), extractor()
    photos = measuring.identities(eval_set().face_CCHW)
    rendered = pastiches.image_CSCHW[:, 0]  # g(code) happens to be the ideal of the first style
    lines = measure_pastiche_lines(
        measuring, pastiches, photos, rendered, lambda *_: None, seed=0, resamples=20
    )
    rolled = [judged(pastiches, pastiches.image_CSCHW.roll(by, 0)) for by in (1, 2)]
    for name in ("pastiche_lpips", "pastiche_identity"):
        other = np.mean([figures[name] for figures in rolled])
        assert lines[f"{name}_other_line"].value == pytest.approx(other, rel=1e-4)
    plain = judged(pastiches, rendered[:, None].expand(-1, STYLES, -1, -1, -1))
    for name in NAMES:
        assert lines[f"{name}_code_line"].value == pytest.approx(plain[name])
    cosine = np.einsum("cse,ce->cs", pastiches.identity_CSE, photos).mean()
    assert lines["identity_ideal_line"].value == pytest.approx(cosine)


def test_ideal_results_are_measured_as_results_are() -> None:
    """Ideal results that are their exemplars are at no distance of them."""
    measuring, own = extractor(), eval_set()
    copies = dict(zip(STYLE_NAMES, faces(STYLES, 1), strict=True))
    names = [face for face, _ in faces(FACES, 0)]
    given = {(name, style): image for name in names for style, (_, image) in copies.items()}
    exemplars = measuring.describe(own.exemplar_SCHW)[0]
    lines = measure_pastiche_style(measuring, described(given), exemplars, seed=0, resamples=20)
    assert lines["style_distance_ideal_line"].value == pytest.approx(0, abs=1e-3)
    assert lines["style_nearest_ideal_line"].value == 1
    others = measure_pastiche_style(measuring, described(ideal()), exemplars, seed=0, resamples=20)
    assert others["style_distance_ideal_line"].value > 0.1


def test_style_is_compared_inside_of_the_exemplars_frame() -> None:
    """Copies of the exemplars with other surroundings are at no distance of them."""
    measuring, own = extractor(), eval_set()
    mask = torch.zeros(STYLES, 1, *own.exemplar_SCHW.shape[2:], dtype=torch.bool)
    mask[..., : mask.shape[-1] // 2] = True
    pastiches = described(ideal())
    copies = torch.where(mask, own.exemplar_SCHW, pastiches.image_CSCHW)
    exemplars = measuring.describe(own.exemplar_SCHW, mask_N1HW=mask)[0]
    framed = measure_pastiche_style(
        measuring, replace(pastiches, image_CSCHW=copies), exemplars, mask, seed=0, resamples=20
    )
    whole = measure_pastiche_style(
        measuring, replace(pastiches, image_CSCHW=copies), exemplars, seed=0, resamples=20
    )
    assert framed["style_distance_ideal_line"].value < whole["style_distance_ideal_line"].value / 3


def test_what_lies_outside_of_a_photo_does_not_count() -> None:
    mask = torch.ones(FACES, 1, 32, 32, dtype=torch.bool)
    mask[:, :, :16] = False  # changed pixels lie well outside: measures reduce the image
    found = describe_pastiches(extractor(), replace(eval_set(), face_mask_C1HW=mask), ideal())
    assert found is not None
    changed = found.image_CSCHW.clone()
    changed[..., :12, :] = 255 - changed[..., :12, :]
    assert judged(found, changed)["pastiche_lpips"] == pytest.approx(0)
    assert judged(described(ideal()), changed)["pastiche_lpips"] > 0.01


def test_pairs_are_judged_like_the_same_pairs_among_all() -> None:
    pastiches = described(ideal())
    results = pastiches.image_CSCHW.roll(1, 1)
    flat = extractor().identities(results.flatten(0, 1))
    whole = compare_results(extractor(), pastiches, results, flat)
    pairs = [(2, 1), (0, 3)]
    some = compare(extractor(), pastiches, results[[2, 0], [1, 3]], pairs)
    for name, values in some.columns().items():
        assert values == pytest.approx([whole.columns()[name][pair] for pair in pairs]), name


def test_only_faces_and_styles_with_all_their_pastiches_count() -> None:
    given = ideal((STYLE_NAMES[1], STYLE_NAMES[3])) | {
        ("nobody", "stone"): Image.new("RGB", (8, 8))
    }
    full = described(given)
    assert (full.faces, full.styles) == ((0, 1, 2), (1, 3))
    assert full.pairs[:2] == [(0, 1), (0, 3)]
    del given["face-1", STYLE_NAMES[3]]
    fewer = described(given)
    assert (fewer.faces, fewer.styles) == ((0, 2), (1, 3))
    assert torch.equal(fewer.image_CSCHW, full.image_CSCHW[[0, 2]])
    del given["face-2", STYLE_NAMES[3]]
    assert describe_pastiches(extractor(), eval_set(), given) is None
    assert describe_pastiches(extractor(), eval_set(), {}) is None


def evaluated(given: Given) -> Evaluation:
    exemplars = [(n, i) for n, (_, i) in zip(STYLE_NAMES, faces(STYLES, 1), strict=True)]
    contents = faces(FACES, 0)
    codes = codes_of(contents)
    return evaluate(
        tiny_model(), contents, codes, exemplars, [], extractor(), PLAN, pastiches=given
    )


def test_a_set_without_pastiches_has_all_other_figures() -> None:
    found, plain = evaluated(ideal()), evaluated({})
    added = set(found.figures) - set(plain.figures)
    assert "attribute_smile_ideal_line" in added
    others = {name for name in added if not name.startswith(("pastiche_", "attribute_"))}
    assert others == {
        f"{of}_ideal_line" for of in ("identity", "kid", "style_distance", "style_nearest")
    }
    assert plain.figures == {name: found.figures[name] for name in plain.figures}
    assert plain.pastiches is None
    assert plain.pastiche_table is None
    assert all(not point.pastiche for point in plain.lines.curve)


def test_the_curve_judges_pairs_that_have_pastiches() -> None:
    found = evaluated(ideal((STYLE_NAMES[2],)))
    assert all(set(point.pastiche) == set(NAMES) for point in found.lines.curve)
    # one style: the curve at the default weights has all pairs that are judged
    (full,) = (p for p in found.lines.curve if (p.structure, p.color) == (1, 1))
    for name, figure in full.pastiche.items():
        assert figure.value == pytest.approx(found.figures[name].value), name


def test_the_leaderboard_compares_by_pastiches_where_there_are_any() -> None:
    model, small = tiny_model(), eval_set()
    natural = render_natural(model, small, PLAN)
    methods = {"ours": dualstylegan(model, 32), "plain": dualstylegan(model, 32, 0, 0)}
    for given, columns in ((ideal(), set(NAMES)), ({}, set())):
        rows = rank(
            measure_methods(
                methods, small, natural, extractor(), PLAN, lambda *_: None, pastiches=given
            )
        )
        assert {key for key in rows[0].comparisons if key in NAMES} == columns

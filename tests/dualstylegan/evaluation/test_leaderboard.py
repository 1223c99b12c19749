"""Baselines do what they are named for; the leaderboard measures all methods alike."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dualstylegan.evaluation.baselines import gram, layer_swap, pixel_optimisation, style_mixing
from dualstylegan.evaluation.bootstrap import Array, mean_interval
from dualstylegan.evaluation.descriptions import Renderings
from dualstylegan.evaluation.eval_set import EvalSet, ExemplarBatch, FaceBatch, dualstylegan
from dualstylegan.evaluation.leaderboard import (
    COLUMNS,
    Column,
    MethodResult,
    Row,
    compare,
    measure_methods,
    rank,
)
from dualstylegan.evaluation.rendering import build_eval_set, render_natural
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.mobilestylegan import MobileStyleGAN
from dualstylegan.networks.stylegan2 import StyleGAN2
from tasks.pages.leaderboard_page import render, sentence
from tests.support.measuring_networks import PLAN, Features, extractor, faces
from tests.support.portrait_models import STYLE_NAMES, codes_of, tiny_model


def pairs(count: int) -> tuple[FaceBatch, ExemplarBatch]:
    model = tiny_model()
    draw = torch.Generator().manual_seed(1)
    shape = (count, model.generator.rows, model.generator.style_dim)
    images = torch.rand(2, count, 3, 32, 32, generator=draw) * 2 - 1
    codes = torch.randn(2, *shape, generator=draw)
    return FaceBatch(codes[0], images[0]), ExemplarBatch(codes[1], images[1])


def test_mixing_keeps_the_faces_rows_and_takes_the_exemplars_colours() -> None:
    g = tiny_model().generator
    face_batch, exemplars = pairs(2)
    rows = g.structure_rows
    made = style_mixing(g, 32)(face_batch, exemplars, 1.0)
    codes = torch.cat((face_batch.code_NLD[:, :rows], exemplars.extrinsic_NLD[:, rows:]), 1)
    assert torch.allclose(made, g(codes, "z_plus", size=32).clamp(-1, 1), atol=1e-5)
    same = ExemplarBatch(face_batch.code_NLD, exemplars.image_NCHW)
    plain = g(face_batch.code_NLD, "z_plus", size=32).clamp(-1, 1)
    assert torch.allclose(style_mixing(g, 32)(face_batch, same, 1.0), plain, atol=1e-5)


def maps(generator: Generator, w_NLD: Tensor, size: int) -> list[Tensor]:
    seen: list[Tensor] = []

    def keep(row: int, x: Tensor) -> Tensor:
        seen.append(x)
        return x

    generator.synthesise(w_NLD, size=size, after_row=keep)
    return seen


@pytest.mark.parametrize("kind", ["stylegan2", "mobilestylegan"])
@torch.no_grad()
def test_a_layer_swap_has_the_features_of_g_up_to_32_px_and_the_layers_of_g_after(
    kind: str,
) -> None:
    def build(seed: int) -> StyleGAN2 | MobileStyleGAN:
        torch.manual_seed(seed)
        if kind == "stylegan2":
            return StyleGAN2(64, style_dim=8, mapping_layers=2, channels=[8] * 5)
        made = MobileStyleGAN()
        for parameter in made.parameters():
            parameter.normal_(std=0.05)
        return made

    natural, adapted = build(0), build(1)
    swapped = layer_swap(natural, adapted)
    w_NLD = torch.randn(1, natural.rows, natural.style_dim)
    ours, coarse, fine = (maps(g, w_NLD, 64) for g in (swapped, natural, adapted))
    rows = natural.structure_rows
    assert all(torch.equal(a, b) for a, b in zip(ours[:rows], coarse[:rows], strict=True))
    assert not torch.equal(ours[-1], coarse[-1])
    assert not torch.equal(ours[-1], fine[-1])
    same = layer_swap(natural, natural)
    assert torch.equal(same.synthesise(w_NLD, size=64), natural.synthesise(w_NLD, size=64))


def test_optimised_pixels_come_nearer_to_the_exemplars_statistics() -> None:
    face_batch, exemplars = pairs(2)

    class Maps(Features):
        def features(self, x: Tensor, stages: int | None = None) -> list[Tensor]:
            return super().features(x)[:stages]

    network = Maps()
    made = pixel_optimisation(network, 30, 32)(face_batch, exemplars, 1.0)  # type: ignore[arg-type]

    def apart(image: Tensor) -> float:
        found, wanted = network.features(image), network.features(exemplars.image_NCHW)
        return sum(
            float((gram(a) - gram(b)).square().mean()) for a, b in zip(found, wanted, strict=True)
        )

    assert made.abs().max() <= 1
    assert apart(made) < 0.5 * apart(face_batch.image_NCHW)


def small_eval_set() -> EvalSet:
    exemplars = [(n, i) for n, (_, i) in zip(STYLE_NAMES, faces(4, 1), strict=True)]
    return build_eval_set(tiny_model(), faces(3, 0), codes_of(faces(3, 0)), exemplars, PLAN)


def compared() -> list[MethodResult]:
    model, eval_set = tiny_model(), small_eval_set()
    ours = dualstylegan(model, 32)
    methods = {"ours": ours, "mixed": style_mixing(model.generator, 32)}
    return measure_methods(
        methods, eval_set, render_natural(model, eval_set, PLAN), extractor(), PLAN, lambda *_: None
    )


def test_every_method_is_measured_on_the_same_pictures() -> None:
    entries = compared()
    assert [entry.name for entry in entries] == ["ours", "mixed"]
    assert all(entry.results.shape == (3, 4, 3, 32, 32) for entry in entries)
    ours, other = (entry.figures for entry in entries)
    assert ours["kid_faces_line"] == other["kid_faces_line"]
    assert ours["kid_results"] != other["kid_results"]


def test_pictures_made_before_are_measured_as_those_made_now() -> None:
    model, eval_set = tiny_model(), small_eval_set()
    natural = render_natural(model, eval_set, PLAN)
    method = dualstylegan(model, 32)
    made = Renderings(
        eval_set.restyle(method, lambda *_: None), eval_set.reconstruct(method, natural)
    )
    now, before = measure_methods(
        {"now": method, "before": made}, eval_set, natural, extractor(), PLAN, lambda *_: None
    )
    assert now.figures == before.figures


HIGHER = Column("x", "x", True)


def entry(name: str, table: Array, seed: int = 0) -> MethodResult:
    return MethodResult(name, {"x": mean_interval(table, seed=seed)}, torch.zeros(0))


def verdicts(*entries: MethodResult, column: Column = HIGHER) -> list[str]:
    return [comparison.verdict for comparison in compare(entries, column)]


def test_methods_are_told_apart_by_their_difference_on_the_same_pictures() -> None:
    draw = np.random.default_rng(0)
    table = draw.normal(0, 1, (6, 1)) + draw.normal(0, 1, (1, 8))
    ours, other = entry("ours", table + 0.1), entry("other", table)
    assert ours.figures["x"].low < other.figures["x"].high
    assert verdicts(ours, other) == ["first", "behind"]
    assert verdicts(ours, other, column=Column("x", "x", False)) == ["behind", "first"]
    gap = compare([ours, other], HIGHER)[0].gap
    assert gap.value == pytest.approx(0.1)
    assert gap.high - gap.low < 1e-9


def test_methods_that_differ_by_chance_are_tied() -> None:
    draw = np.random.default_rng(1)
    noise = draw.normal(0, 1, (3, 6, 8))
    ours, other, last = (entry(str(i), x) for i, x in enumerate(noise))
    assert verdicts(ours, other) == ["tied", "tied"]
    behind = entry("last", noise[2] - 5)
    assert verdicts(ours, other, behind) == ["tied", "tied", "behind"]
    assert verdicts(ours, entry("last", last.figures["x"].value + noise[2] - 5)) == [
        "first",
        "behind",
    ]


def test_a_file_gives_the_rows_back_and_the_page_shows_them() -> None:
    rows = rank(compared())
    again = [Row.from_dict(json.loads(json.dumps(row.as_dict()))) for row in rows]
    assert [row.as_dict() for row in again] == [row.as_dict() for row in rows]
    page = render(again, {"ours": Image.new("RGB", (8, 8))}, "Two & more")
    assert "Two &amp; more" in page
    shared = [c for c in COLUMNS if c.key in rows[0].figures]
    for column in shared:
        assert column.title in page
        assert "behind" in {row.comparisons[column.key].verdict for row in rows} or page.count(
            "tied"
        )
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]*"', page)
    assert "ours is" in sentence(again[0])


def test_pairs_do_not_depend_on_the_batch() -> None:
    eval_set = small_eval_set()
    method = dualstylegan(tiny_model(), 32)
    whole = eval_set.restyle(method, lambda *_: None)
    single = replace(eval_set, batch=1).restyle(method, lambda *_: None)
    assert (whole.float() - single.float()).abs().max() <= 1

"""The measures say what was put into the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from dualstylegan.errors import DataError
from dualstylegan.evaluation.descriptions import References, ResultDescriptions
from dualstylegan.evaluation.eval_set import ring_pairs, spread_pairs
from dualstylegan.evaluation.extractor import FeatureExtractor
from dualstylegan.evaluation.held_out import measure_added_styles
from dualstylegan.evaluation.measures import (
    dlib_similarities,
    measure,
    measure_realism,
    pair_table,
    similarities,
)
from dualstylegan.io.images import dequantize, quantize
from dualstylegan.networks.style_embedding import Description, describe, style_distances, to_lab
from tests.support.made_up_landmarks import made_up_landmarks
from tests.support.measuring_networks import landmarks_of

FACES, STYLES = 4, 6


def unit(x: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return scaled


def results(style_share: float, identity_share: float) -> ResultDescriptions:
    """Results that take so much of their exemplar and of their person."""
    draw = np.random.default_rng(0)

    def description(table: np.ndarray) -> Description:
        return Description(table, (table, 100 * table[:, :4]))

    styles, faces = draw.normal(2, 1, (STYLES, 12)), draw.normal(0, 1, (FACES, 12))
    people = unit(draw.normal(size=(FACES, 32)))
    strangers = unit(draw.normal(size=(FACES * STYLES, 32)))
    mixed = (1 - style_share) * faces[:, None] + style_share * styles[None]
    own = identity_share * people.repeat(STYLES, 0) + (1 - identity_share) * strangers
    references = References(
        contents=tuple(f"c{i}" for i in range(FACES)),
        styles=tuple(f"s{i}" for i in range(STYLES)),
        faces=description(faces),
        exemplars=description(styles),
        natural=description(draw.normal(0, 1, (STYLES, 12))),
        face_identities=people,
        face_dlib=0.6 * people,
        faces_CK2=np.stack([made_up_landmarks(1 + 0.01 * i) for i in range(FACES)]),
        exemplars_SK2=np.stack([made_up_landmarks(1, 1.1 + 0.05 * i) for i in range(STYLES)]),
        intrinsic_S=np.full(STYLES, 0.5),
        pairs=((0, 1),) * 5,
        exemplar_spread_P=np.full(5, 0.6),
    )
    return ResultDescriptions(
        references=references,
        results=description(mixed.reshape(-1, 12)),
        identities=unit(own),
        dlib=0.6 * unit(own),
        landmarks_NK2=np.stack([made_up_landmarks()] * (FACES * STYLES)),
        reconstruction_S=np.full(STYLES, 0.2),
        spread_CP=np.full((FACES, 5), 0.3),
    )


def test_a_model_that_works_beats_every_line() -> None:
    given = results(style_share=0.9, identity_share=0.8)
    found = measure(given, pair_table(given), seed=0, resamples=100)
    assert found["kid_results"].value < 0.5 * found["kid_faces_line"].value
    assert found["kid_ratio"].value < 0.5
    assert found["identity_same"].low > found["identity_impostor_line"].high
    assert found["identity_recognised"].value == 1
    assert found["style_nearer_than_mean"].value == 1
    assert found["style_nearest"].value == 1
    assert found["style_distance"].value < found["style_distance_other_line"].value
    assert all(f.low <= f.value <= f.high for f in found.values() if f.low != f.high)


def test_a_model_that_ignores_the_exemplar_is_found_out() -> None:
    given = results(style_share=0.0, identity_share=0.0)
    found = measure(given, pair_table(given), seed=0, resamples=100)
    assert found["style_nearest"].value == pytest.approx(1 / STYLES)
    assert found["kid_ratio"].value > 0.9
    assert found["identity_same"].value == pytest.approx(
        found["identity_impostor_line"].value, abs=0.2
    )


def test_similarity_is_the_cosine_of_facenets_descriptors() -> None:
    here, there = np.eye(2, 128)[:1], unit(np.array([[0.64, np.sqrt(1 - 0.64**2)]]))
    assert similarities(here, here)[0, 0] == 1
    assert similarities(here[:, :2], there)[0, 0] == pytest.approx(0.64)


def test_similarity_by_dlib_is_one_for_the_same_descriptor_and_a_half_at_the_limit() -> None:
    here, there = np.zeros((1, 128)), np.full((1, 128), 0.6 / np.sqrt(128))
    assert dlib_similarities(here, here)[0, 0] == 1
    assert dlib_similarities(here, there)[0, 0] == pytest.approx(0.5)


def test_a_model_that_only_pleases_the_network_of_training_is_found_out() -> None:
    """Results are their persons to dlib's network, and strangers to FaceNet."""
    given = results(style_share=0.9, identity_share=0.8)
    stranger = results(style_share=0.9, identity_share=0.0)
    fooled = replace(stranger, dlib=given.dlib)
    found = measure(fooled, pair_table(fooled), seed=0, resamples=100)
    assert found["identity_dlib"].low > found["identity_dlib_people_line"].high
    assert found["identity_same"].value < 0.2
    assert found["identity_accepted"].value == 0
    honest = measure(given, pair_table(given), seed=0, resamples=100)
    assert honest["identity_dlib"] == found["identity_dlib"]
    assert honest["identity_accepted"].value == 1


def test_rank_counts_the_exemplars_that_are_nearer() -> None:
    table = pair_table(results(0.9, 0.8))
    assert table.rank.shape == (FACES, STYLES)
    assert (table.rank == 1).all()
    assert set(table.columns()) >= {"identity", "rank", "own_distance"}


def test_style_distance_is_about_one_between_exemplars_whatever_the_scale() -> None:
    draw = np.random.default_rng(1)
    table = draw.normal(size=(30, 8))
    for scale in (1.0, 1000.0):
        group = Description(table, (table, scale * table))
        among = style_distances(group, group)
        assert among.diagonal() == pytest.approx(0, abs=1e-4)
        assert np.sqrt((among**2).sum() / (30 * 29)) == pytest.approx(1)


def test_lab_of_known_colours() -> None:
    white, red = torch.ones(3), torch.tensor([1.0, -1.0, -1.0])
    x = torch.stack((white, red))[:, :, None, None]
    lab = to_lab(x)[:, :, 0, 0]
    assert lab[0].tolist() == pytest.approx([100, 0, 0], abs=0.05)
    assert lab[1].tolist() == pytest.approx([53.24, 80.09, 67.20], abs=0.1)


def test_description_tells_texture_and_palette_apart_and_ignores_place() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 16, 16, generator=draw) * 2 - 1
    maps = [torch.rand(2, c, 8, 8, generator=draw) for c in (4, 6, 8, 10, 12)]
    here = describe(maps, x)
    flipped = describe([m.flip(3) for m in maps], x.flip(3))
    assert here.pooled_NF.shape == (2, 12)
    assert [g.shape[1] for g in here.style] == [4, 6, 8, 10, 24]
    for a, b in zip(here.style, flipped.style, strict=True):
        assert np.allclose(a, b, atol=1e-4)
    assert not np.allclose(describe(maps, -x).style[-1], here.style[-1])


class Pixels:
    """Stands in for LPIPS: features are pixels, distance is their mean square."""

    looked = 0

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        Pixels.looked += len(x)
        return [x] * 5

    def distance(self, a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> torch.Tensor:
        return (a[0] - b[0]).square().mean((1, 2, 3))


def pixel_extractor() -> FeatureExtractor:
    return FeatureExtractor(
        Pixels(),
        lambda x: x.flatten(1),
        lambda x: x.mean((2, 3)),
        landmarks_of,
        16,
        2,
        torch.device("cpu"),
    )


def test_probe_looks_at_each_picture_once() -> None:
    extractor = pixel_extractor()
    pictures = quantize(torch.rand(5, 3, 32, 32) * 2 - 1).cpu()
    Pixels.looked = 0
    pairs = [(0, 1), (1, 4), (2, 3)]
    description, spread = extractor.describe(pictures, pairs)
    assert Pixels.looked == 5
    assert len(description) == 5
    first, second = pictures[[a for a, _ in pairs]], pictures[[b for _, b in pairs]]
    assert spread == pytest.approx(extractor.lpips(first, second))
    assert extractor.identities(pictures).shape == (5, 3 * 32 * 32)
    assert extractor.dlib_identities(pictures).shape == (5, 3)


def test_pairs_are_compared_where_both_pictures_lie_by_one_look_at_each() -> None:
    extractor = pixel_extractor()
    left, right = (torch.zeros(1, 16, 16, dtype=torch.bool) for _ in range(2))
    left[..., :12], right[..., 4:] = True, True
    mask = torch.stack([left, right, torch.ones_like(left)])
    pictures = quantize(torch.rand(3, 3, 16, 16) * 2 - 1).cpu()
    pairs = [(0, 1), (0, 2)]
    Pixels.looked = 0
    _, found = extractor.describe(pictures, pairs, mask)
    assert Pixels.looked == 3
    shared = [slice(4, 12), slice(12)]
    expected = [
        float((dequantize(pictures[a]) - dequantize(pictures[b]))[..., columns].square().mean())
        for (a, b), columns in zip(pairs, shared, strict=True)
    ]
    assert found == pytest.approx(expected)
    changed = torch.where(mask, pictures, 255 - pictures)
    _, again = extractor.describe(changed, pairs, mask)
    assert np.array_equal(found, again)


def test_bytes_round_trip() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(quantize(dequantize(every)).cpu(), every)


def test_ring_pairs_use_every_exemplar_equally() -> None:
    assert len(ring_pairs(5, 100, 0)) == 10
    pairs = ring_pairs(12, 24, 0)
    assert len(set(pairs)) == 24
    assert set(np.bincount(np.array(pairs).ravel())) == {4}


@pytest.mark.parametrize("sizes", [(4, 4), (3, 7), (11, 21), (6, 4), (1, 5)])
@pytest.mark.parametrize("wanted", [0, 1, 3, 8, 12, 500])
def test_pairs_are_different_and_spread_evenly_over_faces_and_styles(
    sizes: tuple[int, int], wanted: int
) -> None:
    pairs = spread_pairs(*sizes, wanted)
    assert len(set(pairs)) == len(pairs) == min(wanted, sizes[0] * sizes[1])
    for side, count in enumerate(sizes):
        used = np.bincount([pair[side] for pair in pairs], minlength=count)
        assert used.max() - used.min() <= 1, used
    assert spread_pairs(100, 100, 4) == [(0, 0), (25, 25), (50, 50), (75, 75)]


def test_share_of_a_line_that_is_none_is_left_out() -> None:
    given = results(style_share=0.5, identity_share=0.5)
    behind = replace(given.references, faces=given.references.exemplars)
    found = measure(replace(given, references=behind), pair_table(given), seed=0, resamples=20)
    assert found["kid_faces_line"].value <= 0
    assert "kid_ratio" not in found


def test_too_few_pictures_are_refused() -> None:
    given = results(0.5, 0.5)
    with pytest.raises(DataError, match="content faces: 1, exemplars: 6"):
        pair_table(replace(given, references=replace(given.references, contents=("only",))))


def test_faces_behind_the_exemplars_are_held_against_faces_and_exemplars() -> None:
    given = results(0.9, 0.8)
    draw = np.random.default_rng(5)
    table = draw.normal(0, 1, (40, 12))
    fresh = Description(table, (table,))
    found = measure_realism(given.references, fresh, seed=0, resamples=100)
    assert found["natural_kid"].high < found["natural_exemplars_line"].low
    assert found["natural_halves_line"].low <= 0 <= found["natural_halves_line"].high


def test_enrolled_exemplars_are_judged_among_all_and_beside_the_trained() -> None:
    """Two exemplars that the results follow, beside six that they do not."""
    trained, other = results(0.2, 0.8), results(0.9, 0.8)
    count = 2
    kept = [c * STYLES + s for c in range(FACES) for s in range(count)]

    def some(of: Description, index: list[int], shift: float) -> Description:
        return Description(of.pooled_NF[index], tuple(g[index] + shift for g in of.style))

    behind = replace(
        other.references,
        styles=other.references.styles[:count],
        exemplars=some(other.references.exemplars, [0, 1], 9.0),
    )
    enrolled = replace(
        other,
        references=behind,
        results=some(other.results, kept, 9.0),
        identities=other.identities[kept],
        landmarks_NK2=other.landmarks_NK2[kept],
        reconstruction_S=other.reconstruction_S[:count],
    )
    found = measure_added_styles(trained, enrolled, seed=0, resamples=100)
    assert found["enrolled_style_nearest"].value == 1
    assert found["enrolled_style_nearest_trained_line"].value < 0.6
    near, line = (found[f"enrolled_style_distance{end}"] for end in ("", "_trained_line"))
    assert near.value < line.value
    assert found["enrolled_artefact_rate"].value == 0

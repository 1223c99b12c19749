"""Outside of a picture nothing counts: for no code, loss, gradient or measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dualstylegan import losses
from dualstylegan.codes.destylization import fit_adapted
from dualstylegan.codes.fitting import FitSettings, likeness
from dualstylegan.codes.inversion import IdentityTerm, OptimizationSchedule, invert
from dualstylegan.codes.refinement import refine
from dualstylegan.evaluation.baselines import gram
from dualstylegan.evaluation.rendering import Portrait
from dualstylegan.evaluation.run import Evaluation, evaluate
from dualstylegan.evaluation.texture import TILE_PX, tile_power
from dualstylegan.faces.frame import frame_mask
from dualstylegan.networks.masks import crop_to_tensor, masks_of, within
from dualstylegan.networks.style_embedding import describe
from dualstylegan.portrait.add_style import AddStyleSettings, add_style
from tests.support.measuring_networks import PLAN, Features, extractor, faces
from tests.support.portrait_models import STYLE_NAMES, codes_of, tiny_model
from tests.support.trainings import (
    SIZE,
    Identity,
    Pyramid,
    adapt_training,
    small_network,
    style_training,
)

# The crop reaches beyond its picture at the top and to the left.
FRAME = np.array([[0.3, 0.25], [0.25, 1.3], [1.2, 1.3], [1.2, 0.2]])
FILLS = ("noise", "black", "mirrored")


def filled(image: Image.Image, fill: str) -> Image.Image:
    """Return a crop with other pixels outside of the frame."""
    pixels = np.asarray(image)
    rng = np.random.default_rng(5)
    outside = {
        "noise": rng.integers(0, 256, pixels.shape, np.uint8),
        "black": 0 * pixels,
        "mirrored": pixels[::-1, ::-1],
    }[fill]
    return Image.fromarray(np.where(frame_mask(FRAME, image.width)[..., None], pixels, outside))


def mask_of_frame(count: int = 1, size: int = SIZE) -> Tensor:
    mask = masks_of([FRAME] * count, size)
    assert mask is not None
    return mask


# Codes: by a model's fit and by adding a style, whatever stands outside.


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    low = np.random.default_rng(3).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(low).resize((96, 96), Image.Resampling.BICUBIC)


def test_no_fill_changes_a_code(weights: Path, portrait: Image.Image) -> None:
    model = tiny_model(resolution=64)
    model.weights_dir = weights
    budget = AddStyleSettings(invert_steps=1, refine_steps=1)

    def codes(image: Image.Image, frame: np.ndarray | None) -> list[Tensor]:
        fitted = model.fit(image, 1, frame)
        added = add_style(model, "new", image, align=False, frame=frame, settings=budget)
        style = [added.model.styles.extrinsic_of(["new"]), torch.tensor(added.loss_after)]
        return [torch.from_numpy(fitted.code_LD), torch.tensor(fitted.likeness), *style]

    wanted = codes(portrait, FRAME)
    for fill in FILLS:
        for one, two in zip(wanted, codes(filled(portrait, fill), FRAME), strict=True):
            assert torch.equal(one, two), fill
    pairs = zip(codes(portrait, None), codes(filled(portrait, "noise"), None), strict=True)
    for one, two in pairs:
        assert not torch.equal(one, two)


# Optimisations whose latents are the pixels themselves: outside, none may move.


class Canvas:
    """Stand-in for a generator: its codes are images."""

    structure_rows = SIZE // 2

    def __call__(self, code: Tensor, *args: Any, **options: Any) -> Tensor:
        return code.view(len(code), 3, SIZE, SIZE)

    def map(self, code: Tensor) -> Tensor:
        return code

    @property
    def generator(self) -> Canvas:
        return self


class StyleCanvas(Canvas):
    """Stand-in for G: its extrinsic codes are images."""

    def __call__(self, code: Tensor, style: Tensor, *args: Any, **options: Any) -> Tensor:
        return style.view(len(style), 3, SIZE, SIZE)


def inverted(image: Tensor, start: Tensor, mask: Tensor | None) -> Tensor:
    term = IdentityTerm.of_faces(Identity(), image, 1.0, mask)  # type: ignore[arg-type]
    return invert(
        Canvas(),  # type: ignore[arg-type]
        Pyramid(),  # type: ignore[arg-type]
        image,
        start,
        OptimizationSchedule(3),
        space="z_plus",
        rate=0.05,
        pixel_weight=1.0,
        identity=term,
        mask_N1HW=mask,
    ).latents[0]


def adapted(image: Tensor, start: Tensor, mask: Tensor | None) -> Tensor:
    networks: tuple[Any, Any, Any] = (Canvas(), Pyramid(), Identity())
    schedule = OptimizationSchedule(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dualstylegan.codes.destylization.SPREAD_WEIGHT", 0.0)
        found = fit_adapted(*networks, image, start, schedule, 0.05, None, mask)
    return found.latents[0]


def refined(image: Tensor, start: Tensor, mask: Tensor | None) -> Tensor:
    return refine(
        StyleCanvas(),  # type: ignore[arg-type]
        Pyramid(),  # type: ignore[arg-type]
        image,
        start,
        start,
        OptimizationSchedule(3),
        structure_rate=0.05,
        color_rate=0.05,
        mask_N1HW=mask,
    ).latents[0]


@pytest.mark.parametrize("optimised", [inverted, adapted, refined])
def test_no_gradient_reaches_a_pixel_outside(optimised: Callable[..., Tensor]) -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, SIZE, SIZE) * 2 - 1
    start = torch.rand(2, SIZE, 3 * SIZE) - 0.5
    mask = mask_of_frame(2)
    moved = (optimised(image, start, mask) - start).view(2, 3, SIZE, SIZE).abs().amax(1, True)
    assert float(moved[~mask].max()) == 0
    assert float((moved[mask] > 0).float().mean()) > 0.95
    everywhere = (optimised(image, start, None) - start).view(2, 3, SIZE, SIZE).abs().amax(1, True)
    assert float((everywhere[~mask] > 0).float().mean()) > 0.9
    # a picture that covers its crop: bit for bit as without a mask, beside one that does not
    mixed = torch.cat((torch.ones_like(mask[:1]), mask[1:]))
    one = optimised(image, start, mixed)[0]
    assert torch.equal(one, optimised(image, start, None)[0])


# Trainings: the generator's image gets gradients inside alone, and D sees the same outside.


def test_stage_3_gives_no_gradient_outside() -> None:
    training = style_training(small_network(), identity=Identity())
    mask = mask_of_frame(2)
    canvas = torch.randn(2, 3, SIZE, SIZE, requires_grad=True)
    mod_res = training.network.mod_res
    for paired in (True, False):
        rng = torch.Generator().manual_seed(0)
        training.masks = lambda index: mask
        batch = training._paired_batch(rng) if paired else training._unpaired_batch(rng)
        with pytest.MonkeyPatch.context() as patch:
            painted = SimpleNamespace(mod_res=mod_res)
            patch.setattr(training, "network", _calling(painted, canvas))
            seen, terms, _ = training._terms(batch, rng)
        for name in ("identity", "distinction"):  # of generated faces, without a picture
            terms.pop(name, None)
        (gradient,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), canvas)
        outside = ~mask.expand_as(gradient)
        assert float(gradient[outside].abs().max()) == 0
        assert float(gradient[~outside].abs().min()) > 0
        assert torch.equal(seen[outside], batch.portrait_NCHW[outside])
        assert torch.equal(seen[~outside], canvas[~outside])


def _calling(painted: SimpleNamespace, canvas: Tensor) -> Any:
    """Return a stand-in for G that renders a canvas, whatever it is given."""

    class Painted:
        mod_res = painted.mod_res
        tone = False

        def __call__(self, *args: Any, **options: Any) -> Tensor:
            return canvas

    return Painted()


def test_adaptation_gives_no_gradient_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    training = adapt_training(small_network(), batch=3, anchored=1)
    mask = mask_of_frame(3)
    training.masks = lambda index: mask[: len(index)]
    canvas = torch.randn(3, 3, SIZE, SIZE, requires_grad=True)
    monkeypatch.setattr(training.generator, "synthesise", lambda *args, **options: canvas)
    made = training.make_pass(1, torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(torch.stack(list(made.terms.values())).sum(), canvas)
    outside = ~mask.expand_as(gradient)
    assert float(gradient[outside].abs().max()) == 0
    assert float(gradient[~outside].abs().min()) > 0
    portraits = training.portraits(torch.arange(4))
    for image in made.fake_NCHW:  # each within the surroundings of an exemplar
        assert any(torch.equal(image[outside[0]], p[outside[0]]) for p in portraits)


# Losses and statistics by position.


def test_losses_by_position_leave_out_what_lies_outside() -> None:
    """They are those of the inside alone, and bit for bit the same where all lies inside."""
    torch.manual_seed(0)
    x, y = (torch.randn(2, 6, 16, 16, requires_grad=True) for _ in range(2))
    mask = torch.ones(2, 1, 64, 64, dtype=torch.bool)
    mask[0, :, :20] = False
    terms: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
        "contextual": lambda a, b, m: losses.contextual(a, b, block=40, mask_N1HW=m),
        "matching": lambda a, b, m: losses.feature_matching([a], [b], m),
    }
    for name, term in terms.items():
        masked, whole = term(x, y, mask), term(x, y, None)
        inside = term(x[:1, :, 5:].contiguous(), y[:1, :, 5:].contiguous(), None)
        torch.testing.assert_close(masked[:1], inside)
        assert torch.equal(masked[1], whole[1]), name
        pairs = zip(
            torch.autograd.grad(masked.sum(), (x, y)),
            torch.autograd.grad(whole.sum(), (x, y)),
            strict=True,
        )
        for gradient, unmasked in pairs:
            assert float(gradient[0, :, :5].abs().max()) == 0
            assert float(gradient[0, :, 5:].abs().max()) > 0
            assert torch.equal(gradient[1], unmasked[1]), name
        changed = torch.cat((torch.full_like(x[:, :, :5], 9.0), x[:, :, 5:]), 2)
        assert torch.equal(term(changed, y, mask)[0], masked[0]), name
    # nothing inside: no loss, and no gradient that is no number
    nothing = losses.contextual(x, y, mask_N1HW=torch.zeros_like(mask)).sum()
    assert bool(torch.autograd.grad(nothing, x)[0].isfinite().all())


def test_the_masked_contextual_loss_has_the_gradients_of_its_values() -> None:
    torch.manual_seed(0)
    x, y = (torch.randn(1, 3, 4, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    mask = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    mask[..., 0] = False

    def loss(a: Tensor, b: Tensor) -> Tensor:
        return losses.contextual(a, b, block=5, mask_N1HW=mask)

    assert torch.autograd.gradcheck(loss, (x, y), fast_mode=True)


def test_statistics_are_those_of_the_picture() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    mask = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    mask[0, :, :8] = False
    maps = [torch.randn(2, 5, 32 >> level, 32 >> level) for level in range(5)]
    masked, whole = describe(maps, x, mask), describe(maps, x)
    cut = [m[:1, :, (m.shape[2] + 3) // 4 :] for m in maps]
    inside = describe(cut, x[:1, :, 8:])
    for one, two, three in zip(masked.style, inside.style, whole.style, strict=True):
        np.testing.assert_allclose(one[0], two[0], rtol=1e-5, atol=1e-5)
        assert np.array_equal(one[1], three[1])
    np.testing.assert_allclose(masked.pooled_NF[0], inside.pooled_NF[0], rtol=1e-5)
    torch.testing.assert_close(gram(x, mask)[0], gram(x[:1, :, 8:])[0])
    assert torch.equal(gram(x, mask)[1], gram(x)[1])


def test_texture_is_that_of_tiles_inside() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 2 * TILE_PX, 2 * TILE_PX) * 2 - 1
    mask = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    mask[:, :, :16] = False
    image[:, :, :TILE_PX] = 0.3
    inside = tile_power(image[:, :, TILE_PX:])
    torch.testing.assert_close(tile_power(image, mask), inside)
    assert len(tile_power(image)) > len(inside)
    nothing = torch.zeros_like(mask)
    assert torch.equal(tile_power(image, nothing), tile_power(image))


# Measures.


def measured(
    contents: Sequence[Portrait], exemplars: Sequence[Portrait], framed: bool
) -> Evaluation:
    """Evaluate the tiny model on faces and exemplars; the first of each is framed."""
    style_frames = {exemplars[0][0]: FRAME, exemplars[-1][0]: FRAME} if framed else {}
    content_frames = {contents[0][0]: FRAME} if framed else {}
    return evaluate(
        tiny_model(),
        contents,
        codes_of(faces(3, 0)),
        exemplars[:3],
        exemplars[3:],
        extractor(),
        PLAN,
        content_frames=content_frames,
        style_frames=style_frames,
    )


def test_no_fill_changes_a_measure() -> None:
    contents = faces(3, 0)
    exemplars = [(n, i) for n, (_, i) in zip(STYLE_NAMES, faces(4, 1), strict=True)]

    def other(portraits: Sequence[Portrait], which: Sequence[int], fill: str) -> list[Portrait]:
        return [
            (name, filled(image, fill) if i in which else image)
            for i, (name, image) in enumerate(portraits)
        ]

    wanted = measured(contents, exemplars, True)
    for fill in FILLS:
        changed = other(contents, (0,), fill), other(exemplars, (0, 3), fill)
        found = measured(*changed, True)
        assert found.figures == wanted.figures, fill
        assert np.array_equal(found.table.own_distance, wanted.table.own_distance)
    # exemplars that cover their crops have the same values beside others that do not
    whole = measured(contents, exemplars, False)
    assert whole.figures != measured(*changed, False).figures
    assert np.array_equal(wanted.reconstruction_S[1:], whole.reconstruction_S[1:])
    assert not np.array_equal(wanted.reconstruction_S[:1], whole.reconstruction_S[:1])


def test_lpips_is_the_mean_of_what_lies_inside() -> None:
    """Equal differences everywhere: half a picture has the distance of a whole one."""
    measuring = extractor()
    first = torch.zeros(1, 3, PLAN.measure_size, PLAN.measure_size, dtype=torch.uint8)
    second = first + 90
    mask = torch.ones(1, 1, PLAN.measure_size, PLAN.measure_size, dtype=torch.bool)
    whole = measuring.lpips(first, second, mask)
    assert np.array_equal(whole, measuring.lpips(first, second))
    mask[..., : PLAN.measure_size // 2] = False
    assert measuring.lpips(first, second, mask) == pytest.approx(whole, rel=0.35)


def test_likeness_sees_the_face_alone() -> None:
    """A picture without a forehead is not held against a rendering that has one."""
    torch.manual_seed(0)
    face = torch.rand(1, 3, SIZE, SIZE) * 2 - 1
    mask = mask_of_frame()
    rendering = within(mask, face, torch.ones_like(face))

    class Recognition:
        def __call__(self, x: Tensor) -> Tensor:
            return x.mean((2, 3))

    def similar(chosen: Tensor | None) -> float:
        networks: tuple[Any, Any] = (Canvas(), Recognition())
        return float(likeness(*networks, rendering, face, SIZE, chosen))

    assert similar(mask) == 1
    assert similar(None) < 1


def test_crops_and_masks_are_loaded_alike(portrait: Image.Image) -> None:
    """Pixels that count are the crop's own, at the crop's size and at half of it."""
    whole = FitSettings().size
    for size in (portrait.width, portrait.width // 2):
        inside = masks_of([FRAME], size)
        assert inside is not None
        loaded, plain = (crop_to_tensor(portrait, frame, size) for frame in (FRAME, None))
        same = (loaded == plain).all(0, keepdim=True)
        assert float(same[inside[0]].float().mean()) > 0.9
    assert whole > 0
    assert masks_of([None, None], SIZE) is None
    mixed = masks_of([None, FRAME], SIZE)
    assert mixed is not None
    assert bool(mixed[0].all())
    assert not bool(mixed[1].all())
    assert Features().features(loaded[None])[0].isfinite().all()

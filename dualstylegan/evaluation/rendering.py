"""The evaluation set of a portrait model, and all images that are measured.

Legend of shape suffixes: C content face, S exemplar, H, W, N image, L row, D style width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.evaluation.descriptions import Renderings
from dualstylegan.evaluation.eval_set import EvalSet, Progress, dualstylegan, render_faces
from dualstylegan.evaluation.identity_lines import SWEEP_WEIGHTS
from dualstylegan.evaluation.plan import EvaluationPlan
from dualstylegan.faces.frame import Array as Corners
from dualstylegan.io.images import quantize
from dualstylegan.networks.masks import crop_to_tensor, masks_of
from dualstylegan.networks.threads import mapped
from dualstylegan.portrait.model import PortraitModel

Portrait = tuple[str, Image.Image]
# Frames of the pictures in crops, by name; those that are missing cover theirs.
Frames = Mapping[str, Corners | None]
WHOLE: Frames = MappingProxyType({})

# From an evaluation set to every face in every style, uint8 (C, S, 3, H, W).
Renderer = Callable[[EvalSet], Tensor]

RANDOM_FACE_TRUNCATION = 0.7  # psi of faces from random codes, as in destylization


def stack(portraits: Sequence[Portrait], size: int, frames: Frames = WHOLE) -> Tensor:
    """Stack aligned portraits as uint8 (N, 3, size, size), continued beyond their pictures."""
    images = [crop_to_tensor(image, frames.get(name), size) for name, image in portraits]
    return quantize(torch.stack(images)).cpu()


def render_sweep(model: PortraitModel, code_LD: Tensor, style: str, size: int) -> Tensor:
    """Render one face in one style at each pair of weights, uint8 (steps, steps, 3, H, W)."""
    extrinsic = model.styles.extrinsic_of([style])

    def render(structure: float) -> Tensor:
        images = [
            model.render(code_LD[None], extrinsic, structure=structure, color=color, size=size)
            for color in SWEEP_WEIGHTS
        ]
        return quantize(torch.cat(images)).cpu()

    return torch.stack(list(mapped(render, SWEEP_WEIGHTS, model.device)))


def build_eval_set(
    model: PortraitModel,
    contents: Sequence[Portrait],
    codes: Mapping[str, Tensor],
    exemplars: Sequence[Portrait],
    plan: EvaluationPlan,
    content_frames: Frames = WHOLE,
    style_frames: Frames = WHOLE,
) -> EvalSet:
    """Combine faces and exemplars with the codes that the model and the code table have for them.

    Args:
        model: packaged model whose styles include all exemplars.
        contents: aligned faces, by name.
        codes: Z+ codes (L, D) of the faces, by name.
        exemplars: aligned exemplars, by name.
        plan: image size and batch.
        content_frames, style_frames: frames of the faces' and of the exemplars' pictures.
    """
    names = [name for name, _ in exemplars]
    return EvalSet(
        contents=tuple(name for name, _ in contents),
        styles=tuple(names),
        code_CLD=torch.stack([codes[name] for name, _ in contents]).to(model.device),
        intrinsic_SLD=model.styles.intrinsic_of(names),
        extrinsic_SLD=model.styles.extrinsic_of(names),
        face_CCHW=stack(contents, plan.size, content_frames),
        exemplar_SCHW=stack(exemplars, plan.size, style_frames),
        truncation=model.config.defaults.truncation,
        batch=plan.batch,
        face_mask_C1HW=masks_of([content_frames.get(name) for name, _ in contents], plan.size),
        exemplar_mask_S1HW=masks_of([style_frames.get(name) for name in names], plan.size),
    )


def render_natural(model: PortraitModel, eval_set: EvalSet, plan: EvaluationPlan) -> Tensor:
    """Render g(z_i+) of every exemplar, uint8 (S, 3, H, W)."""
    return render_faces(
        model, eval_set.intrinsic_SLD, truncation=1.0, size=plan.size, batch=plan.batch
    )


def render_random_faces(model: PortraitModel, plan: EvaluationPlan) -> Tensor:
    """Render faces of random codes with g, uint8 (N, 3, H, W)."""
    rng = torch.Generator().manual_seed(plan.seed)
    generator = model.generator
    z_ND = torch.randn(plan.natural_faces, generator.style_dim, generator=rng).to(model.device)
    z_NLD = z_ND[:, None].expand(-1, generator.rows, -1)
    return render_faces(
        model, z_NLD, truncation=RANDOM_FACE_TRUNCATION, size=plan.size, batch=plan.batch
    )


def render(
    model: PortraitModel,
    eval_set: EvalSet,
    plan: EvaluationPlan,
    progress: Progress,
    renderer: Renderer | None = None,
) -> tuple[Renderings, Tensor]:
    """Render results and reconstructions of DualStyleGAN, and g(z_i+) of every exemplar.

    Args:
        model: packaged model.
        eval_set: faces and exemplars.
        plan: image size, batch and style weights.
        progress: called with a description, the faces done and their number.
        renderer: of the results, by the plan's style weights, with a progress of its own; None
            renders them here.
    """
    natural = render_natural(model, eval_set, plan)
    method = dualstylegan(model, plan.size, plan.structure, plan.color)
    # reconstructions always use full style weights, whatever weights the results have
    full_weights = dualstylegan(model, plan.size, 1.0, 1.0)
    results = eval_set.restyle(method, progress) if renderer is None else renderer(eval_set)
    return Renderings(results, eval_set.reconstruct(full_weights, natural)), natural

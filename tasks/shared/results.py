"""Results of the evaluation, faces in styles, rendered on threads or on a cluster, and cached.

Legend of shape suffixes: N pair of a face and an exemplar, C face or channel, S exemplar, L row,
D style width, H, W.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dualstylegan.codes.tables import digest, digest_codes, read_codes
from dualstylegan.evaluation.eval_set import EvalSet
from dualstylegan.evaluation.plan import EvaluationPlan
from dualstylegan.evaluation.rendering import Frames, Portrait, Renderer
from dualstylegan.io.images import png_bytes, quantize
from dualstylegan.portrait.add_style import AddStyleSettings
from dualstylegan.portrait.model import PortraitModel
from tasks.shared.aligned import read_aligned, read_frames
from tasks.shared.at_once import Tick, fits_at_once
from tasks.shared.caching import Entry, cache_key
from tasks.shared.held_out import add_styles
from tasks.shared.mapping import Computation, mapped
from tasks.shared.networks import place
from tasks.shared.paths import Paths
from tasks.shared.renderings import to_image
from tasks.shared.runner import prepare
from tasks.shared.settings import Settings

# Part of the cache key: raise it when a result changes though codes, model and weights do not.
VERSION = 1
# Between the names of a face and of a style, which are names of files.
SIGN = "/"


def plan_of(settings: Settings) -> EvaluationPlan:
    """Return the evaluation's plan from the settings."""
    chosen = settings.evaluate.model_dump(
        exclude={"held_out_invert_steps", "held_out_refine_steps"}
    )
    return EvaluationPlan(
        **chosen, batch=settings.runtime.render_batch, bfloat16=settings.profile.bfloat16
    )


def read_held_out() -> list[Portrait]:
    """Read the aligned exemplars that no training has seen; empty where there are none."""
    return read_aligned(Paths.held_out) if Paths.held_out.is_dir() else []


def style_frames(model: PortraitModel, held_out: Sequence[Portrait]) -> Frames:
    """Return the frames of all exemplars' pictures, of trained and held-out ones, by name."""
    names = [name for name, _ in held_out]
    return read_frames(Paths.exemplars, [*model.styles.names, *names])


def open_evaluated(
    settings: Settings, device: torch.device
) -> tuple[PortraitModel, tuple[str, ...], list[Portrait], Frames]:
    """Load the packaged model and add the held-out exemplars to it.

    Returns:
        The model, the names of the trained exemplars, the held-out exemplars, and the frames of
        all exemplars' pictures.
    """
    chosen = settings.evaluate
    model = PortraitModel.from_pretrained(Paths.portrait, device=device, weights_dir=Paths.weights)
    trained, held_out = model.styles.names, read_held_out()
    frames = style_frames(model, held_out)
    budget = AddStyleSettings(chosen.held_out_invert_steps, chosen.held_out_refine_steps)
    return add_styles(model, held_out, frames, budget, settings.profile), trained, held_out, frames


@dataclass(frozen=True)
class Options:
    """Options of `PortraitModel.render`, all given."""

    structure: float
    color: float
    truncation: float
    size: int

    @classmethod
    def of(cls, model: PortraitModel, plan: EvaluationPlan) -> Options:
        """Return the plan's options, with the model's defaults for those that it leaves open."""
        defaults = model.config.defaults
        return cls(
            defaults.structure if plan.structure is None else plan.structure,
            defaults.color if plan.color is None else plan.color,
            defaults.truncation,
            plan.size,
        )


class ResultRenderer(Computation):
    """Results of a model, by the names of face and style."""

    stage = "results"
    unit = "pictures"

    def __init__(
        self, model: PortraitModel, codes: Mapping[str, Tensor], plan: EvaluationPlan
    ) -> None:
        self.model, self.codes, self.bfloat16 = model, codes, plan.bfloat16
        self.options = Options.of(model, plan)
        self.together = fits_at_once(model.device)
        self.network = digest(model.network)
        self.digests = {name: digest_codes(code_LD) for name, code_LD in codes.items()}

    @classmethod
    def of_set(cls, settings: Settings) -> ResultRenderer:
        """Return the renderer of the set's packaged model with its held-out exemplars."""
        device = prepare(settings.runtime)
        model, *_ = open_evaluated(settings, device)
        place(model.network, settings.profile, device)
        table = read_codes(Paths.content_codes)
        codes = dict(zip(table.names, table.codes_NLD, strict=True))
        return cls(model, codes, plan_of(settings))

    def keys(self, names: Sequence[str]) -> list[str]:
        """Return a key of everything that a result depends on."""
        return [
            cache_key(
                VERSION,
                self.network,
                self.digests[face],
                digest_codes(self.model.styles.extrinsic_of([style])),
                asdict(self.options),
                self.bfloat16,
            )
            for face, style in map(_pair, names)
        ]

    def compute(self, names: Sequence[str], tick: Tick) -> list[Entry]:
        """Render results, as PNG files."""
        made = []
        for face, style in map(_pair, names):
            image_1CHW = self.model.render(
                self.codes[face][None].to(self.model.device),
                self.model.styles.extrinsic_of([style]),
                **asdict(self.options),
            )
            made.append(Entry(png_bytes(to_image(quantize(image_1CHW)[0].cpu())), {}))
            tick(len(made))
        return made


def _pair(name: str) -> tuple[str, str]:
    face, _, style = name.partition(SIGN)
    return face, style


def renderer_of(model: PortraitModel, plan: EvaluationPlan, settings: Settings) -> Renderer:
    """Return a function that renders every face of an evaluation set in every style."""

    def render(eval_set: EvalSet) -> Tensor:
        codes = dict(zip(eval_set.contents, eval_set.code_CLD, strict=True))
        names = [f"{face}{SIGN}{style}" for face in eval_set.contents for style in eval_set.styles]
        entries = mapped(ResultRenderer(model, codes, plan), names, settings)
        images_NCHW = torch.stack([_pixels(entry) for entry in entries])
        counts = len(eval_set.contents), len(eval_set.styles)
        return images_NCHW.reshape(*counts, *images_NCHW.shape[1:])

    return render


def _pixels(entry: Entry) -> Tensor:
    """Return the pixels (3, H, W) of a result, uint8."""
    assert entry.data is not None
    with Image.open(io.BytesIO(entry.data)) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()

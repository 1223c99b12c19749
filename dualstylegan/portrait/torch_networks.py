"""Networks of a portrait model computed by torch.

Legend of shape suffixes: L row, D style width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import nn

from dualstylegan.codes.tables import digest
from dualstylegan.io.arrays import Floats, as_array
from dualstylegan.networks.loading import channels_last
from dualstylegan.networks.precision import dtype_of, set_compute_dtype
from dualstylegan.portrait.face_fit import MeasuringNetworks, digest_model, fit_face
from dualstylegan.portrait.rendering import map_codes, render_codes

if TYPE_CHECKING:
    from dualstylegan.faces.frame import Array
    from dualstylegan.networks.dualstylegan import DualStyleGAN
    from dualstylegan.portrait.model import PortraitModel
    from dualstylegan.portrait.sitter import FaceFit


def prepare(
    network: DualStyleGAN, encoder: nn.Module, bfloat16: bool
) -> tuple[DualStyleGAN, nn.Module]:
    """Freeze G and E, and set precision and memory format, which decide about the last bits."""
    frozen = network.eval().requires_grad_(False)
    return (
        set_compute_dtype(frozen, dtype_of(bfloat16, network.generator.mean_w.device)),
        channels_last(encoder.eval().requires_grad_(False)),
    )


class TorchNetworks:
    """`PortraitNetworks` on a model's G and E, on their device.

    Args:
        model: holds the networks and their config.

    Attributes:
        measuring: LPIPS and face recognition.
    """

    def __init__(self, model: PortraitModel) -> None:
        self._model = model
        self.measuring = MeasuringNetworks()

    @property
    def rows(self) -> int:
        return self._model.generator.rows

    @property
    def structure_rows(self) -> int:
        return self._model.generator.structure_rows

    @property
    def sizes(self) -> Sequence[int]:
        return self._model.generator.output_sizes

    @property
    def digest(self) -> str:
        return digest_model(self._model, self._digests)

    @cached_property
    def _digests(self) -> tuple[str, str]:
        return digest(self._model.network), digest(self._model.encoder)

    def fit_steps(self, asked: int | None) -> int:
        return self._model.config.defaults.fit_steps if asked is None else asked

    def fit(
        self,
        face: Image.Image,
        steps: int | None,
        frame: Array | None,
        progress: Callable[[int], None] | None,
    ) -> FaceFit:
        return fit_face(self._model, face, steps, frame, progress)

    def map(self, code_LD: Floats) -> Floats:
        return as_array(map_codes(self._model.network, torch.from_numpy(code_LD)[None])[0])

    def render(
        self,
        face_LD: Floats,
        style_LD: Floats,
        weights: Sequence[float],
        *,
        truncation: float,
        size: int,
    ) -> Floats:
        device = self._model.device
        face_1LD, style_1LD = (
            torch.from_numpy(code_LD)[None].to(device) for code_LD in (face_LD, style_LD)
        )
        network = self._model.network
        image_1CHW = render_codes(
            network, face_1LD, style_1LD, weights, truncation=truncation, size=size
        )
        return as_array(image_1CHW[0])

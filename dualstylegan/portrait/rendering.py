"""Rendering of G(z_i+, s, w) at any size, a code at a time.

Legend of shape suffixes: N image, L row, D style width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dualstylegan.portrait.sizes import render_size

if TYPE_CHECKING:
    from dualstylegan.networks.dualstylegan import DualStyleGAN


@torch.no_grad()
def render_codes(
    network: DualStyleGAN,
    face_NLD: Tensor,
    style_NLD: Tensor | None,
    weights: Sequence[float],
    *,
    truncation: float,
    size: int,
) -> Tensor:
    """Render G(z_i+, s, w) as (N, 3, size, size) in [-1, 1], image by image.

    A linear layer multiplies one row by another kernel than several, and the last bits that it
    changes in a modulation decide about roundings to bfloat16. One at a time, a code gives the
    same bits in any batch.

    Args:
        network: G.
        face_NLD, style_NLD: codes in W+, see `map_codes`; without styles, g renders the faces.
        weights: the weight vector w, one weight per row.
        truncation: psi for the faces' codes.
        size: pixels; the network renders its next larger size, which is then reduced.

    Raises:
        SettingsError: `size` exceeds the generator's resolution.
    """
    rendered = render_size(network.generator.output_sizes, size)
    images = [
        network(
            face_NLD[i : i + 1],
            None if style_NLD is None else style_NLD[i : i + 1],
            weights,
            space="w_plus",
            size=rendered,
            truncation=truncation,
        )
        for i in range(len(face_NLD))
    ]
    image = torch.cat(images)
    if rendered != size:
        image = nn.functional.interpolate(image, (size, size), mode="bilinear", antialias=True)
    clipped: Tensor = image.clamp(-1, 1)
    return clipped


@torch.no_grad()
def map_codes(network: DualStyleGAN, code_NLD: Any) -> Tensor:
    """Map codes in Z+, of faces or of styles, to W+, one at a time: the same bits in any batch.

    Args:
        network: G.
        code_NLD: codes as a tensor or an array.
    """
    given_NLD = torch.as_tensor(code_NLD).to(network.generator.mean_w.device)
    return torch.cat([network.generator.map(code_LD[None]) for code_LD in given_NLD])

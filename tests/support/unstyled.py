"""Painter without the style network."""

from __future__ import annotations

import torch

from dualstylegan.pretraining.painting.paint import Painter


class Unstyled(Painter):
    """Painter whose network's picture is the photo mirrored."""

    def __init__(self) -> None:
        pass

    def stylised(self, x_CHW: torch.Tensor, style: int) -> torch.Tensor:
        return x_CHW.flip(-1)

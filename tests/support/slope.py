"""Training of one weight, for tests of what stops and resumes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from PIL import Image
from torch import Tensor, nn

from dualstylegan.finetuning.trainer import Training


class Slope(Training):
    """Weight that is pulled to random targets."""

    def __init__(self) -> None:
        network = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(network.weight)
        self.modules: Mapping[str, nn.Module] = {"network": network}
        self.optimisers = {"network": torch.optim.Adam(network.parameters(), lr=0.1)}
        self.averaged = "network"

    def step(self, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        """Take one step."""
        loss = (self.modules["network"](torch.ones(1, 1)) - torch.rand(1, generator=rng)).square()
        self.optimisers["network"].zero_grad()
        loss.sum().backward()
        self.optimisers["network"].step()
        return {"loss": loss.detach().sum()}

    def picture(self) -> Image.Image:
        """Return a blank."""
        return Image.new("RGB", (4, 4))

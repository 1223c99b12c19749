"""A sampler of extrinsic codes (section 3.4): noise to structure rows and to colour rows.

Two small networks are fitted to the exemplars' codes as GLANN fits its own (Hoshen et al., 2019):
each code is matched to the nearest of many drawn ones, which is then pulled towards it, so that
every exemplar is reached and none is averaged away.

Legend of shape suffixes: N code, M drawn code, E noise width, F flattened rows, L row, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualstylegan.errors import CheckpointError
from dualstylegan.io.checkpoints import fill, read_tensors, save_tensors

SAMPLER_FILE = "sampler.safetensors"
NOISE = 128
HIDDEN = 128
DRAWN_SHARE = 2  # codes drawn for each code that is matched
ADAM_BETAS = (0.5, 0.999)
WEIGHT_DECAY = 1e-5
HALVINGS = 4


@dataclass(frozen=True)
class SamplerPlan:
    """How a sampler is fitted.

    Attributes:
        epochs: times that every code of the pool is matched and learnt.
        pool: number of jittered codes an epoch, each exemplar equally often.
        batch: codes a step.
        rate: first learning rate; halved four times on the way.
        jitter: standard deviation of the noise on codes.
        seed: of all randomness.
    """

    epochs: int
    pool: int
    batch: int
    rate: float
    jitter: float
    seed: int


def row_network(width: int) -> nn.Sequential:
    """Noise (N, E) to flattened rows (N, F)."""
    return nn.Sequential(
        nn.Linear(NOISE, HIDDEN, bias=False),
        nn.BatchNorm1d(HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, HIDDEN, bias=False),
        nn.BatchNorm1d(HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, width, bias=False),
    )


class StyleSampler(nn.Module):
    """Draws extrinsic codes in Z+; structure and colour come from noises of their own.

    Args:
        rows: rows L of a code.
        structure_rows: how many of them hold structure.
        style_dim: width D.
    """

    def __init__(self, rows: int, structure_rows: int, style_dim: int) -> None:
        super().__init__()
        self.rows = rows
        self.structure_rows = structure_rows
        self.style_dim = style_dim
        self.structure = row_network(structure_rows * style_dim)
        self.color = row_network((rows - structure_rows) * style_dim)

    @torch.no_grad()
    def sample(self, count: int, seed: int) -> Tensor:
        """Codes (count, L, D) in Z+; a code depends on the seed and its place alone.

        Batch normalisation uses what it learnt, not the batch.
        """
        was_training = self.training
        self.eval()
        draw = torch.Generator().manual_seed(seed)
        noise = torch.randn(count, 2, NOISE, generator=draw).to(next(self.parameters()).device)
        parts = self.structure(noise[:, 0]), self.color(noise[:, 1])
        self.train(was_training)
        return torch.cat(parts, 1).view(count, self.rows, self.style_dim)

    def save(self, path: Path | str) -> None:
        """Write weights and shape as one safetensors file, atomically."""
        shape = {
            "rows": self.rows,
            "structure_rows": self.structure_rows,
            "style_dim": self.style_dim,
        }
        save_tensors(path, self.state_dict(), shape)

    @classmethod
    def load(cls, path: Path | str) -> StyleSampler:
        """Read what `save` wrote, ready to sample.

        Raises:
            CheckpointError: the file is missing, truncated, or no sampler.
        """
        tensors, shape = read_tensors(path)
        names = ("rows", "structure_rows", "style_dim")
        if sorted(shape) != sorted(names) or not all(isinstance(v, int) for v in shape.values()):
            raise CheckpointError(
                "not a sampler", file=path, value=sorted(shape), limit=names, fix="fit it anew"
            )
        sampler = cls(*(shape[name] for name in names))
        fill(sampler, tensors, path)
        return sampler.eval()


def nearest(query_NF: Tensor, drawn_MF: Tensor) -> Tensor:
    """For each query the index of the nearest drawn code, exactly. Shape (N,)."""
    return torch.cdist(query_NF, drawn_MF).argmin(1)


def _epoch(
    network: nn.Sequential,
    optimiser: torch.optim.Optimizer,
    codes_NF: Tensor,
    batch: int,
    draw: torch.Generator,
) -> float:
    """Match every code to the nearest drawn one, then learn the pairs; mean squared error."""
    noise = torch.randn(DRAWN_SHARE * len(codes_NF), NOISE, generator=draw).to(codes_NF.device)
    with torch.no_grad():
        chosen = noise[nearest(codes_NF, network(noise))]
    order = torch.randperm(len(codes_NF), generator=draw).to(codes_NF.device)
    total = torch.zeros((), device=codes_NF.device)
    parts = [part for part in torch.split(order, batch) if len(part) > 1]  # batch norm needs two
    for part in parts:
        loss = F.mse_loss(network(chosen[part]), codes_NF[part])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += loss.detach()
    return float(total / len(parts))


def fit_sampler(
    codes_NLD: Tensor,
    structure_rows: int,
    plan: SamplerPlan,
    progress: Callable[[int, str], None] | None = None,
) -> tuple[StyleSampler, list[dict[str, float]]]:
    """Fit a sampler to exemplars' codes.

    Args:
        codes_NLD: extrinsic codes in Z+, at least one.
        structure_rows: rows that the structure network makes.
        plan: how.
        progress: told how many epochs are done.

    Returns:
        The sampler in evaluation mode, and each epoch's mean squared errors.
    """
    draw = torch.Generator().manual_seed(plan.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        sampler = StyleSampler(codes_NLD.shape[1], structure_rows, codes_NLD.shape[2])
    sampler.to(codes_NLD.device).train()
    parts = {
        "structure": (sampler.structure, codes_NLD[:, :structure_rows].flatten(1)),
        "color": (sampler.color, codes_NLD[:, structure_rows:].flatten(1)),
    }
    optimisers = {
        name: torch.optim.Adam(
            network.parameters(), lr=plan.rate, betas=ADAM_BETAS, weight_decay=WEIGHT_DECAY
        )
        for name, (network, _) in parts.items()
    }
    # As many jittered copies of each exemplar as fill the pool, never none.
    copies = torch.arange(len(codes_NLD)).repeat(max(1, -(-plan.pool // len(codes_NLD))))
    history = []
    for epoch in range(plan.epochs):
        errors: dict[str, float] = {}
        for name, (network, codes_NF) in parts.items():
            for group in optimisers[name].param_groups:
                group["lr"] = plan.rate * 0.5 ** (epoch * (HALVINGS + 1) // plan.epochs)
            pool = codes_NF[copies.to(codes_NF.device)]
            noise = torch.randn(pool.shape, generator=draw).to(pool.device)
            jittered = pool + plan.jitter * noise
            errors[name] = _epoch(network, optimisers[name], jittered, plan.batch, draw)
        history.append(errors)
        if progress is not None:
            progress(epoch + 1, f"{errors['structure']:.3f} {errors['color']:.3f}")
    return sampler.eval(), history

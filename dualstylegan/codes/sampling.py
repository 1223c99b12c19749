"""Sampler of extrinsic codes (section 3.4): maps noise to structure rows and to colour rows.

Two small networks are fitted to the exemplars' codes by implicit maximum likelihood, as in GLANN
(Hoshen et al., 2019): each code is matched to the nearest of many generated ones, which is then
pulled towards it. Every exemplar is covered and none is averaged away.

Legend of shape suffixes: N code, M generated code, E noise width, F flattened rows, L row, D width.
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
NOISE_DIM = 128
HIDDEN_DIM = 128
CANDIDATES_PER_CODE = 2  # generated codes for each code to be matched
ADAM_BETAS = (0.5, 0.999)
WEIGHT_DECAY = 1e-5
RATE_HALVINGS = 4


@dataclass(frozen=True)
class SamplerPlan:
    """Settings of the fit of a sampler.

    Attributes:
        epochs: number of passes, each of which matches and learns every code of the pool.
        pool: number of jittered codes per epoch, each exemplar equally often.
        batch: codes per step.
        rate: initial learning rate; halved four times at equal intervals.
        jitter: standard deviation of the noise added to codes.
        seed: seed of all random numbers.
    """

    epochs: int
    pool: int
    batch: int
    rate: float
    jitter: float
    seed: int


def row_network(width: int) -> nn.Sequential:
    """Build the network from noise (N, E) to flattened rows (N, F), F = `width`."""
    return nn.Sequential(
        nn.Linear(NOISE_DIM, HIDDEN_DIM, bias=False),
        nn.BatchNorm1d(HIDDEN_DIM),
        nn.ReLU(),
        nn.Linear(HIDDEN_DIM, HIDDEN_DIM, bias=False),
        nn.BatchNorm1d(HIDDEN_DIM),
        nn.ReLU(),
        nn.Linear(HIDDEN_DIM, width, bias=False),
    )


class StyleSampler(nn.Module):
    """Sampler of extrinsic codes in Z+, with independent noise for structure and colour.

    Args:
        rows: rows L of a code.
        structure_rows: number of leading rows that hold structure.
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
        """Draw codes (count, L, D) in Z+; each depends on the seed and its index alone.

        Batch normalisation uses its running statistics, whatever mode the networks are in.
        """
        was_training = self.training
        self.eval()
        rng = torch.Generator().manual_seed(seed)
        noise = torch.randn(count, 2, NOISE_DIM, generator=rng).to(next(self.parameters()).device)
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
        """Load a sampler that `save` wrote, in evaluation mode.

        Raises:
            CheckpointError: the file is missing, truncated, or not a sampler.
        """
        tensors, shape = read_tensors(path)
        names = ("rows", "structure_rows", "style_dim")
        if sorted(shape) != sorted(names) or not all(isinstance(v, int) for v in shape.values()):
            raise CheckpointError(
                "not a sampler", file=path, value=sorted(shape), limit=names, fix="fit a new one"
            )
        sampler = cls(*(shape[name] for name in names))
        fill(sampler, tensors, path)
        return sampler.eval()


def nearest(query_NF: Tensor, candidate_MF: Tensor) -> Tensor:
    """Return the index of the candidate nearest to each query, by exact search. Shape (N,)."""
    return torch.cdist(query_NF, candidate_MF).argmin(1)


def _epoch(
    network: nn.Sequential,
    optimiser: torch.optim.Optimizer,
    codes_NF: Tensor,
    batch: int,
    rng: torch.Generator,
) -> float:
    """Match every code to the nearest generated one, learn the pairs, return the mean error."""
    noise = torch.randn(CANDIDATES_PER_CODE * len(codes_NF), NOISE_DIM, generator=rng).to(
        codes_NF.device
    )
    with torch.no_grad():
        matched = noise[nearest(codes_NF, network(noise))]
    order = torch.randperm(len(codes_NF), generator=rng).to(codes_NF.device)
    total = torch.zeros((), device=codes_NF.device)
    batches = [part for part in torch.split(order, batch) if len(part) > 1]  # for batch norm
    for part in batches:
        loss = F.mse_loss(network(matched[part]), codes_NF[part])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += loss.detach()
    return float(total / len(batches))


def fit_sampler(
    codes_NLD: Tensor,
    structure_rows: int,
    plan: SamplerPlan,
    progress: Callable[[int, str], None] | None = None,
) -> tuple[StyleSampler, list[dict[str, float]]]:
    """Fit a sampler to the codes of exemplars.

    Args:
        codes_NLD: extrinsic codes in Z+, at least one.
        structure_rows: number of leading rows that hold structure.
        plan: settings of the fit.
        progress: called with the number of epochs done and their errors as text.

    Returns:
        The sampler in evaluation mode, and the mean squared errors of each epoch, for
        "structure" and "color".
    """
    rng = torch.Generator().manual_seed(plan.seed)
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
    # Enough jittered copies of each exemplar to fill the pool, at least one.
    copies = torch.arange(len(codes_NLD)).repeat(max(1, -(-plan.pool // len(codes_NLD))))
    history = []
    for epoch in range(plan.epochs):
        errors: dict[str, float] = {}
        for name, (network, codes_NF) in parts.items():
            for group in optimisers[name].param_groups:
                group["lr"] = plan.rate * 0.5 ** (epoch * (RATE_HALVINGS + 1) // plan.epochs)
            pool = codes_NF[copies.to(codes_NF.device)]
            noise = torch.randn(pool.shape, generator=rng).to(pool.device)
            jittered = pool + plan.jitter * noise
            errors[name] = _epoch(network, optimisers[name], jittered, plan.batch, rng)
        history.append(errors)
        if progress is not None:
            progress(epoch + 1, f"{errors['structure']:.3f} {errors['color']:.3f}")
    return sampler.eval(), history

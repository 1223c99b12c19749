"""Ranks: processes that share one training, each with a device of its own (torch.distributed).

A step's batch consists of passes, and pass i belongs to rank i modulo their number. What a step
adds up or averages over its passes is reduced over all ranks in exact arithmetic, so that any
number of ranks gives the same bits. A process alone is rank 0 of 1 and has all passes.

Gradients are summed here and not by DistributedDataParallel, whose hooks do not see the backward
passes through gradients that R1 and path length make.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dualstylegan.errors import RankLostError, TrainingError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Item = TypeVar("Item")

# Set for each process that torchrun, or another elastic agent, starts.
MARK = "TORCHELASTIC_RUN_ID"
# File by which ranks of one machine find each other: torch's own server listens on all interfaces.
STORE = "DUALSTYLEGAN_RANKS_STORE"
# Longest wait for another rank: the first one checks, draws and saves while the others wait.
PATIENCE = timedelta(minutes=30)
# Gradients that are sent at once: 64 MiB of float64.
BUCKET_ELEMENTS = 1 << 23
GRID = 2.0**-46
BLOCK_BYTES = 1 << 26
AGAIN = "run it again, with any number of ranks: it goes on from the last saved state"


def launched() -> bool:
    """Return True in a process that torchrun, or another elastic agent, has started as a rank."""
    return MARK in os.environ


def is_first() -> bool:
    """Return True in the process that writes, draws and reports: the first rank, or one alone."""
    return not launched() or os.environ.get("RANK") == "0"


def local_number() -> int:
    """Return this rank's number on its host, by which it takes its GPU; alone: 0."""
    return int(os.environ.get("LOCAL_RANK", "0")) if launched() else 0


def count() -> int:
    """Return the number of ranks; alone, or before `joined`: 1."""
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def number() -> int:
    """Return this rank's number, from 0."""
    import torch.distributed as dist

    return dist.get_rank() if count() > 1 else 0


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Join the other ranks, by nccl on GPUs and by gloo on CPUs; alone, do nothing.

    Raises:
        RankLostError: they do not come.
    """
    if not launched():
        yield
        return
    import torch
    import torch.distributed as dist

    if device.type == "cuda":
        torch.cuda.set_device(device)
    place: dict[str, Any] = {}
    if STORE in os.environ:
        names = {"rank": "RANK", "world_size": "WORLD_SIZE"}
        place = {key: int(os.environ[name]) for key, name in names.items()}
        place["init_method"] = f"file://{os.environ[STORE]}"
    backend = "nccl" if device.type == "cuda" else "gloo"
    with _connection():
        dist.init_process_group(backend, timeout=PATIENCE, **place)
    yield
    dist.destroy_process_group()


def first_to_say(text: str) -> bool:
    """Return True unless another rank has said the same: an error that all meet is said once."""
    if count() == 1:
        return True
    import torch.distributed as dist

    try:
        return bool(dist.distributed_c10d._get_default_store().add(f"said/{text}", 1) == 1)
    except RuntimeError:  # the store has ended with its process
        return True


def own_passes(items: Sequence[Item]) -> dict[int, Item]:
    """Return the items of this rank's passes by the number of the pass.

    Raises:
        TrainingError: there are fewer passes than ranks.
    """
    ranks = count()
    if len(items) < ranks:
        raise TrainingError(
            "a rank without a pass",
            value=f"{ranks} ranks, {len(items)} passes per step",
            limit="as many ranks as `accumulation`, or fewer",
            fix="raise accumulation, and lower batch by as much, or start fewer ranks",
        )
    return {i: item for i, item in enumerate(items) if i % ranks == number()}


class GradientSum:
    """Sum of the gradients of passes, over passes and ranks, the same in whatever order they come.

    float64 holds sums of multiples of GRID exactly while they stay below 2^53 GRID, 128; a float32
    of 2^-23 or more is such a multiple, and a smaller one is rounded to it, far below Adam's
    epsilon. A single pass is left as it is.

    Args:
        parameters: trained parameters, the same on all ranks.
        passes: number of passes of all ranks.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], passes: int) -> None:
        self.parameters = list(parameters)
        self.alone = passes == 1
        self.sums: dict[int, Tensor] = {}

    def add(self) -> None:
        """Take up the gradients of a backward pass and clear them."""
        if self.alone:
            return
        for index, parameter in enumerate(self.parameters):
            if parameter.grad is None:
                continue
            gradient = parameter.grad.double().div_(GRID).round_().mul_(GRID)
            known = self.sums.get(index)
            self.sums[index] = gradient if known is None else known.add_(gradient)
            parameter.grad = None

    def finish(self) -> None:
        """Give each parameter its gradient's sum over all passes of all ranks."""
        for bucket in _buckets(self.sums):
            summed = [self.sums.pop(index) for index in bucket]
            if count() > 1:
                summed = _all_reduced(summed)
            for index, gradient in zip(bucket, summed, strict=True):
                self.parameters[index].grad = gradient.float()


def _all_reduced(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the sums of tensors over ranks, sent at once."""
    import torch
    import torch.distributed as dist

    flat = torch.cat([tensor.flatten() for tensor in tensors])
    with _connection():
        dist.all_reduce(flat)
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def mean_over_passes(rows: Mapping[int, Mapping[str, Tensor]], passes: int) -> dict[str, Tensor]:
    """Return the means of scalars over the passes of all ranks, the same to the bit on each.

    Args:
        rows: scalars of this rank's passes by the number of the pass.
        passes: number of passes of all ranks.
    """
    import torch

    names = list(next(iter(rows.values())))
    found = {i: torch.stack([row[name].float() for name in names]) for i, row in rows.items()}
    first = next(iter(found.values()))
    table = first.new_zeros(passes, len(names))
    for i, values in found.items():
        table[i] = values
    if count() > 1:
        import torch.distributed as dist

        with _connection():
            dist.all_reduce(table)  # each row is that of one rank, and zero on all others
    return dict(zip(names, table.mean(0), strict=True))


def take_from_first(tensors: Iterable[Tensor]) -> None:
    """Replace tensors, in place, by those of the first rank."""
    if count() == 1:
        return
    import torch.distributed as dist

    for tensor in tensors:
        content = tensor.detach().contiguous()
        with _connection():
            dist.broadcast(content, 0)
        tensor.detach().copy_(content)


def taken_from_first(scalars: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the first rank's scalars, of the same names."""
    if count() == 1:
        return scalars
    import torch

    values = torch.stack([value.float() for value in scalars.values()]).to(_device())
    take_from_first([values])
    return dict(zip(scalars, values, strict=True))


def check_equal(subject: str, digest: str) -> None:
    """Refuse to go on unless all ranks have the same digest (hex, up to 64 digits).

    Raises:
        TrainingError: they differ, on every rank.
    """
    if count() == 1:
        return
    import torch
    import torch.distributed as dist

    own = torch.tensor(list(digest.encode().ljust(64)), dtype=torch.uint8, device=_device())
    found = [torch.empty_like(own) for _ in range(count())]
    with _connection():
        dist.all_gather(found, own)
    other = [rank for rank, values in enumerate(found) if not torch.equal(values, found[0])]
    if other:
        raise TrainingError(
            f"ranks differ in {subject}",
            value=f"rank {', '.join(map(str, other))} and rank 0",
            limit="the same files, settings and versions on every host",
            fix="copy the project of the first host to the others, data included",
        )


@contextmanager
def file_of_first(path: Path) -> Iterator[Path | None]:
    """Give each rank the first rank's file: itself, or a copy that lasts as long as the block.

    Yields:
        Where it lies; None if the first rank has none.
    """
    if count() == 1:
        yield path if path.exists() else None
        return
    with tempfile.TemporaryDirectory() as folder:
        if number() == 0:
            _send(path)
            yield path if path.exists() else None
        else:
            copy = Path(folder) / path.name
            yield copy if _receive(copy) else None


def _send(path: Path) -> None:
    """Send a file, or that there is none, to all other ranks."""
    import numpy as np
    import torch

    exists = path.exists()
    size = torch.tensor(path.stat().st_size if exists else -1, device=_device())
    take_from_first([size])
    if exists:
        content = np.memmap(path, np.uint8, "r")
        for start in range(0, len(content), BLOCK_BYTES):
            block = torch.tensor(content[start : start + BLOCK_BYTES], device=_device())
            take_from_first([block])


def _receive(copy: Path) -> bool:
    """Write the file that the first rank sends; return False if it has none."""
    import torch

    size = torch.zeros((), dtype=torch.int64, device=_device())
    take_from_first([size])
    if int(size) < 0:
        return False
    with open(copy, "wb") as handle:
        for start in range(0, int(size), BLOCK_BYTES):
            length = min(BLOCK_BYTES, int(size) - start)
            block = torch.empty(length, dtype=torch.uint8, device=_device())
            take_from_first([block])
            handle.write(block.cpu().numpy().data)
    return True


def _device() -> torch.device:
    """Return the device of tensors that the backend sends."""
    import torch
    import torch.distributed as dist

    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


@contextmanager
def _connection() -> Iterator[None]:
    """Turn a failure of the connection into an error that says what it means.

    Raises:
        RankLostError: another rank has ended, or does not answer.
    """
    try:
        yield
    except RuntimeError as error:  # the backends' own errors are of this type
        raise RankLostError(
            "another rank of the training has ended or does not answer", fix=AGAIN
        ) from error


def _buckets(tensors: Mapping[int, Tensor]) -> list[list[int]]:
    """Group tensors, in order, into buckets of up to `BUCKET_ELEMENTS`, or of one larger tensor."""
    buckets: list[list[int]] = []
    left = 0
    for index in sorted(tensors):
        size = tensors[index].numel()
        if not buckets or size > left:
            buckets.append([])
            left = BUCKET_ELEMENTS
        buckets[-1].append(index)
        left -= size
    return buckets

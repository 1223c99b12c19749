"""Roles of StyleGAN2 files: the source generator g, or g' adapted to a style."""

from __future__ import annotations

from pathlib import Path

import torch

from dualstylegan.errors import CheckpointError
from dualstylegan.published.layout import ADAPTED_FILE, GENERATOR_FILE, State
from dualstylegan.published.recognition import Import

# Differences up to which weights count as equal: those of a copy that was saved in float16.
RTOL, ATOL = 1e-3, 1e-6


def same_generator(first: State, second: State) -> bool | None:
    """Return True if two StyleGAN2 generators have equal weights; None if their sizes differ.

    Noise maps and blur kernels do not count: they are no trained weights.
    """
    weights = [
        {k: v for k, v in state.items() if not k.startswith("noises.") and "kernel" not in k}
        for state in (first, second)
    ]
    shapes = [{k: v.shape for k, v in state.items()} for state in weights]
    if shapes[0] != shapes[1]:
        return None
    return all(
        torch.allclose(v, weights[1][k], rtol=RTOL, atol=ATOL) for k, v in weights[0].items()
    )


def assign_candidates(
    gathered: Import, source: Path | None = None, adapted: Path | None = None
) -> dict[str, str]:
    """Decide for each StyleGAN2 whether it is the source generator g or the adapted g'.

    g is equal to the generator inside a DualStyleGAN and inside a pSp encoder, as their trainings
    leave it frozen; g' differs from it. With neither among the files, the one file that holds a
    discriminator or the mean of W is g, and what differs from it is g'.

    Args:
        gathered: all files, with their candidates.
        source, adapted: files of which the user says what they are.

    Returns:
        File name to role.

    Raises:
        CheckpointError: the files do not tell, or two have the same role.
    """
    targets: dict[int, str] = {}
    for path, target in ((source, GENERATOR_FILE), (adapted, ADAPTED_FILE)):
        if path is not None:
            targets[_named(gathered, path)] = target
    for index, one in enumerate(gathered.candidates):
        compared = [
            (what, same)
            for what, state in gathered.references
            if (same := same_generator(one.state, state)) is not None
        ]
        if index not in targets and compared:
            is_source = any(same for _, same in compared)
            targets[index] = GENERATOR_FILE if is_source else ADAPTED_FILE
            verb = "has the weights of" if is_source else "differs from"
            what = next(what for what, same in compared if same == is_source)
            gathered.notes.append(f"{one.source.path.name}: {verb} {what}")
    _decide_by_each_other(gathered, targets)
    for index, one in enumerate(gathered.candidates):
        if index not in targets:
            raise CheckpointError(
                "cannot tell whether this StyleGAN2 is the source generator g or the adapted g'",
                file=one.source.path,
                value="no generator to compare its weights with",
                limit="a DualStyleGAN or a pSp encoder with its decoder among the files",
                fix=f"say so: --source {one.source.path.name} or --adapted {one.source.path.name}",
            )
        gathered.claim(one.source, targets[index], one.tree_path, one.state, stored=one.prefix)
    roles = {GENERATOR_FILE: "StyleGAN2", ADAPTED_FILE: "StyleGAN2 adapted to a style"}
    return {gathered.candidates[i].source.path.name: roles[t] for i, t in targets.items()}


def _named(gathered: Import, path: Path) -> int:
    """Return the index of the candidate that came from a file."""
    for index, one in enumerate(gathered.candidates):
        if one.source.path.resolve() == path.resolve():
            return index
    raise CheckpointError(
        "not a StyleGAN2 generator", file=path, fix="name one with --source or --adapted"
    )


def _decide_by_each_other(gathered: Import, targets: dict[int, str]) -> None:
    """Find g among the undecided, if it is not known yet; what differs from it is g'."""
    undecided = [i for i in range(len(gathered.candidates)) if i not in targets]
    known = [i for i, target in targets.items() if target == GENERATOR_FILE]
    if not known:
        originals = [i for i in undecided if gathered.candidates[i].original]
        if len(originals) == 1:
            known = originals
            name = gathered.candidates[known[0]].source.path.name
            gathered.notes.append(
                f"{name}: taken for the source generator, as it holds a discriminator or the mean "
                "of W (otherwise: --adapted)"
            )
        elif targets and len(undecided) == 1:  # the other one is adapted
            known = undecided
    for i in undecided if known else []:
        reference = gathered.candidates[known[0]]
        same = same_generator(gathered.candidates[i].state, reference.state)
        if same is not None:
            targets[i] = GENERATOR_FILE if same else ADAPTED_FILE

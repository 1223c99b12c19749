"""A model folder in half precision: the weights that `transfer` needs, in half the bytes.

Networks compute as before: weights are cast to float32 when they are loaded. Of a model whose
weights are halves already, the form in half precision is the same model.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from dualstylegan.codes.sampling import SAMPLER_FILE
from dualstylegan.errors import CheckpointError
from dualstylegan.faces.detect import DETECTOR_FILE
from dualstylegan.faces.landmarks import PREDICTOR_FILE
from dualstylegan.io.checkpoints import read_tensors, save_tensors
from dualstylegan.io.files import atomic_directory
from dualstylegan.networks.config import CONFIG_FILE, IDENTITY_FILE, MODEL_FILE, PERCEPTUAL_FILE
from dualstylegan.networks.listing import write_listing
from dualstylegan.portrait.card import in_half_precision
from dualstylegan.portrait.card_file import read_card, write_card
from dualstylegan.portrait.config import (
    CARD_IMAGES,
    ENCODER_FILE,
    LICENCE_FILE,
    STYLES_FILE,
    THUMBNAILS,
    read_config,
    read_thumbnails,
)
from dualstylegan.portrait.face_weights import FOLDER, PACKED_FILE
from dualstylegan.portrait.packed_landmarks import pack_predictor

# Biases, statistics and other small tensors stay as they are: they weigh nothing.
LEAST_VALUES = 4096


def write_half(source: Path, target: Path, pack: bool = True) -> Path:
    """Write a model folder in half precision and return it; it appears whole or not at all.

    LPIPS is stored in the dtype in which the model computes it, where that is a half, and so loses
    nothing; style codes stay in float32.

    Args:
        source: a model folder.
        target: the new folder.
        pack: pack the landmark model, a third of its bytes, which loses some of it.

    Raises:
        CheckpointError: a file of `source` is missing or damaged, or a weight is too large.
        OutputError: `target` cannot be written.
    """
    config = read_config(source)
    # whatever this machine computes in: the file is for all
    perceptual = torch.bfloat16 if config.bfloat16 else torch.float16
    faces = source / FOLDER
    with atomic_directory(target) as out:
        for name in (MODEL_FILE, ENCODER_FILE, *([SAMPLER_FILE] if config.has_sampler else [])):
            _halve(source / name, out / name, torch.float16)
        for name, dtype in ((PERCEPTUAL_FILE, perceptual), (IDENTITY_FILE, torch.float16)):
            if (faces / name).is_file():
                _halve(faces / name, out / FOLDER / name, dtype)
        copied = [DETECTOR_FILE, PACKED_FILE]
        if pack and (faces / PREDICTOR_FILE).is_file():
            pack_predictor(faces / PREDICTOR_FILE, out / FOLDER / PACKED_FILE)
        else:
            copied.append(PREDICTOR_FILE)
        # written anew and so sealed, which those of an older folder are not
        save_tensors(out / STYLES_FILE, *read_tensors(source / STYLES_FILE))
        kept = [CONFIG_FILE, LICENCE_FILE, *CARD_IMAGES]
        kept += [f"{FOLDER}/{name}" for name in copied]
        kept += [str(p.relative_to(source)) for p in (source / THUMBNAILS).glob("*.jpg")]
        for name in kept:
            if (source / name).is_file():
                (out / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(source / name, out / name)
        pictured = read_thumbnails(source, config.styles)
        write_card(out, config, in_half_precision(read_card(source), pack), pictured)
        write_listing(out)
    return target


def _halve(source: Path, target: Path, dtype: torch.dtype) -> None:
    tensors, meta = read_tensors(source)
    save_tensors(target, halved(tensors, dtype, source), meta)


def halved(tensors: Mapping[str, Tensor], dtype: torch.dtype, source: Path) -> dict[str, Tensor]:
    """Return the tensors, the large ones in a half dtype.

    Raises:
        CheckpointError: a value is too large for it.
    """
    result = {}
    for name, tensor in tensors.items():
        large = tensor.is_floating_point() and tensor.numel() >= LEAST_VALUES
        result[name] = tensor.to(dtype) if large else tensor
        if large and not result[name].isfinite().all():
            raise CheckpointError(
                "a weight too large for half precision",
                file=source,
                value=f"{name}: {tensor.abs().max():g}",
                limit=torch.finfo(dtype).max,
                fix="train with another seed or a lower rate",
            )
    return result

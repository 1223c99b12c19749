"""Held-out faces for the base models: generated and photographed ones, a photo, painted ones.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from dualstylegan.codes.subsets import evenly_spaced
from dualstylegan.faces.align import align_face
from dualstylegan.io.images import image_to_tensor, list_images, read_image
from dualstylegan.networks.generator import Generator
from dualstylegan.pretraining.photograph.chain import photograph
from tasks.shared.paths import KINDS, Paths

# Disjoint from the seeds of every training and of the demo's portraits.
SEED = 77_000_000
TRUNCATION = 0.7
# Offset of the faces that are photographed, above those of other measures.
PHOTOGRAPHED_OFFSET = 3
PHOTO = Paths.weights / "astronaut.png"


@torch.no_grad()
def codes(generator: Generator, count: int, offset: int = 0, psi: float = TRUNCATION) -> Tensor:
    """Return W+ codes (N, L, D) of random faces; another offset gives other faces.

    Each is mapped alone: a matrix product rounds by the number of its rows.
    """
    rng = torch.Generator().manual_seed(SEED + offset)
    z = torch.randn(count, generator.style_dim, generator=rng).to(generator.mean_w.device)
    codes = [generator.truncate(generator.to_w_plus(z_D[None], "z"), psi) for z_D in z]
    return torch.cat(codes)


@torch.no_grad()
def faces(generator: Generator, w_NLD: Tensor, size: int) -> Tensor:
    """Render codes to images (N, 3, size, size) in [-1, 1]."""
    return torch.cat([generator.synthesise(w_LD[None], size=size) for w_LD in w_NLD]).clamp(-1, 1)


def photographed(generator: Generator, count: int, size: int) -> tuple[Tensor, Tensor]:
    """Render untruncated faces, and turn them into photographs.

    Returns:
        Photographs and the faces in them, each (N, 3, size, size) in [-1, 1].
    """
    face_NCHW = faces(generator, codes(generator, count, PHOTOGRAPHED_OFFSET, psi=1.0), size)
    return photograph(face_NCHW, torch.Generator().manual_seed(SEED)), face_NCHW


def photo(size: int) -> Tensor:
    """Load the public-domain photo, aligned, (1, 3, size, size)."""
    return _aligned(PHOTO, size)


def painted(size: int, count: int) -> Tensor:
    """Load evenly spaced exemplars of the demo, aligned, (N, 3, size, size)."""
    paths = list_images(Paths.portraits / KINDS[0])
    indices = evenly_spaced(len(paths), count)
    return torch.cat([_aligned(paths[index], size) for index in indices])


def _aligned(path: Path, size: int) -> Tensor:
    face = align_face(read_image(path), size, weights_dir=Paths.weights)
    return image_to_tensor(face.image, size)[None]

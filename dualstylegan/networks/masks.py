"""Masks of what lies inside of a picture: outside, nothing counts.

Legend of shape suffixes: N image, C channel, P position, H height, W width.

A mask is a boolean tensor (N, 1, H, W), True inside of the picture; None stands for pictures that
cover their images. An image that its picture covers has the same values with a mask as without one,
bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.faces.frame import Array, continued, frame_mask
from dualstylegan.io.images import image_to_tensor

Mask = Tensor | None
# Masks of the exemplars at some indices.
Masks = Callable[[Tensor], Mask]


def crop_to_tensor(crop: Image.Image, frame_Q2: Array | None, size: int) -> Tensor:
    """Return a crop as a tensor (3, size, size) in [-1, 1], continued beyond its picture's frame.

    What stood outside of the frame has no influence; see `faces.frame`.
    """
    return image_to_tensor(continued(crop, frame_Q2), size)


def masks_of(frames: Sequence[Array | None], size: int) -> Mask:
    """Rasterise the frames of N crops; None if every picture covers its crop."""
    if all(frame is None for frame in frames):
        return None
    return torch.stack([torch.from_numpy(frame_mask(frame, size))[None] for frame in frames])


def framed_image(
    crop: Image.Image, frame_Q2: Array | None, size: int, device: torch.device
) -> tuple[Tensor, Mask]:
    """Return a crop as an image (1, 3, size, size) in [-1, 1], and the mask of its picture."""
    image_1CHW = crop_to_tensor(crop, frame_Q2, size)[None].to(device)
    mask = masks_of([frame_Q2], size)
    return image_1CHW, None if mask is None else mask.to(device)


def no_masks(index: Tensor) -> Mask:
    """Return the mask of exemplars whose pictures cover their crops."""
    return None


def within(mask_N1HW: Mask, result_NCHW: Tensor, target_NCHW: Tensor) -> Tensor:
    """Return results with the targets' own pixels outside of the targets' pictures.

    Whatever compares the two then sees no difference there, and gives no gradient.

    Args:
        mask_N1HW: of the targets, in the size of the images.
        result_NCHW, target_NCHW: images of one size.
    """
    if mask_N1HW is None:
        return result_NCHW
    return torch.where(mask_N1HW, result_NCHW, target_NCHW.detach())


def mask_of(mask_N1HW: Mask, map_NCHW: Tensor) -> Mask:
    """Return a mask in the size of images or feature maps.

    A position counts if every pixel beneath it lies inside.
    """
    size = list(map_NCHW.shape[2:])
    if mask_N1HW is None or list(mask_N1HW.shape[2:]) == size:
        return mask_N1HW
    return F.adaptive_max_pool2d((~mask_N1HW).float(), size) == 0


def inside(map_1CHW: Tensor, mask_11HW: Mask) -> Tensor:
    """Return the positions of a map that a mask keeps, (1, C, P, 1); the map if all or none are."""
    mask = mask_of(mask_11HW, map_1CHW)
    if mask is None or mask.all() or not mask.any():
        return map_1CHW
    return map_1CHW.flatten(2)[:, :, mask.flatten(), None]


def masked_mean(x: Tensor, mask: Mask, dims: tuple[int, ...]) -> Tensor:
    """Compute the mean of x over dimensions, of the positions that count.

    Args:
        x: values.
        mask: of the shape of x, or of length 1 in dimensions other than `dims`; None: all count.
        dims: the dimensions.
    """
    mean = x.mean(dims)
    if mask is None:
        return mean
    weight = mask.to(x.dtype)
    masked = (x * weight).sum(dims) / weight.sum(dims).clamp(min=1)
    return torch.where(mask.all(dims), mean, masked)

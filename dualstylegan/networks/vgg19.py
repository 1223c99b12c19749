"""VGG19 features (Simonyan and Zisserman, 2015), in torchvision's key layout.

The published losses use the output of the first ReLU of each of the five groups. The classifier and
the three convolutions after relu5_1 are left out.

Legend of shape suffixes: N image, C channel, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dualstylegan.networks.vgg import conv3x3

# Channels and convolutions of each group, up to relu5_1.
GROUPS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 1))
TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
INPUT_PX = 256
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Weights of the perceptual loss over TAPS, in stages 2 and 3 of progressive fine-tuning.
STAGE_2_WEIGHTS = (0.5, 0.5, 0.5, 0.0, 0.0)
STAGE_3_WEIGHTS = (0.0, 0.5, 1.0, 0.0, 0.0)
CONTEXTUAL_TAP = "relu3_1"
FEATURE_MATCHING_TAPS = ("relu2_1", "relu3_1")


class VGG19(nn.Module):
    """VGG19's feature maps of images in [-1, 1]; keys `features.N.weight` and `features.N.bias`.

    Attributes:
        compute_dtype: dtype of the convolutions and of the feature maps.
    """

    shift: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.compute_dtype = torch.float32
        layers: list[nn.Module] = []
        self.tapped: dict[int, str] = {}
        inputs = 3
        for (channels, count), tap in zip(GROUPS, TAPS, strict=True):
            if layers:
                layers.append(nn.MaxPool2d(2))
            for index in range(count):
                layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()]
                inputs = channels
                if index == 0:
                    self.tapped[len(layers) - 1] = tap
        self.features = nn.Sequential(*layers)
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        self.register_buffer("shift", (2 * mean - 1).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", (2 * std).view(1, 3, 1, 1), persistent=False)

    def forward(self, image_NCHW: Tensor, taps: Sequence[str] = TAPS) -> list[Tensor]:
        """Compute the feature maps of `taps`, in their order, no deeper than the deepest.

        Args:
            image_NCHW: images (N, 3, H, W) in [-1, 1], of 256 px in the published losses.
            taps: names among TAPS.
        """
        maps: dict[str, Tensor] = {}
        x = (image_NCHW - self.shift) / self.spread
        x = x.to(self.compute_dtype, memory_format=torch.channels_last)
        for index, layer in enumerate(self.features):
            if maps.keys() >= set(taps):
                break
            x = conv3x3(x, layer) if isinstance(layer, nn.Conv2d) else layer(x)
            if (tap := self.tapped.get(index)) in taps and tap is not None:
                maps[tap] = x
        return [maps[tap] for tap in taps]

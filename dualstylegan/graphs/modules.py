"""The networks as modules whose inputs are tensors alone, of one picture at a time, to be traced.

Legend of shape suffixes: C channel, H height, W width, L row, K coarser row, D style width,
E embedding, S side of a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualstylegan.graphs.manifest import TensorRecord
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.encoder import IDENTITY_ROWS, INPUT_PX, PortraitEncoder
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.identity import EMBEDDING_DIM
from dualstylegan.networks.layers import pixel_norm


class AllPasses(nn.Module):
    """E in any of its passes: `step` 0 is the first, whose other inputs do not count, 1 a further.

    A rendering of zeros, after standardisation, and no correction by identity are the first pass.
    """

    def __init__(self, encoder: PortraitEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self,
        photo_1CHW: Tensor,
        code_1LD: Tensor,
        rendering_1CHW: Tensor,
        wanted_1E: Tensor,
        reached_1E: Tensor,
        step: Tensor,
    ) -> Tensor:
        encoder = self.encoder
        photo = encoder._standardised(photo_1CHW)
        rows_1LD = encoder._rows(photo, step * encoder._standardised(rendering_1CHW))
        identity_1KD = step * encoder.identity(wanted_1E, reached_1E)
        padding = (0, 0, 0, rows_1LD.shape[1] - IDENTITY_ROWS)
        return pixel_norm(step * code_1LD + rows_1LD + F.pad(identity_1KD, padding))


class RowMapping(nn.Module):
    """The mapping network, row by row: Z+ to W+."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, code_1LD: Tensor) -> Tensor:
        return self.generator.map(code_1LD)


class Synthesis(nn.Module):
    """g at one size: W+ codes to images."""

    def __init__(self, generator: Generator, size: int) -> None:
        super().__init__()
        self.generator, self.size = generator, size

    def forward(self, face_1LD: Tensor) -> Tensor:
        return self.generator.synthesise(face_1LD, size=self.size)


class Restyling(nn.Module):
    """G at one size: W+ codes of face and style, row weights and truncation to images."""

    def __init__(self, network: DualStyleGAN, size: int) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(
        self, face_1LD: Tensor, style_1LD: Tensor, weights_L: Tensor, truncation: Tensor
    ) -> Tensor:
        mean = self.network.generator.mean_w
        truncated_1LD = mean + truncation * (face_1LD - mean)
        image_1CHW: Tensor = self.network(
            truncated_1LD, style_1LD, weights_L, space="w_plus", size=self.size
        )
        return image_1CHW


@dataclass(frozen=True)
class GraphPlan:
    """Graph to export.

    Attributes:
        name: of its file, without suffix.
        module: to be traced.
        inputs: examples by name, in the module's order.
        output: name of the output.
        contents: meaning and range of inputs and output, by name.
        shares_weights: other graphs hold the same weights.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    output: str
    contents: Mapping[str, str]
    shares_weights: bool = False

    def records(self, output: Tensor) -> tuple[dict[str, TensorRecord], dict[str, TensorRecord]]:
        """Return the records of the inputs and of the output."""

        def record(name: str, tensor: Tensor) -> TensorRecord:
            return TensorRecord(shape=tuple(tensor.shape), content=self.contents[name])

        inputs = {name: record(name, tensor) for name, tensor in self.inputs.items()}
        return inputs, {self.output: record(self.output, output)}


PICTURE = "RGB, nominally -1 to 1; clamp it"
FACE = "FFHQ crop, RGB, -1 to 1"
CODE = "code of a face in Z+, rows of unit mean square"
WIDE_CODE = "code in W+"
EMBEDDING = "face recognition's embedding"


def encoder_plan(
    encoder: nn.Module, photo_1CHW: Tensor, rendering_1CHW: Tensor, code_1LD: Tensor
) -> GraphPlan:
    """Return the graph of E; of the published encoder, which takes one pass, with the photo alone.

    Args:
        encoder: E.
        photo_1CHW: a face, of the side that the graph is to take.
        rendering_1CHW: another, of the encoder's own side.
        code_1LD: a code in Z+.
    """
    contents = {"photo": FACE, "encoded": CODE}
    inputs = {"photo": photo_1CHW}
    if not isinstance(encoder, PortraitEncoder):
        return GraphPlan("encoder", encoder, inputs, "encoded", contents)
    rng = torch.Generator().manual_seed(0)
    wanted_1E, reached_1E = torch.randn(2, 1, EMBEDDING_DIM, generator=rng).div(8).unbind()
    inputs |= {
        "code": code_1LD,
        "rendering": rendering_1CHW,
        "wanted": wanted_1E,
        "reached": reached_1E,
        "step": torch.tensor(1.0),
    }
    contents |= {
        "code": "result of the pass before; any in the first",
        "rendering": f"g of that code, -1 to 1, {INPUT_PX} px; any in the first",
        "wanted": f"{EMBEDDING} of the photo; any in the first",
        "reached": f"{EMBEDDING} of the rendering; any in the first",
        "step": "0 in the first pass, 1 in further ones",
    }
    return GraphPlan("encoder", AllPasses(encoder), inputs, "encoded", contents)


def mapping_plan(generator: Generator, code_1LD: Tensor) -> GraphPlan:
    """Return the graph of the mapping network."""
    contents = {"code": "code of a face or style in Z+", "mapped": WIDE_CODE}
    return GraphPlan("mapping", RowMapping(generator), {"code": code_1LD}, "mapped", contents)


def synthesis_plan(generator: Generator, size: int, face_1LD: Tensor) -> GraphPlan:
    """Return the graph of g at a size."""
    contents = {"face": WIDE_CODE, "image": PICTURE}
    module = Synthesis(generator, size)
    return GraphPlan(
        f"generator-{size}", module, {"face": face_1LD}, "image", contents, shares_weights=True
    )


def restyling_plan(
    network: DualStyleGAN, size: int, face_1LD: Tensor, style_1LD: Tensor
) -> GraphPlan:
    """Return the graph of G at a size."""
    rows = network.generator.rows
    inputs = {
        "face": face_1LD,
        "style": style_1LD,
        "weights": torch.linspace(0, 1, rows),
        "truncation": torch.tensor(0.8),
    }
    contents = {
        "face": f"{WIDE_CODE} of the face",
        "style": f"{WIDE_CODE} of the style, or a mix of several",
        "weights": "one per row, 0 to 1: structure rows first, then colour rows; 0 leaves g's row",
        "truncation": "psi for the face, 0 to 1; 1: off",
        "image": PICTURE,
    }
    module = Restyling(network, size)
    return GraphPlan(f"dualstylegan-{size}", module, inputs, "image", contents, shares_weights=True)


def recognition_plan(identity: nn.Module, face_1CHW: Tensor) -> GraphPlan:
    """Return the graph of face recognition for faces of one side."""
    contents = {"face": FACE, "embedding": EMBEDDING}
    name = f"recognition-{face_1CHW.shape[-1]}"
    return GraphPlan(name, identity, {"face": face_1CHW}, "embedding", contents)

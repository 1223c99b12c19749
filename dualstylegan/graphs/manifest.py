"""onnx.json of an exported model folder: its graphs, their tensors, and the digests of its files.

Reading it imports neither torch nor onnxruntime.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from dualstylegan.networks.config import ClosedSchema, FileRecord, Sha256, read_validated

MANIFEST_FILE = "onnx.json"
# Weights that several graphs share; the others lie in the graphs' own files.
WEIGHTS_FILE = "weights.bin"
Side = Annotated[int, Field(ge=1)]


class TensorRecord(ClosedSchema):
    """Input or output of a graph, float32.

    Attributes:
        shape: of the tensor; () for a number.
        content: meaning and range.
    """

    shape: tuple[int, ...]
    content: str


class GraphRecord(ClosedSchema):
    """A graph.

    Attributes:
        file: its name in the folder.
        inputs, outputs: tensors by name, in the graph's order.
        shares_weights: True if WEIGHTS_FILE must be at hand as external data.
        difference: largest difference of an output from torch in float32, measured on export.
    """

    file: str
    inputs: dict[str, TensorRecord]
    outputs: dict[str, TensorRecord]
    shares_weights: bool
    difference: float


class Manifest(ClosedSchema):
    """onnx.json.

    Attributes:
        format: of the folder.
        opset: of the graphs, of ONNX's default domain; they hold no other operators.
        weights: dtype in which large weights are stored; every graph computes in float32.
        source_digest: `PortraitModel.digest` of the model that was exported.
        licence: of the weights.
        face_px: side in pixels of the crops that the encoder takes.
        pass_px: side in pixels of g's renderings that further passes of the encoder compare; None
            for an encoder of one pass.
        likeness_px: side in pixels of g's rendering whose likeness to the face is measured.
        person_distance: of two embeddings, below which they are one person's; the likeness is
            1 - distance / (2 person_distance).
        structure_rows: number of leading rows of a code that control structure.
        encoder, mapping: E, and the mapping network.
        generator: g by the side of its image in pixels.
        dualstylegan: G by the side of its image in pixels.
        recognition: face recognition by the side of the faces it takes; empty where the model
            folder has none.
        files: every file of the folder but this one, by its path.
    """

    format: Literal[1] = 1
    opset: int
    weights: Literal["float32", "float16"]
    source_digest: Sha256
    licence: str
    face_px: Side
    pass_px: Side | None
    likeness_px: Side
    person_distance: float
    structure_rows: Side
    encoder: GraphRecord
    mapping: GraphRecord
    generator: dict[Side, GraphRecord]
    dualstylegan: dict[Side, GraphRecord]
    recognition: dict[Side, GraphRecord]
    files: dict[str, FileRecord]


def is_exported(folder: Path | str) -> bool:
    """Return True for a folder that `export-onnx` wrote."""
    return (Path(folder) / MANIFEST_FILE).is_file()


def read_manifest(folder: Path | str) -> Manifest:
    """Read and check onnx.json of an exported folder.

    Raises:
        DataError: there is none; CheckpointError: it does not fit the schema.
    """
    return read_validated(Manifest, Path(folder) / MANIFEST_FILE)

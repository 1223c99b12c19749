"""Export of modules to ONNX by torch, with weights shared between graphs, and checked by numbers.

Graphs hold no names of files, no traces and no operators outside of ONNX's default domain.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dualstylegan.errors import CheckpointError, SettingsError
from dualstylegan.graphs.manifest import WEIGHTS_FILE, GraphRecord
from dualstylegan.graphs.modules import GraphPlan
from dualstylegan.io.files import write_bytes

OPSET = 18
# Weights of at least so many values are shared between graphs; halved where asked for.
SHARED_VALUES, HALVED_VALUES = 512, 4096
ALIGNMENT = 64
# Largest difference from torch by which an export passes, of values about 1.
TOLERANCE, HALF_TOLERANCE = 2e-3, 0.25
FIX = "pip install 'dualstylegan[onnx]'"


def check_exporter() -> None:
    """Refuse to export where torch's exporter lacks its packages.

    Raises:
        SettingsError: names them.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "the export needs a package that is not installed", value=error.name, fix=FIX
        ) from error


class SharedWeights:
    """Weights of several graphs in one file, each content once.

    Args:
        half: store weights in float16.
    """

    def __init__(self, half: bool) -> None:
        self.half = half
        self._content = bytearray()
        self._offsets: dict[str, int] = {}

    def place(self, data: bytes) -> int:
        """Return the offset of some bytes in the file."""
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self._offsets:
            self._content += bytes(-len(self._content) % ALIGNMENT)
            self._offsets[digest] = len(self._content)
            self._content += data
        return self._offsets[digest]

    def write(self, folder: Path) -> None:
        """Write the file, where a graph has put something into it."""
        if self._content:
            write_bytes(folder / WEIGHTS_FILE, bytes(self._content))


def export_graph(plan: GraphPlan, folder: Path, shared: SharedWeights) -> GraphRecord:
    """Trace a module, write its graph, and return its record but for the measured difference.

    Raises:
        CheckpointError: a weight is too large for half precision.
    """
    with torch.no_grad():
        output = plan.module(*plan.inputs.values())
    model = _traced(plan)
    _strip(model)
    _place_weights(model, plan, shared)
    file = f"{plan.name}.onnx"
    write_bytes(folder / file, model.SerializeToString(deterministic=True))
    inputs, outputs = plan.records(output)
    return GraphRecord(
        file=file,
        inputs=inputs,
        outputs=outputs,
        shares_weights=plan.shares_weights,
        difference=0.0,
    )


def measure(plan: GraphPlan, record: GraphRecord, run: Callable[..., Any], half: bool) -> float:
    """Return the largest difference of a graph from its module on the plan's example.

    Args:
        plan: module and example.
        record: of the exported graph.
        run: the graph as a function of its inputs by name, to its output.
        half: weights were stored in float16, of which a larger difference comes.

    Raises:
        CheckpointError: the difference is too large to be one of rounding.
    """
    with torch.no_grad():
        wanted = plan.module(*plan.inputs.values()).numpy()
    found = run(**{name: tensor.numpy() for name, tensor in plan.inputs.items()})
    difference = float(np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max()))
    limit = HALF_TOLERANCE if half else TOLERANCE
    if not difference <= limit:
        raise CheckpointError(
            "the exported graph computes something else than torch",
            file=record.file,
            value=f"a difference of {difference:g}",
            limit=limit,
            fix="export with the pinned versions of torch, onnx and onnxscript",
        )
    return difference


def _traced(plan: GraphPlan) -> Any:
    """Return the ONNX model of a module."""
    with _silenced():
        program = torch.onnx.export(
            plan.module.eval(),
            tuple(plan.inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(plan.inputs),
            output_names=[plan.output],
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep what torch's exporter tells its developers from the user."""
    names = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _strip(model: Any) -> None:
    """Remove traces, names of source files and inferred shapes; name what made the graph."""
    del model.metadata_props[:]
    model.doc_string = ""
    model.producer_name, model.producer_version = "dualstylegan", ""
    graph = model.graph
    del graph.value_info[:]
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


def _place_weights(model: Any, plan: GraphPlan, shared: SharedWeights) -> None:
    """Halve the large weights of a graph where asked for, and share them where others hold them."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        values = np.prod(tensor.dims)
        if tensor.data_type != TensorProto.FLOAT or values < SHARED_VALUES:
            continue
        array = numpy_helper.to_array(tensor)
        name = tensor.name
        if shared.half and values >= HALVED_VALUES:
            array = _halved(array, name, plan.name)
            casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
            name = f"{name}_half"
        tensor.CopyFrom(numpy_helper.from_array(array, name))
        if plan.shares_weights:
            data = tensor.raw_data
            entries = {"location": WEIGHTS_FILE, "offset": shared.place(data), "length": len(data)}
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in entries.items():
                tensor.external_data.add(key=key, value=str(value))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _halved(array: Any, name: str, graph: str) -> Any:
    """Return a weight in float16."""
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if not np.isfinite(half).all():
        raise CheckpointError(
            "a weight too large for half precision",
            file=graph,
            value=f"{name}: {np.abs(array).max():g}",
            limit=float(np.finfo(np.float16).max),
            fix="export without --half",
        )
    return half

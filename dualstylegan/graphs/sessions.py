"""Sessions of onnxruntime: graphs as functions of arrays, opened when first run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dualstylegan.errors import CheckpointError
from dualstylegan.graphs.manifest import GraphRecord
from dualstylegan.io.arrays import Floats


class Graph:
    """Graph of an exported folder in onnxruntime, on the CPU.

    Args:
        folder: the exported folder.
        record: of the graph.
        threads: on which it computes.
    """

    def __init__(self, folder: Path, record: GraphRecord, threads: int = 1) -> None:
        self._path, self._record, self._threads = folder / record.file, record, threads
        self._session: Any = None

    def __call__(self, **inputs: Any) -> Floats:
        """Return the graph's output for inputs by name; those that are not given are zeros.

        Raises:
            CheckpointError: the graph or its weights are missing or damaged.
        """
        if self._session is None:
            self._session = open_session(self._path, self._threads)
        feed = {
            name: np.ascontiguousarray(inputs[name], np.float32).reshape(tensor.shape)
            if name in inputs
            else np.zeros(tensor.shape, np.float32)
            for name, tensor in self._record.inputs.items()
        }
        output: Floats = self._session.run(None, feed)[0]
        return output


def open_session(path: Path, threads: int) -> Any:
    """Open a graph of an exported folder.

    Raises:
        CheckpointError: the graph or its weights are missing or damaged.
    """
    import onnxruntime

    fix = "export the model anew"
    if not path.is_file():
        raise CheckpointError("no such file", file=path, fix=fix)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # threads that wait for work by spinning take more CPU time than the work itself
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base class
        raise CheckpointError("not a whole graph", file=path, value=error, fix=fix) from error

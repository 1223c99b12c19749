"""Stretches without coverage's tracer, which doubles the time of other people's Python code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch


@contextmanager
def exports_untraced() -> Iterator[None]:
    """Leave what torch's exporter to ONNX runs out of the coverage, our modules with it.

    An export runs every module by itself before, which counts.
    """
    export = torch.onnx.export

    def untraced(*given: Any, **options: Any) -> Any:
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            return export(*given, **options)
        finally:
            sys.settrace(tracer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", untraced)
        yield

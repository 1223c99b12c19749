"""Signature of the served model: the columns and options of a request, its answer, an example."""

from __future__ import annotations

import base64
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualstylegan.errors import DataError
from dualstylegan.portrait.config import THUMBNAILS, read_config, thumbnail_file
from dualstylegan.portrait.options import ReadOptions, RestyleOptions

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import ModelSignature

EXAMPLE_PX = 256
# MLflow's types of the options: those of `PortraitModel.transfer` by its names, and the request's
# own, `mix` (texts such as `name:0.6`) and `format`.
OPTIONS = {
    "structure": "double",
    "color": "double",
    "weights": "double",
    "preserve_color": "boolean",
    "truncation": "double",
    "size": "long",
    "background": "string",
    "faces": "string",
    "align": "boolean",
    "fit_steps": "long",
    "paste": "boolean",
    "seed": "long",
    "mix": "string",
    "format": "string",
}
LISTS = ("weights", "mix")


def default(name: str) -> Any:
    """Return the default of an option; None where it is the model's, or where there is none."""
    if name in LISTS:  # of which MLflow takes no None
        return []
    own = {"paste": False, "format": "png"}
    library = (one for kind in (ReadOptions, RestyleOptions) for one in fields(kind))
    return next((one.default for one in library if one.name == name), own.get(name))


def signature() -> ModelSignature:
    """Return the signature of the served model."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array, Map

    params = [
        ParamSpec(name, kind, default(name), (-1,) if name in LISTS else None)
        for name, kind in OPTIONS.items()
    ]
    given = [ColSpec("string", "image"), ColSpec("string", "style", required=False)]
    answer = [
        ColSpec("string", "image", required=False),
        ColSpec("string", "error", required=False),
        ColSpec("string", "warning", required=False),
        ColSpec(Array(DataType.double), "likeness", required=False),
        ColSpec(Array(DataType.string), "left_out", required=False),
        ColSpec(Map(DataType.string), "recipe", required=False),
    ]
    return ModelSignature(Schema([*given]), Schema([*answer]), ParamSchema(params))


def example(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a row and options that the served model takes: a thumbnail in its own style.

    Args:
        folder: of the portrait model.

    Raises:
        DataError: the model has no thumbnail.
    """
    import pandas as pd

    config = read_config(folder)
    # a thumbnail is aligned
    options = {"size": min(EXAMPLE_PX, config.network.generator.resolution), "align": False}
    for style in config.styles:
        path = folder / THUMBNAILS / thumbnail_file(style)
        if path.is_file():
            text = base64.b64encode(path.read_bytes()).decode()
            return pd.DataFrame([{"image": text, "style": style}]), options
    raise DataError(
        "no thumbnail of any style", file=folder / THUMBNAILS, fix="run `dvc repro package`"
    )

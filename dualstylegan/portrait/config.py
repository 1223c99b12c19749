"""config.json of a portrait model: networks, defaults of transfer, names of styles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from dualstylegan.errors import CheckpointError
from dualstylegan.networks.config import CONFIG_FILE, ClosedSchema, NetworkConfig, read_validated

# Bounds that settings of the pipeline share.
UnitInterval = Annotated[float, Field(ge=0, le=1)]
ModelName = Annotated[str, Field(min_length=1, max_length=100)]


class TransferDefaults(ClosedSchema):
    """What `transfer` does when nothing else is asked for."""

    structure: UnitInterval = Field(default=1.0, description="weight of the structure rows")
    color: UnitInterval = Field(default=1.0, description="weight of the colour rows")
    truncation: UnitInterval = Field(default=1.0, description="psi for the face's code; 1: off")


class PortraitConfig(ClosedSchema):
    """config.json of a portrait model folder."""

    format: Literal[1] = 1
    name: ModelName = "portrait"
    network: NetworkConfig = NetworkConfig()
    defaults: TransferDefaults = TransferDefaults()
    styles: tuple[str, ...] = Field(description="names, in the order of styles.safetensors")
    has_sampler: bool = False


def read_config(folder: Path | str) -> PortraitConfig:
    """Read and check config.json of a model folder. Imports no torch.

    Raises:
        CheckpointError: there is none, or it does not fit the schema.
    """
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise CheckpointError(
            "no portrait model here",
            file=folder,
            limit=f"a folder with {CONFIG_FILE} and model.safetensors",
            fix="give the folder that `make demo` made, data/models/portrait",
        )
    return read_validated(PortraitConfig, path)

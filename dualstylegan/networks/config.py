"""Closed schema of a model's config.json, from which the networks are built.

A config holds no class path and no code: it chooses among the networks listed here, and unknown
keys are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dualstylegan.errors import CheckpointError
from dualstylegan.io.files import read_json

if TYPE_CHECKING:
    from dualstylegan.networks.dualstylegan import DualStyleGAN
    from dualstylegan.networks.encoder import PortraitEncoder
    from dualstylegan.networks.generator import Generator
    from dualstylegan.networks.psp import PublishedEncoder

CONFIG_FILE = "config.json"
CARD_FILE = "README.md"
MODEL_FILE = "model.safetensors"
# LPIPS and dlib's face recognition, in a folder of weights.
PERCEPTUAL_FILE = "lpips_vgg16.safetensors"
IDENTITY_FILE = "identity.safetensors"

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ClosedSchema(BaseModel):
    """Base of all schemas: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRecord(ClosedSchema):
    """Content of a file: length in bytes and SHA-256."""

    length: int
    sha256: Sha256


class GeneratorConfig(ClosedSchema):
    """Config of a generator: the embedded one, of one size, or StyleGAN2 of any size and width."""

    kind: Literal["mobilestylegan", "stylegan2"] = "mobilestylegan"
    resolution: int = Field(
        default=1024, ge=32, le=1024, description="side of the full output in pixels"
    )
    style_dim: int = Field(default=512, ge=1, le=1024)
    mapping_layers: int = Field(default=8, ge=1, le=16)
    channel_multiplier: int = Field(default=2, ge=1, le=4)
    channels: tuple[Annotated[int, Field(ge=1, le=1024)], ...] | None = Field(
        default=None, max_length=9, description="StyleGAN2: channels at each resolution from 4 px"
    )
    coarse_px: Literal[64, 128, 256] | None = Field(
        default=None,
        description="MobileStyleGAN: size whose RGB head colours larger images",
    )

    @property
    def rows(self) -> int:
        """Number L of rows of a code matrix: one at 4 px, two at each further size, and RGB."""
        # MobileStyleGAN's last doubling is the inverse wavelet transform of its output
        features = self.resolution // 2 if self.kind == "mobilestylegan" else self.resolution
        return 2 * features.bit_length() - 4

    def build(self) -> Generator:
        """Build the generator with random weights."""
        if self.kind == "mobilestylegan":
            from dualstylegan.networks.mobilestylegan import MobileStyleGAN

            return MobileStyleGAN(self.coarse_px)
        from dualstylegan.networks.stylegan2 import StyleGAN2

        return StyleGAN2(
            self.resolution,
            style_dim=self.style_dim,
            mapping_layers=self.mapping_layers,
            channel_multiplier=self.channel_multiplier,
            channels=self.channels,
        )


class NetworkConfig(ClosedSchema):
    """Config of a DualStyleGAN: the generator, the width of the extrinsic path, the encoder."""

    generator: GeneratorConfig = GeneratorConfig()
    res_channels: int = Field(
        default=512, ge=1, le=1024, description="feature channels at the structure rows"
    )
    res_hidden: int | None = Field(
        default=None, ge=1, le=1024, description="channels inside ModRes; None: as res_channels"
    )
    tone_rank: int = Field(
        default=0, ge=0, le=1024, description="rank of the tone's maps; 0: none, as published"
    )
    encoder: Literal["portrait", "psp"] = Field(
        default="portrait", description="portrait: the embedded encoder; psp: the published one"
    )

    @property
    def encoder_px(self) -> int:
        """Side in pixels of the images that the encoder sees."""
        if self.encoder == "psp":
            from dualstylegan.networks.psp import INPUT_PX as PUBLISHED_PX

            return PUBLISHED_PX
        from dualstylegan.networks.encoder import INPUT_PX

        return INPUT_PX

    def build(self) -> DualStyleGAN:
        """Build the network with random weights."""
        return self.around(self.generator.build())

    def around(self, generator: Generator) -> DualStyleGAN:
        """Build the network around a generator that is built already."""
        from dualstylegan.networks.dualstylegan import DualStyleGAN

        return DualStyleGAN(generator, self.res_channels, self.res_hidden, self.tone_rank)

    def build_encoder(self) -> PortraitEncoder | PublishedEncoder:
        """Build the encoder of the generator, with random weights."""
        if self.encoder == "psp":
            return self._published_encoder()
        from dualstylegan.networks.encoder import PortraitEncoder

        generator = self.generator.build()
        return PortraitEncoder(generator.rows, generator.structure_rows, generator.style_dim)

    def _published_encoder(self) -> PublishedEncoder:
        from dualstylegan.networks.psp import PublishedEncoder

        return PublishedEncoder(self.generator.build().rows, style_dim=self.generator.style_dim)


Config = TypeVar("Config", bound=ClosedSchema)


def read_generator_config(path: Path) -> GeneratorConfig:
    """Read and validate the config of a generator (CheckpointError)."""
    return read_validated(GeneratorConfig, path)


def read_network_config(path: Path) -> NetworkConfig:
    """Read and validate the config of a DualStyleGAN (CheckpointError)."""
    return read_validated(NetworkConfig, path)


def read_validated(schema: type[Config], path: Path) -> Config:
    """Read a JSON file and validate it against a closed schema.

    Raises:
        CheckpointError: the file is missing, not JSON, or does not fit the schema.
    """
    try:
        return schema.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(
            "the model's config does not fit its schema",
            file=path,
            value=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            fix=f"restore {path.name} from the source of the model",
        ) from error

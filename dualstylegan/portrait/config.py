"""config.json of a portrait model: networks, defaults of transfer, names of styles.

Reading it imports no torch, so that a command can check a request before any network is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from dualstylegan.errors import CheckpointError, SettingsError
from dualstylegan.io.files import read_limited
from dualstylegan.io.names import safe_name
from dualstylegan.networks.config import CONFIG_FILE, ClosedSchema, NetworkConfig, read_validated
from dualstylegan.networks.listing import check_files

# Bounds that settings of the pipeline share.
UnitInterval = Annotated[float, Field(ge=0, le=1)]
ModelName = Annotated[str, Field(min_length=1, max_length=100)]
MAX_FIT_STEPS = 5000
FitSteps = Annotated[int, Field(ge=0, le=MAX_FIT_STEPS)]
EncoderPasses = Annotated[int, Field(ge=1, le=20)]
LatentRate = Annotated[float, Field(gt=0, le=1)]
LossWeight = Annotated[float, Field(ge=0, le=100)]

MAX_STYLES = 10_000
# A file's name has 255 bytes at most. Lone surrogates, which no file takes, pydantic refuses.
StyleName = Annotated[str, Field(max_length=1000)]
# Bytes of a thumbnail, of a picture of the card, and of the card's and the licence's text.
MAX_THUMBNAIL_BYTES = 1 << 20
MAX_PICTURE_BYTES = 32 << 20
MAX_TEXT_BYTES = 4 << 20

SIZE_LIMITS = (64, 1024)
# Seeds that torch takes, of 64 bits.
SEED_LIMITS = (-(2**63), 2**63 - 1)
# Formats of results by the endings of their files; all of them hold the facts.
RESULT_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
# Ending of a film that is no video but an animated image.
FILM_SUFFIX = ".webp"

# Files of a model folder beside config.json and model.safetensors.
ENCODER_FILE = "encoder.safetensors"
STYLES_FILE = "styles.safetensors"
THUMBNAILS = "thumbnails"
# JPEG files that the card shows: the faces that are fitted worst, and what results lose.
FITS_IMAGE, LOSSES_IMAGE = "fits.jpg", "losses.jpg"
CARD_IMAGES = (FITS_IMAGE, LOSSES_IMAGE)
# The card, also under the name that it had in folders made before it had a front matter.
OLD_CARD_FILE = "MODEL_CARD.md"
LICENCE_FILE = "LICENSE.md"


class TransferDefaults(ClosedSchema):
    """Settings of `transfer` where the caller gives none: the same from every entry point.

    The defaults of the fit are those of model folders that do not state them: 24 steps from one
    pass of the encoder, without identity. The pipeline states its own.
    """

    structure: UnitInterval = Field(default=1.0, description="weight of the structure rows")
    color: UnitInterval = Field(default=1.0, description="weight of the colour rows")
    truncation: UnitInterval = Field(default=1.0, description="psi for the face's code; 1: off")
    fit_steps: FitSteps = Field(
        default=24, description="steps that fit the code to the face; 0: the encoder's code"
    )
    fit_passes: EncoderPasses = Field(
        default=1, description="passes of the encoder over the face (ReStyle)"
    )
    fit_rate: LatentRate = Field(default=0.1, description="learning rate of the fit")
    fit_pixel_weight: LossWeight = Field(
        default=0.2, description="weight of the pixel loss of the fit, beside LPIPS of weight 1"
    )
    fit_identity_weight: LossWeight = Field(
        default=0.0,
        description="weight of the identity distance of the fit; 0: off",
    )
    fit_restyled_weight: LossWeight = Field(
        default=0.0,
        description="weight of the identity distance of the face's restylings; 0: off",
    )
    fit_likeness_line: UnitInterval = Field(
        default=0.64,
        description="identity similarity of the fitted face to the photo below which `transfer` "
        "warns; 0: never",
    )
    fit_px: int = Field(
        default=128,
        ge=32,
        le=1024,
        description="side in pixels at which the fit compares; at most the generator's",
    )
    crop_px: int = Field(
        default=256, ge=64, le=1024, description="side in pixels of the face's FFHQ crop"
    )


class PortraitConfig(ClosedSchema):
    """config.json of a portrait model folder."""

    format: Literal[1] = 1
    name: ModelName = "portrait"
    network: NetworkConfig = NetworkConfig()
    bfloat16: bool = Field(
        default=False, description="compute feature maps in bfloat16, as the evaluation did"
    )
    defaults: TransferDefaults = TransferDefaults()
    styles: tuple[StyleName, ...] = Field(
        max_length=MAX_STYLES, description="names, in the order of styles.safetensors"
    )
    fit_styles: tuple[str, ...] = Field(
        default=(),
        description="styles that the steps of the fit restyle after, in this order; empty: all",
    )
    labels: dict[str, StyleName] = Field(
        default={}, description="text that people read, by name, where it is not the name"
    )
    has_sampler: bool = False


def read_config(folder: Path | str) -> PortraitConfig:
    """Read and check config.json of a model folder. Imports no torch.

    Raises:
        CheckpointError: there is none, it is damaged, or it does not fit the schema.
    """
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise CheckpointError(
            "no portrait model in this folder",
            file=folder,
            limit=f"a folder with {CONFIG_FILE} and model.safetensors",
            fix="give a folder that `save_pretrained`, `add-style` or `import-published` wrote",
        )
    check_files(Path(folder), CONFIG_FILE)
    return read_validated(PortraitConfig, path)


def check_options(
    *,
    structure: float | None = None,
    color: float | None = None,
    truncation: float | None = None,
    size: int = SIZE_LIMITS[0],
    fit_steps: int | None = None,
    seed: int | None = None,
) -> None:
    """Refuse options of `transfer` that are out of their bounds.

    Raises:
        SettingsError: names the option, its value and the bounds.
    """
    bounds: dict[str, tuple[float | None, float, float]] = {
        "structure": (structure, 0, 1),
        "color": (color, 0, 1),
        "truncation": (truncation, 0, 1),
        "size": (size, *SIZE_LIMITS),
        "fit_steps": (fit_steps, 0, MAX_FIT_STEPS),
        "seed": (seed, *SEED_LIMITS),
    }
    for name, (value, low, high) in bounds.items():
        if value is not None and not low <= value <= high:
            raise SettingsError(
                f"{name} is out of bounds",
                value=value,
                limit=f"{low} to {high}",
                fix="give a value in between",
            )


def result_suffix(name: str) -> str:
    """Return the ending of a result's file in a format, such as `png`.

    Raises:
        SettingsError: no such format.
    """
    suffix = f".{name}"
    if suffix not in RESULT_FORMATS:
        limit = ", ".join(known.removeprefix(".") for known in RESULT_FORMATS)
        raise SettingsError("format", value=name, limit=limit, fix="give one of these")
    return suffix


def check_new_name(config: PortraitConfig, name: str) -> None:
    """Refuse a name for a new style that is blank or taken. Needs no network.

    Raises:
        SettingsError: says which.
    """
    if not name.strip():
        raise SettingsError("a style needs a name", value=repr(name), fix="give it a name")
    if safe_name(name) in config.styles:
        raise SettingsError("a style of this name exists", value=name, fix="give another name")


def thumbnail_file(name: str) -> str:
    """Return the file name of a style's thumbnail."""
    return f"{safe_name(name)}.jpg"


def read_thumbnails(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Read the thumbnails of a model folder by style name.

    Folders made before names were safe have them under the names as they are.

    Raises:
        CheckpointError: one is damaged; DataError: one is too large.
    """
    found: dict[str, bytes] = {}
    files: list[str] = []
    for name in names:
        for file in (thumbnail_file(name), f"{name}.jpg"):
            if "/" not in file and (folder / THUMBNAILS / file).is_file():
                found[name] = read_limited(folder / THUMBNAILS / file, MAX_THUMBNAIL_BYTES)
                files.append(f"{THUMBNAILS}/{file}")
                break
    check_files(folder, *files)
    return found

"""Settings of the pipeline: params.yaml, read once, checked whole, never changed after."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dualstylegan.errors import SettingsError

DEFAULT_FILE = Path("params.yaml")


class Section(BaseModel):
    """Base of every section: frozen, closed, finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Schema = TypeVar("Schema", bound=Section)


class Profile(Section):
    """What every stage agrees on."""

    networks: str = Field(
        default="data/base",
        min_length=1,
        description="folder of base models: ours, or one that `import-published` made",
    )
    working_size: Literal[64, 128, 256, 512, 1024] = Field(
        default=128, description="pixels in training"
    )
    output_size: Literal[256, 512, 1024] = Field(default=256, description="pixels of results")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    bfloat16: bool = Field(default=True, description="convolutions; codes and losses are float32")
    seed: int = Field(default=0, ge=0, lt=2**31)
    threads: int = Field(default=0, ge=0, le=256, description="of torch; 0 leaves the choice to it")


class Download(Section):
    """Fetching of the pinned weights: all of it is pinned, nothing is to be chosen."""


class Portraits(Section):
    """Where exemplars and content faces come from."""

    source: str = Field(
        default="portraits",
        min_length=1,
        description="folder with `style` and `content` in it; what it does not have is generated",
    )
    styles: int | None = Field(default=None, ge=1, le=200, description="None: the whole set")
    contents: int = Field(default=10, ge=1, le=200)


class Align(Section):
    """FFHQ crops."""

    size: int = Field(default=256, ge=64, le=1024, description="side in pixels")
    held_out: int = Field(
        default=3, ge=0, le=100, description="exemplars that only the evaluation sees"
    )


class Invert(Section):
    """Codes of portraits: the encoder's, moved in Z+ until g renders the portrait."""

    style_steps: int = Field(default=24, ge=0, le=5000, description="0 keeps the encoder's code")
    content_steps: int = Field(default=0, ge=0, le=5000)
    rate: float = Field(default=0.1, gt=0, le=1)
    pixel_weight: float = Field(default=0.2, ge=0, le=100, description="beside LPIPS of weight 1")
    batch: int = Field(default=1, ge=1, le=64, description="images at once")


class _Adversarial(Section):
    """What both adversarial trainings have."""

    accumulation: int = Field(default=1, ge=1, le=64, description="passes a step")
    path_weight: float = Field(default=0.0, ge=0, le=100, description="path length; 0: off")
    path_steps: int = Field(default=4, ge=1, le=1000)
    adversary_rate: float = Field(default=0.002, gt=0, le=0.1)
    augment: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of images moved and relit; if steered, at first",
    )
    augment_target: float = Field(
        default=0.6, ge=0, lt=1, description="E[sign D(real)] it is steered to (ADA); 0: it stays"
    )
    augment_images: int = Field(
        default=2000, ge=1, le=100_000_000, description="images while it goes from 0 to 1"
    )
    average_decay: float = Field(default=0.97, ge=0, lt=1)
    save_seconds: float = Field(default=20, ge=0, le=3600)
    picture_steps: int = Field(default=50, ge=0, le=100_000)


class Adapt(_Adversarial):
    """g becomes g' on the exemplars."""

    steps: int = Field(default=100, ge=1, le=100_000)
    batch: int = Field(default=4, ge=1, le=64, description="images a pass")
    anchored: int = Field(default=2, ge=0, le=64, description="images of a pass held to exemplars")
    rate: float = Field(
        default=0.002, gt=0, le=0.1, description="relative to each weight if scales are folded in"
    )
    adversarial_weight: float = Field(default=0.2, ge=0, le=100)
    anchor_weight: float = Field(default=1.0, ge=0, le=100, description="of LPIPS to the exemplar")
    pixel_weight: float = Field(default=0.5, ge=0, le=100)
    truncation: float = Field(default=0.7, ge=0, le=1.5, description="psi of random faces")
    mixing: float = Field(default=0.0, ge=0, le=1, description="share of faces of two codes")


class Destylize(Section):
    """The three steps of facial destylization."""

    steps: int = Field(default=40, ge=1, le=5000, description="of step 2, on g'")
    rate: float = Field(default=0.1, gt=0, le=1)
    batch: int = Field(default=1, ge=1, le=64, description="images at once")


class Diagnose(Section):
    """Where doubt about exemplars begins, and whether to go on with a set that will not do."""

    duplicate: float = Field(
        default=0.97, gt=0, le=1, description="correlation of thumbnails of one picture, twice"
    )
    abstract: float = Field(
        default=3.0, gt=0, le=100, description="robust deviations above the set's median loss"
    )
    fewest: int = Field(default=10, ge=2, le=1000, description="good exemplars without doubt")
    refused: float = Field(default=0.5, ge=0, le=1, description="share without a usable face")
    proceed: bool = Field(default=False, description="go on with a set that will not do")


class Finetune(_Adversarial):
    """Stage 3 of progressive fine-tuning; the weights of the terms are the paper's lambdas."""

    steps: int = Field(default=200, ge=1, le=100_000)
    batch: int = Field(default=2, ge=1, le=64, description="images a pass")
    rate: float = Field(default=0.002, gt=0, le=0.1)
    adversarial: float = Field(default=0.2, ge=0, le=100)
    perceptual: float = Field(default=1.0, ge=0, le=100)
    contextual: float = Field(default=0.25, ge=0, le=100)
    matching: float = Field(default=0.25, ge=0, le=100)
    identity: float = Field(default=1.0, ge=0, le=100)
    regular: float = Field(default=0.015, ge=0, le=100)
    regularise: Literal["mod_res", "compatible"] = "mod_res"
    mixing: float = Field(default=0.9, ge=0, le=1, description="share of faces of two codes")
    truncation: float = Field(default=0.7, ge=0, le=1.5, description="psi of random faces")
    jitter: float = Field(default=0.1, ge=0, le=1, description="of style codes in W+")
    identity_goal: float = Field(
        default=0.5,
        ge=0,
        le=2,
        description="L_ID that lambda_ID is steered to at first; 0: it stays as set",
    )
    check_steps: int = Field(
        default=60, ge=0, le=100_000, description="between held-out checks; 0: the last step counts"
    )
    patience: int = Field(
        default=3, ge=0, le=1000, description="checks without gain that end it; 0: none do"
    )
    panel_faces: int = Field(default=4, ge=2, le=100, description="faces of a check")
    panel_styles: int = Field(default=8, ge=2, le=100, description="exemplars of a check")


class Refine(Section):
    """Refinement of the extrinsic codes on the trained network."""

    steps: int = Field(default=20, ge=1, le=5000)
    structure_rate: float = Field(default=0.005, gt=0, le=1)
    color_rate: float = Field(default=0.05, gt=0, le=1)
    batch: int = Field(default=1, ge=1, le=64, description="images at once")


class Sampler(Section):
    """The networks that draw new extrinsic codes."""

    epochs: int = Field(default=100, ge=1, le=100_000)
    pool: int = Field(default=1000, ge=2, le=1_000_000, description="jittered codes an epoch")
    batch: int = Field(default=128, ge=2, le=10_000)
    rate: float = Field(default=0.001, gt=0, le=0.1)
    jitter: float = Field(default=0.05, ge=0, le=1)


class Package(Section):
    """The portrait model's folder."""

    name: str = Field(default="portrait", min_length=1, max_length=100)
    structure: float = Field(default=1.0, ge=0, le=1, description="default structure weight")
    color: float = Field(default=1.0, ge=0, le=1, description="default colour weight")
    truncation: float = Field(default=1.0, ge=0, le=1.5)
    thumbnail_px: int = Field(default=128, ge=16, le=512)


class Evaluate(Section):
    """Measures; see dualstylegan.evaluation.run.Plan."""

    size: Literal[128, 256, 512, 1024] = 256
    measure_size: Literal[64, 128, 256] = 128
    contents: int | None = Field(default=None, ge=2, le=1000)
    styles: int | None = Field(default=None, ge=2, le=1000)
    diversity_pairs: int = Field(default=48, ge=1, le=10_000)
    structure: float | None = Field(default=None, ge=0, le=1)
    color: float | None = Field(default=None, ge=0, le=1)
    batch: int = Field(default=4, ge=1, le=64)
    seed: int = Field(default=0, ge=0, lt=2**31)
    resamples: int = Field(default=1000, ge=10, le=100_000)
    natural_faces: int = Field(
        default=32, ge=2, le=10_000, description="random faces that g(z_i+) are held against"
    )
    large_pairs: int = Field(
        default=4, ge=0, le=1000, description="pictures as large as the model can; 0: none"
    )
    enrol_invert_steps: int = Field(default=60, ge=1, le=5000, description="of held-out exemplars")
    enrol_refine_steps: int = Field(default=40, ge=1, le=5000)
    bfloat16: bool = True


class Leaderboard(Section):
    """The model beside simpler methods, on a part of what the evaluation has rendered."""

    faces: int = Field(default=6, ge=2, le=1000)
    styles: int = Field(default=12, ge=2, le=1000)
    pixel_steps: int = Field(default=40, ge=1, le=10_000, description="optimisation on the photo")
    pixel_size: int = Field(default=128, ge=32, le=1024, description="pixels it works at")


class Ablate(Section):
    """The method without its parts, one at a time."""

    steps: int = Field(default=0, ge=0, le=100_000, description="of each training; 0: no ablations")
    faces: int = Field(default=4, ge=2, le=1000)
    styles: int = Field(default=6, ge=2, le=1000, description="exemplars measured")


class Register(Section):
    """Model registry: who may be champion."""

    model: str = Field(default="dualstylegan", pattern=r"^[A-Za-z0-9_.-]{1,100}$")
    experiment: str = Field(default="portrait", min_length=1, max_length=100)
    measure: str = Field(
        default="kid_results", min_length=1, description="of data/reports/metrics.json"
    )
    lower_is_better: bool = True
    guard: str = Field(
        default="identity_same", description="measure that must not fall; empty: none"
    )
    guard_slack: float = Field(default=0.02, ge=0, le=1, description="by how much it may")


class Report(Section):
    """The page."""

    title: str = Field(default="Portraits, restyled", min_length=1, max_length=200)
    hero: int = Field(default=4, ge=1, le=12)
    grid_styles: int = Field(default=12, ge=1, le=100)
    triples: int = Field(default=12, ge=0, le=100)
    samples: int = Field(default=4, ge=0, le=24)


class Settings(Section):
    """All of params.yaml: a section a stage, and the profile."""

    profile: Profile = Profile()
    download: Download = Download()
    portraits: Portraits = Portraits()
    align: Align = Align()
    invert: Invert = Invert()
    adapt: Adapt = Adapt()
    destylize: Destylize = Destylize()
    diagnose: Diagnose = Diagnose()
    finetune: Finetune = Finetune()
    refine: Refine = Refine()
    sampler: Sampler = Sampler()
    package: Package = Package()
    evaluate: Evaluate = Evaluate()
    leaderboard: Leaderboard = Leaderboard()
    ablate: Ablate = Ablate()
    register_: Register = Field(default=Register(), alias="register")
    report: Report = Report()


def load(path: Path | str = DEFAULT_FILE) -> Settings:
    """Read params.yaml; what is left out has its default (SettingsError, see `read_settings`)."""
    return read_settings(Settings, path)


def read_settings(schema: type[Schema], path: Path | str) -> Schema:
    """Read a YAML file of settings and check it whole.

    Raises:
        SettingsError: the file is missing or no YAML, a key is unknown, or a value out of bounds.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            "settings cannot be read", file=path, value=error.strerror, fix="run in the project"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = " ".join(str(error).split())
        raise SettingsError(
            "not valid YAML", file=path, value=where, fix="mend the line"
        ) from error
    if not isinstance(content, dict):
        raise SettingsError("no sections", file=path, value=type(content).__name__, limit="mapping")
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        raise _explained(schema, path, error) from error


def _explained(schema: type[Section], path: Path | str, error: ValidationError) -> SettingsError:
    """The first fault of a validation as an error with key, value, limit and fix."""
    first: Any = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return SettingsError(
            f"unknown setting `{key}`",
            file=path,
            value=first["input"],
            limit=f"one of: {', '.join(_siblings(schema, first['loc'][:-1]))}",
            fix="correct the name or remove the line",
        )
    return SettingsError(
        f"setting `{key}` is refused",
        file=path,
        value=repr(first["input"]),
        limit=first["msg"],
        fix="choose a value within the limit",
    )


def _siblings(schema: type[Section], place: tuple[Any, ...]) -> list[str]:
    """Names of the settings at a place."""
    model: type[BaseModel] = schema
    for name in place:
        field = next(f for n, f in model.model_fields.items() if (f.alias or n) == name)
        assert isinstance(field.annotation, type)
        model = field.annotation
    return sorted(field.alias or name for name, field in model.model_fields.items())

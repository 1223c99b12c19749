"""Settings of the pipeline: the schema of the sections of params.yaml, never changed after reading.

params.yaml states every value; the schema states bounds and meanings and has no values of its own.
Bounds that the core checks as well are imported from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from dualstylegan.errors import SettingsError
from dualstylegan.portrait.config import EncoderPasses, FitSteps, ModelName, UnitInterval
from tasks.shared.sections import Section

DEFAULT_FILE = Path("params.yaml")
# Executor of what maps over pictures: threads of the stage's own process.
THREADS = "threads"

Seed = Annotated[int, Field(ge=0, lt=2**31)]
Weight = Annotated[float, Field(ge=0, le=100)]
LearningRate = Annotated[float, Field(gt=0, le=0.1)]
LatentRate = Annotated[float, Field(gt=0, le=1)]
LatentSteps = Annotated[int, Field(ge=1, le=5000)]
TrainingSteps = Annotated[int, Field(ge=1, le=100_000)]
BatchSize = Annotated[int, Field(ge=1, le=64)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Psi = Annotated[float, Field(ge=0, le=1.5)]
Count = Annotated[int, Field(ge=2, le=1000)]
# Measures that every evaluation writes, whatever its data: one of them decides about the champion.
DecidingMeasure = Literal[
    "diversity_lpips",
    "identity_accepted",
    "identity_recognised",
    "identity_same",
    "kid_results",
    "reconstruction_lpips",
    "style_distance",
    "style_nearer_than_mean",
    "style_nearest",
]
# Measures that must not fall: some exist for the demo's styles alone.
GuardMeasure = (
    DecidingMeasure | Literal["artefact_rate", "pastiche_identity", "pastiche_recognised"]
)


class Profile(Section):
    """Networks and arithmetic that the stages share."""

    networks: str = Field(
        min_length=1,
        description="folder of the base models: data/base, or one that `import-published` wrote",
    )
    working_size: Literal[64, 128, 256, 512, 1024] = Field(
        description="side in pixels of the images that training and optimisation see"
    )
    bfloat16: bool = Field(
        description="compute convolutions in bfloat16 where the processor has it, about twice as "
        "fast; codes, losses and measuring networks stay in float32; false: float32 throughout"
    )
    seed: Seed = Field(description="seed of trainings and of the sampler")


class PictureSteps(Section):
    """Steps between two sample grids of each training."""

    adapt: int = Field(ge=0, le=100_000, description="steps; 0: the last step alone")
    finetune: int = Field(
        ge=0, le=100_000, description="steps, beside one grid per held-out check; 0: the checks"
    )


class Machine(Section):
    """Device and threads."""

    device: Literal["auto", "cpu", "cuda"] = Field(description="auto: a GPU if there is one")
    threads: int = Field(ge=0, le=256, description="threads of torch; 0: torch's own choice")


class Runtime(Machine):
    """Cost and display: no stage becomes stale when these change.

    Results agree up to rounding whatever the device, threads and batches.
    """

    batch: BatchSize = Field(
        description="portraits per pass of inversion, destylization and refinement"
    )
    ranks: int = Field(
        ge=1,
        le=64,
        description="processes that share the passes of a training's steps (`accumulation`), each "
        "with its GPU or its share of the processors; 1: this one alone",
    )
    executor: str = Field(
        pattern=rf"^({THREADS}|(tcp|tls)://\S+:\d+)$",
        description="what maps over pictures: `threads` of this process, or the workers of a Dask "
        "cluster by the address of its scheduler, such as tcp://127.0.0.1:8786",
    )
    render_batch: BatchSize = Field(
        description="images measured per pass; the model renders them one by one"
    )
    save_seconds: float = Field(
        ge=0,
        le=3600,
        description="seconds between two saved training states; 0: save after every step",
    )
    picture_steps: PictureSteps = Field(
        description="steps between sample grids; the next training takes a change up"
    )


class GeneratedPortraits(Section):
    """Portraits that are generated where the user has none."""

    styles: int | None = Field(ge=1, le=200, description="generated exemplars; null: the whole set")
    contents: int = Field(ge=1, le=200, description="generated content faces")


class Portraits(GeneratedPortraits):
    """Sources of exemplars and content faces of a style set."""

    source: str = Field(min_length=1, description="folder, or zip archive; see `sets`")


class Align(Section):
    """FFHQ crops."""

    size: int = Field(ge=64, le=1024, description="side of a crop in pixels")
    held_out: int = Field(
        ge=0,
        le=100,
        description="exemplars kept from all training and added to the finished model; 0: none",
    )


class Pastiches(Section):
    """Ideal results: content faces painted by the recipes of generated exemplars."""

    contents: Count | None = Field(description="content faces at most, evenly taken; null: all")
    styles: int = Field(
        ge=0, le=1000, description="exemplars at most, evenly taken; 0: no ideal results"
    )


class Invert(Section):
    """Inversion of exemplars: the encoder's code, optimised in Z+ until g renders the exemplar."""

    style_steps: int = Field(
        ge=0, le=5000, description="steps per exemplar; 0: keep the encoder's code"
    )
    rate: LatentRate = Field(description="learning rate of the code")
    pixel_weight: Weight = Field(
        description="weight of the pixel loss, beside LPIPS of weight 1; 0: off"
    )


class AdversarialTraining(Section):
    """Settings that both adversarial trainings have."""

    accumulation: BatchSize = Field(description="passes per step, their gradients averaged")
    path_weight: Weight = Field(description="weight of path length regularisation; 0: off")
    path_steps: int = Field(ge=1, le=1000, description="steps between two path length penalties")
    discriminator_rate: LearningRate = Field(description="learning rate of the discriminator")
    augment: UnitInterval = Field(
        description="augmentation probability p of what the discriminator sees (with ADA: its "
        "initial value); 0: off"
    )
    augment_target: float = Field(
        ge=0, lt=1, description="target of ADA for E[sign D(real)]; 0: p stays as set"
    )
    augment_images: int = Field(
        ge=1, le=100_000_000, description="images in which ADA can raise p from 0 to 1"
    )
    average_decay: Decay = Field(
        description="decay per step of the weights' moving average; 0: the last step's weights"
    )


class Adapt(AdversarialTraining):
    """g to g': the generator fine-tuned on the exemplars."""

    steps: TrainingSteps = Field(description="steps")
    batch: BatchSize = Field(description="images per pass")
    anchored: int = Field(
        ge=0, le=64, description="images of a pass that must render an exemplar; 0: none"
    )
    rate: LearningRate = Field(
        description="learning rate of g'; relative to each weight if its scale is folded in"
    )
    adversarial_weight: Weight = Field(description="weight of the adversarial loss; 0: off")
    anchor_weight: Weight = Field(description="weight of LPIPS to the exemplar; 0: off")
    pixel_weight: Weight = Field(description="weight of the L1 loss to the exemplar; 0: off")
    truncation: Psi = Field(description="psi of random faces; 1: no truncation")
    mixing: UnitInterval = Field(description="share of random faces mixed of two codes; 0: none")


class Destylize(Section):
    """Facial destylization (section 3.1)."""

    steps: LatentSteps = Field(description="steps of latent optimisation on g' (step 2)")
    rate: LatentRate = Field(description="learning rate of the code")


class Diagnose(Section):
    """Limits of the diagnosis of a style set."""

    duplicate: float = Field(
        gt=0, le=1, description="correlation of two thumbnails from which they count as one image"
    )
    abstract: float = Field(
        gt=0,
        le=100,
        description="robust deviations above the set's median loss from which an exemplar counts "
        "as abstract",
    )
    min_exemplars: Count = Field(
        description="usable exemplars below which a set is doubtful, and above which `align` may "
        "hold some out"
    )
    refused: UnitInterval = Field(
        description="share of portraits without a usable face above which a set is refused"
    )
    proceed: bool = Field(description="train on a set that the diagnosis refuses")


class Finetune(AdversarialTraining):
    """Stage 3 of progressive fine-tuning (section 3.3); weights are the paper's lambdas."""

    steps: TrainingSteps = Field(description="steps at most; see `patience`")
    batch: BatchSize = Field(description="images per pass")
    rate: LearningRate = Field(description="learning rate of the extrinsic path")
    adversarial: Weight = Field(description="lambda_adv, of the adversarial loss; 0: off")
    perceptual: Weight = Field(description="lambda_perc, of the perceptual loss; 0: off")
    contextual: Weight = Field(description="lambda_CX, of the contextual loss; 0: off")
    matching: Weight = Field(description="lambda_FM, of feature matching; 0: off")
    identity: Weight = Field(description="lambda_ID, of the identity loss; 0: off")
    distinction: Weight = Field(
        description="lambda_dist, of the differences between the people of an unpaired pass; 0: off"
    )
    content: Weight = Field(
        description="lambda_content, of unpaired faces' features without colours; 0: off"
    )
    tone: Weight = Field(description="lambda_tone, of unpaired faces' light and dark; 0: off")
    exaggeration: float = Field(
        ge=0,
        le=2,
        description="strength of the exemplars' shapes in the faces that L_con compares with; 0: "
        "the faces themselves, as in the paper",
    )
    regular: Weight = Field(description="lambda_reg, of the weight regularisation; 0: off")
    regularise: Literal["mod_res", "compatible"] = Field(
        description="parts that L_reg covers: ModRes alone, as in the paper, or ModRes and T_c, as "
        "in the published code"
    )
    variety: UnitInterval = Field(
        description="variance that a row of a random face's code has of its own, at most; 0: none"
    )
    mixing: UnitInterval = Field(description="share of random faces mixed of two codes; 0: none")
    truncation: Psi = Field(description="psi of random faces; 1: no truncation")
    jitter: UnitInterval = Field(
        description="standard deviation of the noise on style codes in W+; 0: off"
    )
    check_steps: int = Field(
        ge=0,
        le=100_000,
        description="steps between held-out checks, the best of which is kept; 0: no checks, the "
        "last step is kept",
    )
    patience: int = Field(
        ge=0, le=1000, description="checks without gain that end the training; 0: never"
    )
    panel_faces: int = Field(ge=2, le=100, description="random faces per held-out check")
    panel_styles: int = Field(ge=2, le=100, description="exemplars per held-out check, at most")


class Refine(Section):
    """Refinement of the extrinsic codes on the trained network."""

    steps: LatentSteps = Field(description="steps per exemplar")
    structure_rate: LatentRate = Field(description="learning rate of the structure rows")
    color_rate: LatentRate = Field(description="learning rate of the colour rows")


class Sampler(Section):
    """Sampling networks of extrinsic codes (section 3.4)."""

    epochs: TrainingSteps = Field(description="passes over the pool")
    pool: int = Field(ge=2, le=1_000_000, description="jittered codes per epoch")
    batch: int = Field(ge=2, le=10_000, description="codes per step")
    rate: LearningRate = Field(description="initial learning rate, halved four times")
    jitter: UnitInterval = Field(description="standard deviation of the noise on codes; 0: off")


class Package(Section):
    """The portrait model's folder: its name and its defaults.

    `fit_*`: fit of a code to a face, the same for content faces and for users' photos.
    """

    name: ModelName = Field(description="name of the model")
    structure: UnitInterval = Field(
        description="default weight of the structure rows; 0: the face's own structure"
    )
    color: UnitInterval = Field(
        description="default weight of the colour rows; 0: the face's own colours"
    )
    truncation: UnitInterval = Field(description="default psi of the face's code; 1: no truncation")
    fit_steps: FitSteps = Field(description="steps per face; 0: keep the encoder's code")
    fit_passes: EncoderPasses = Field(description="passes of the encoder over a face (ReStyle)")
    fit_rate: LatentRate = Field(description="learning rate of the code")
    fit_pixel_weight: Weight = Field(
        description="weight of the pixel loss, beside LPIPS of weight 1; 0: off"
    )
    fit_identity_weight: Weight = Field(
        description="weight of the identity distance (dlib's) to the face; 0: off"
    )
    fit_restyled_weight: Weight = Field(
        description="weight of the identity distance of the face's restylings; 0: off"
    )
    fit_likeness_line: UnitInterval = Field(
        description="identity similarity of the fitted face below which `transfer` warns; 0: never"
    )
    card_faces: int = Field(
        ge=0,
        le=100,
        description="content faces that the model card shows, the worst fitted ones; 0: none, for "
        "private photos",
    )
    thumbnail_px: int = Field(ge=16, le=512, description="side of an exemplar's thumbnail, pixels")


class Evaluate(Section):
    """Measures of the packaged model."""

    size: Literal[128, 256, 512, 1024] = Field(description="side of the results in pixels")
    measure_size: Literal[64, 128, 256] = Field(
        description="side in pixels at which VGG16 sees them; 128 costs a quarter of 256"
    )
    contents: Count | None = Field(description="content faces, evenly taken; null: all")
    styles: Count | None = Field(description="exemplars, evenly taken; null: all")
    diversity_pairs: int = Field(
        ge=1, le=10_000, description="pairs of exemplars per face whose results are compared"
    )
    structure: UnitInterval | None = Field(
        description="structure weight of the results; null: the model's default"
    )
    color: UnitInterval | None = Field(
        description="colour weight of the results; null: the model's default"
    )
    seed: Seed = Field(description="seed of the bootstrap and of the choice of pairs")
    resamples: int = Field(ge=10, le=100_000, description="bootstrap resamples per interval")
    natural_faces: int = Field(
        ge=2, le=10_000, description="random faces that g(z_i+) is compared with"
    )
    large_pairs: int = Field(
        ge=0, le=1000, description="pairs rendered at the model's largest size; 0: none"
    )
    painted_pairs: int = Field(
        ge=0,
        le=1000,
        description="pairs of face and exemplar for the painted faces and the curve of structure "
        "weights; 0: neither",
    )
    held_out_invert_steps: FitSteps = Field(
        description="inversion steps per held-out exemplar added to the model; 0: keep E's code"
    )
    held_out_refine_steps: LatentSteps = Field(
        description="refinement steps per held-out exemplar added to the model"
    )


class Leaderboard(Section):
    """Comparison with simpler methods, on a part of what the evaluation rendered."""

    faces: Count = Field(description="content faces at most")
    styles: Count = Field(description="exemplars at most")
    pixel_steps: int = Field(ge=1, le=10_000, description="steps of the pixel optimisation")
    pixel_size: int = Field(ge=32, le=1024, description="side in pixels of the pixel optimisation")


class Ablate(Section):
    """Ablation study: stage 3 without its parts, one at a time."""

    steps: int = Field(ge=0, le=100_000, description="steps per training; 0: no ablations")
    faces: Count = Field(description="content faces measured, at most")
    styles: Count = Field(description="exemplars measured, at most")


class Register(Section):
    """Model registry, and the rule by which a new version becomes champion."""

    model: str = Field(
        pattern=r"^([A-Za-z0-9_.-]|\{set\}){1,100}$",
        description="name in the registry; {set} stands for the name of the style set",
    )
    experiment: str = Field(min_length=1, max_length=100, description="MLflow experiment of runs")
    measure: DecidingMeasure = Field(
        description="measure that must improve: the 95 % interval of its difference to the "
        "champion's lies on the better side of zero"
    )
    guard: tuple[GuardMeasure, ...] = Field(
        description="measures that must not get worse; one that a version lacks is not compared; "
        "[]: none"
    )
    guard_slack: UnitInterval = Field(
        description="amount by which a measure of `guard` may be worse than the champion's"
    )


class Report(Section):
    """The report page."""

    title: str = Field(min_length=1, max_length=200, description="heading of the page")
    hero: int = Field(ge=1, le=12, description="results at the top")
    grid_styles: int = Field(ge=1, le=100, description="exemplars in the grid of results, at most")
    pastiches: int = Field(
        ge=0, le=24, description="results shown beside ideal ones, at most; 0: none"
    )
    triples: int = Field(ge=0, le=100, description="destylization triples, at most; 0: none")
    samples: int = Field(ge=0, le=24, description="sample grids per training, at most; 0: none")


class Sections(Section):
    """Sections of params.yaml that hold for all style sets: one per stage, and shared ones."""

    profile: Profile
    runtime: Runtime
    align: Align
    pastiches: Pastiches
    invert: Invert
    adapt: Adapt
    destylize: Destylize
    diagnose: Diagnose
    finetune: Finetune
    refine: Refine
    sampler: Sampler
    package: Package
    evaluate: Evaluate
    leaderboard: Leaderboard
    ablate: Ablate
    register_: Register = Field(alias="register")
    report: Report


class Settings(Sections):
    """Settings of one style set."""

    portraits: Portraits


def check_together(settings: Settings, path: Path | str) -> None:
    """Refuse settings that are each within bounds and that a later stage cannot serve together.

    Raises:
        SettingsError: the first setting that exceeds another one.
    """
    of, profile, adapt = settings.evaluate, settings.profile, settings.adapt
    board, ablate = settings.leaderboard, settings.ablate
    limits: list[tuple[str, int, str, int | None]] = [
        ("profile.working_size", profile.working_size, "align.size", settings.align.size),
        ("adapt.anchored", adapt.anchored, "adapt.batch", adapt.batch),
        ("evaluate.measure_size", of.measure_size, "evaluate.size", of.size),
        ("leaderboard.faces", board.faces, "evaluate.contents", of.contents),
        ("leaderboard.styles", board.styles, "evaluate.styles", of.styles),
    ]
    if ablate.steps:
        limits += [
            ("ablate.faces", ablate.faces, "evaluate.contents", of.contents),
            ("ablate.styles", ablate.styles, "evaluate.styles", of.styles),
        ]
    for name, value, other, limit in limits:
        if limit is not None and value > limit:
            raise SettingsError(
                f"setting `{name}` exceeds `{other}`",
                file=path,
                value=value,
                limit=limit,
                fix=f"lower `{name}` or raise `{other}`",
            )

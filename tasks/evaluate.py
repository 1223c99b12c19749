"""Stage `evaluate`: measures of the packaged model on held-out faces, and the report's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.codes.tables import read_codes
from dualstylegan.errors import DataError
from dualstylegan.evaluation.descriptions import Renderings
from dualstylegan.evaluation.eval_set import Progress
from dualstylegan.evaluation.extractor import FeatureExtractor
from dualstylegan.evaluation.landmarks import PlausibleLandmarks
from dualstylegan.evaluation.run import (
    SWEEP_WEIGHTS,
    Evaluation,
    EvaluationPlan,
    Portrait,
    evaluate,
    stack,
)
from dualstylegan.io.files import atomic_directory, atomic_write, write_json
from dualstylegan.io.images import list_images, read_image, write_png
from dualstylegan.networks.loading import load_identity, load_perceptual
from dualstylegan.portrait.add_style import AddStyleSettings
from dualstylegan.portrait.model import PortraitModel
from tasks.shared import runner as common
from tasks.shared.held_out import add_styles
from tasks.shared.runner import prepare
from tasks.shared.settings import Settings

MODEL = Path("data/models/portrait")
CONTENTS = Path("data/aligned/content")
CODES = Path("data/codes/content.parquet")
EXEMPLARS = Path("data/aligned/style")
HELD_OUT = Path("data/aligned/held_out")
WEIGHTS = Path("data/weights")
METRICS = Path("data/reports/metrics.json")
OUT = Path("data/reports/evaluation")


def portraits(folder: Path, names: Sequence[str] | None = None) -> list[Portrait]:
    """Aligned portraits of a folder by name: all, or those named.

    Raises:
        DataError: a named one is missing.
    """
    found = {path.stem: path for path in list_images(folder)}
    wanted = sorted(found) if names is None else list(names)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(
            "aligned portraits are missing",
            file=folder,
            value=", ".join(missing[:5]),
            fix="run the stage align, then package",
        )
    return [(name, read_image(found[name])) for name in wanted]


def to_picture(picture: Tensor) -> Image.Image:
    """uint8 (3, H, W) as an image."""
    return Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())


def write_rendered(
    rendered: Renderings, contents: Sequence[str], styles: Sequence[str], out: Path
) -> None:
    """`results/FACE/STYLE.png` and `reconstructions/STYLE.png`."""
    for content, row in zip(contents, rendered.results, strict=True):
        for style, picture in zip(styles, row, strict=True):
            write_png(out / "results" / content / f"{style}.png", to_picture(picture))
    for style, picture in zip(styles, rendered.reconstructions, strict=True):
        write_png(out / "reconstructions" / f"{style}.png", to_picture(picture))


def read_rendered(contents: Sequence[str], styles: Sequence[str], size: int) -> Renderings:
    """Pictures of some faces and exemplars as `write_rendered` wrote them."""
    results = [stack(portraits(OUT / "results" / content, styles), size) for content in contents]
    own = stack(portraits(OUT / "reconstructions", styles), size)
    return Renderings(torch.stack(results), own)


def write_pictures(found: Evaluation, out: Path) -> None:
    """Results, reconstructions and the weight sweep as PNG files.

    `results` and `reconstructions` hold added styles, too; `sweep/STRUCTURE_COLOR.png` is in
    percent.
    """
    write_rendered(found.renderings, found.contents, found.styles, out)
    if found.held_out_renderings is not None:
        write_rendered(found.held_out_renderings, found.contents, found.held_out, out)
    for structure, pictures in zip(SWEEP_WEIGHTS, found.sweep, strict=True):
        for color, picture in zip(SWEEP_WEIGHTS, pictures, strict=True):
            name = f"{100 * structure:03.0f}_{100 * color:03.0f}.png"
            write_png(out / "sweep" / name, to_picture(picture))


def write_tables(found: Evaluation, out: Path) -> None:
    """pairs.parquet with a row a result; styles.csv and ranks.csv for `dvc plots`."""
    import pandas as pd

    index = pd.MultiIndex.from_product([found.contents, found.styles], names=["content", "style"])
    columns = {name: values.ravel() for name, values in found.table.columns().items()}
    pairs = pd.DataFrame(columns, index=index).reset_index()
    with atomic_write(out / "pairs.parquet") as handle:
        pairs.to_parquet(handle)
    measured = ["identity", "own_distance", "other_distance", "rank"]
    styles = pairs.groupby("style")[measured].mean()
    styles["reconstruction_lpips"] = pd.Series(found.reconstruction_S, index=list(found.styles))
    with atomic_write(out / "styles.csv") as handle:
        handle.write(styles.round(5).reset_index().to_csv(index=False).encode())
    reached = [(pairs["rank"] <= place).mean() for place in range(1, len(found.styles) + 1)]
    ranks = pd.DataFrame({"rank": range(1, len(reached) + 1), "share": reached})
    with atomic_write(out / "ranks.csv") as handle:
        handle.write(ranks.round(5).to_csv(index=False).encode())


def write_evaluation(found: Evaluation) -> None:
    """Everything under data/reports that this stage makes; the figures come last."""
    with atomic_directory(OUT) as out:
        write_pictures(found, out)
        write_tables(found, out)
        facts = {
            "contents": found.contents,
            "styles": found.styles,
            "held_out": found.held_out,
            "sweep": {
                "content": found.contents[0],
                "style": found.styles[0],
                "steps": SWEEP_WEIGHTS,
            },
        }
        write_json(out / "evaluation.json", facts)
    write_json(METRICS, {name: figure.as_dict() for name, figure in found.figures.items()})


def open_extractor(plan: EvaluationPlan, device: torch.device | str) -> FeatureExtractor:
    """The measuring networks."""
    place = torch.device(device)
    perceptual, identity = load_perceptual(WEIGHTS).to(place), load_identity(WEIGHTS).to(place)
    landmarks = PlausibleLandmarks(WEIGHTS)
    return FeatureExtractor(perceptual, identity, landmarks, plan.measure_size, plan.batch, place)


def run(settings: Settings, progress: Progress) -> Evaluation:
    """Evaluate the packaged model and write what was found."""
    chosen, plan = settings.evaluate, plan_of(settings)
    device = prepare(settings.runtime)
    model = PortraitModel.from_pretrained(MODEL, device=device, weights_dir=WEIGHTS)
    trained = model.styles.names
    held_out = portraits(HELD_OUT) if HELD_OUT.is_dir() else []
    budget = AddStyleSettings(chosen.held_out_invert_steps, chosen.held_out_refine_steps)
    model = add_styles(model, held_out, budget, settings.profile)
    codes = read_codes(CODES)
    found = evaluate(
        model,
        portraits(CONTENTS),
        dict(zip(codes.names, codes.codes_NLD, strict=True)),
        portraits(EXEMPLARS, trained),
        held_out,
        open_extractor(plan, device),
        plan,
        progress,
    )
    write_evaluation(found)
    return found


def plan_of(settings: Settings) -> EvaluationPlan:
    """Return the evaluation's plan from the settings."""
    chosen = settings.evaluate.model_dump(
        exclude={"held_out_invert_steps", "held_out_refine_steps"}
    )
    return EvaluationPlan(
        **chosen, batch=settings.runtime.render_batch, bfloat16=settings.profile.bfloat16
    )


def main() -> None:
    """`python -m tasks.evaluate`."""
    settings = common.load_settings()
    work = partial(run, settings, common.parts_shown())
    common.run_stage("evaluate", work)


if __name__ == "__main__":
    main()

"""Stage `evaluate`: measures of the packaged model on held-out faces, and the report's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.errors import DataError
from dualstylegan.evaluation.gallery import Progress
from dualstylegan.evaluation.run import SWEEP_STEPS, Evaluation, Plan, Portrait, evaluate
from dualstylegan.files import atomic_directory, atomic_write, write_json
from dualstylegan.images import list_images, read_image, write_png
from dualstylegan.latents import read_codes
from dualstylegan.models import load_identity, load_perceptual
from dualstylegan.transfer import PortraitModel
from tasks import common
from tasks.batches import prepare

MODEL = Path("data/models/portrait")
CONTENTS = Path("data/aligned/content")
CODES = Path("data/codes/content.parquet")
EXEMPLARS = Path("data/aligned/style")
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


def write_pictures(found: Evaluation, out: Path) -> None:
    """Results, reconstructions and the weight sweep as PNG files.

    `results/FACE/STYLE.png`, `reconstructions/STYLE.png`, `sweep/STRUCTURE_COLOR.png` in percent.
    """
    for content, row in zip(found.contents, found.results, strict=True):
        for style, picture in zip(found.styles, row, strict=True):
            write_png(out / "results" / content / f"{style}.png", to_picture(picture))
    for style, picture in zip(found.styles, found.reconstructions, strict=True):
        write_png(out / "reconstructions" / f"{style}.png", to_picture(picture))
    for structure, pictures in zip(SWEEP_STEPS, found.sweep, strict=True):
        for color, picture in zip(SWEEP_STEPS, pictures, strict=True):
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
            "sweep": {
                "content": found.contents[0],
                "style": found.styles[0],
                "steps": SWEEP_STEPS,
            },
        }
        write_json(out / "evaluation.json", facts)
    write_json(METRICS, {name: figure.as_dict() for name, figure in found.figures.items()})


def run(plan: Plan, device: torch.device | str, progress: Progress) -> Evaluation:
    """Evaluate the packaged model and write what was found."""
    model = PortraitModel.from_pretrained(MODEL, device=device, weights_dir=WEIGHTS)
    codes = read_codes(CODES)
    found = evaluate(
        model,
        portraits(CONTENTS),
        dict(zip(codes.names, codes.codes_NLD, strict=True)),
        portraits(EXEMPLARS, model.styles.names),
        load_perceptual(WEIGHTS).to(model.device),
        load_identity(WEIGHTS).to(model.device),
        plan,
        progress,
    )
    write_evaluation(found)
    return found


def main() -> None:
    """`python -m tasks.evaluate`."""
    settings = common.load_settings()
    plan = Plan(**settings.evaluate.model_dump())
    device = prepare(settings.profile)
    common.run_stage("evaluate", lambda: run(plan, device, common.parts_shown()))


if __name__ == "__main__":
    main()

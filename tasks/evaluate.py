"""Stage `evaluate`: measures of the packaged model on held-out faces, and all rendered images."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from dualstylegan.codes.tables import read_codes
from dualstylegan.evaluation.baselines import pixel_optimisation
from dualstylegan.evaluation.bootstrap import Interval
from dualstylegan.evaluation.eval_set import Progress, RestyleMethod
from dualstylegan.evaluation.extractor import FeatureExtractor
from dualstylegan.evaluation.full_size import Originals
from dualstylegan.evaluation.identity_lines import SWEEP_WEIGHTS
from dualstylegan.evaluation.measures import IDENTITY_MEASURE
from dualstylegan.evaluation.plan import EvaluationPlan
from dualstylegan.evaluation.run import Evaluation, evaluate
from dualstylegan.faces.geometry import crop_quad, quad_side
from dualstylegan.faces.plausible import PlausibleLandmarks
from dualstylegan.io.files import atomic_directory, atomic_write, write_json
from dualstylegan.io.images import read_image
from dualstylegan.networks.loading import load_facenet, load_identity, load_perceptual
from tasks.shared.aligned import read_aligned, read_frames
from tasks.shared.dataframes import read_dataframe, write_dataframe
from tasks.shared.networks import place
from tasks.shared.pastiches import read_pastiches
from tasks.shared.paths import Paths
from tasks.shared.progress import progress_by_name
from tasks.shared.renderings import EvaluationFiles
from tasks.shared.results import open_evaluated, plan_of, renderer_of
from tasks.shared.runner import load_settings, prepare, run_stage
from tasks.shared.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

# Values that tell at a glance whether a model is good; see docs/evaluation.md for each.
HEADLINE = (
    "kid_results",
    "style_nearest",
    "structure_own",
    "identity_same",
    "identity_recognised",
    "pastiche_lpips",
    "pastiche_identity",
    "pastiche_recognised",
    "reconstruction_lpips",
    "artefact_rate",
    "enrolled_style_nearest",
)


def write_tables(evaluation: Evaluation, out: Path) -> None:
    """Write pairs.parquet with one row per result, faces.csv, and three tables for `dvc plots`."""
    import pandas as pd

    index = pd.MultiIndex.from_product(
        [evaluation.contents, evaluation.styles], names=["content", "style"]
    )
    columns = {name: values.ravel() for name, values in evaluation.table.columns().items()}
    pairs = pd.DataFrame(columns, index=index)
    if evaluation.pastiches is not None and evaluation.pastiche_table is not None:
        judged = evaluation.pastiche_table.columns()
        own = [
            (evaluation.contents[face], evaluation.styles[style])
            for face, style in evaluation.pastiches.pairs
        ]
        rows = pd.MultiIndex.from_tuples(own, names=index.names)
        pairs = pairs.join(pd.DataFrame({k: v.ravel() for k, v in judged.items()}, index=rows))
    pairs = pairs.reset_index()
    write_dataframe(out / "pairs.parquet", pairs)
    measured = ["identity", "own_distance", "other_distance", "rank"]
    styles = pairs.groupby("style")[measured].mean()
    styles["reconstruction_lpips"] = pd.Series(
        evaluation.reconstruction_S, index=list(evaluation.styles)
    )
    _write_csv(out / "styles.csv", styles.reset_index())
    count = len(evaluation.styles)
    reached = [(pairs["rank"] <= rank).mean() for rank in range(1, count + 1)]
    ranks = pd.DataFrame({"rank": range(1, len(reached) + 1), "share": reached})
    _write_csv(out / "ranks.csv", ranks)
    faces = pd.DataFrame(
        {
            "content": evaluation.contents,
            "identity_code": evaluation.lines.rendered_C,
            "identity_results": evaluation.table.identity.mean(1),
        }
    )
    _write_csv(out / "faces.csv", faces)
    columns_of_curve = ["structure", "color", "identity", "identity_low", "identity_high"]
    columns_of_curve += ["style_distance", "style_nearest"]
    if evaluation.lines.curve:
        columns_of_curve += list(evaluation.lines.curve[0].pastiche)
    curve = [
        (
            point.structure,
            point.color,
            *(point.identity.value, point.identity.low, point.identity.high),
            point.style_distance.value,
            point.style_nearest.value,
            *(figure.value for figure in point.pastiche.values()),
        )
        for point in evaluation.lines.curve
    ]
    _write_csv(out / "structure_curve.csv", pd.DataFrame(curve, columns=columns_of_curve))


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    with atomic_write(path) as handle:
        handle.write(table.round(5).to_csv(index=False).encode())


def write_images(evaluation: Evaluation, files: EvaluationFiles) -> None:
    """Write results, reconstructions, g(code) of each face, the weight sweep and the overview grid.

    Results and reconstructions include those of the held-out exemplars.
    """
    files.write_renderings(evaluation.renderings, evaluation.contents, evaluation.styles)
    if evaluation.held_out_renderings is not None:
        files.write_renderings(
            evaluation.held_out_renderings, evaluation.contents, evaluation.held_out
        )
    files.write_rendered_codes(evaluation.lines.rendered_CCHW, evaluation.contents)
    files.write_sweep(evaluation.sweep)
    files.write_grid(evaluation.eval_set, evaluation.renderings)


def headline(figures: Mapping[str, Interval]) -> dict[str, float]:
    """Return the few values that tell whether a model is good, rounded to 4 digits."""
    return {key: round(figures[key].value, 4) for key in HEADLINE if key in figures}


def write_evaluation(evaluation: Evaluation) -> None:
    """Write everything under the set's reports that this stage makes; the figures come last."""
    with atomic_directory(Paths.evaluation) as out:
        write_images(evaluation, EvaluationFiles(out))
        write_tables(evaluation, out)
        facts = {
            "contents": evaluation.contents,
            "styles": evaluation.styles,
            "held_out": evaluation.held_out,
            "identity_measure": IDENTITY_MEASURE,
            "sweep": {
                "content": evaluation.contents[0],
                "style": evaluation.styles[0],
                "steps": SWEEP_WEIGHTS,
            },
        }
        write_json(out / "evaluation.json", facts)
    write_json(Paths.headline_metrics, headline(evaluation.figures))
    write_json(
        Paths.metrics, {name: figure.as_dict() for name, figure in evaluation.figures.items()}
    )


def open_extractor(plan: EvaluationPlan, device: torch.device | str) -> FeatureExtractor:
    """Load the measuring networks."""
    return FeatureExtractor(
        load_perceptual(Paths.weights).to(device),
        load_facenet(Paths.weights).to(device),
        load_identity(Paths.weights).to(device),
        PlausibleLandmarks(Paths.weights),
        plan.measure_size,
        plan.batch,
        torch.device(device),
    )


def pixel_painter(settings: Settings, device: torch.device | str) -> RestyleMethod:
    """Return pixel optimisation, which paints a face and warps nothing, at the leaderboard's size.

    It computes in the profile's precision, about four times as fast in bfloat16.
    """
    chosen = settings.leaderboard
    perceptual = place(load_perceptual(Paths.weights), settings.profile, device)
    return pixel_optimisation(perceptual, chosen.pixel_steps, chosen.pixel_size)


def read_originals() -> Originals:
    """Return a function that crops an exemplar, by name, at the resolution of its file."""
    table = read_dataframe(Paths.manifest, ["kind", "name", "file", "quad"])
    exemplars = table[table["kind"] == Paths.exemplars.name].set_index("name")

    def crop(name: str) -> Image.Image:
        row = exemplars.loc[name]
        quad_Q2 = np.array(row["quad"], np.float64).reshape(4, 2)
        portrait = read_image(Paths.portraits / Paths.exemplars.name / row["file"])
        return crop_quad(portrait, quad_Q2, round(quad_side(quad_Q2)))

    return crop


def run(settings: Settings, progress: Progress) -> Evaluation:
    """Evaluate the packaged model and write figures and images."""
    plan, device = plan_of(settings), prepare(settings.runtime)
    model, trained, held_out, style_frames = open_evaluated(settings, device)
    codes = read_codes(Paths.content_codes)
    faces = read_aligned(Paths.faces)
    evaluation = evaluate(
        model,
        faces,
        dict(zip(codes.names, codes.codes_NLD, strict=True)),
        read_aligned(Paths.exemplars, trained),
        held_out,
        open_extractor(plan, device),
        plan,
        progress,
        pixel_painter(settings, device),
        read_originals(),
        read_frames(Paths.faces, [name for name, _ in faces]),
        style_frames,
        read_pastiches(),
        renderer_of(model, plan, settings),
    )
    write_evaluation(evaluation)
    return evaluation


def main() -> None:
    """Run `python -m tasks.evaluate [SET]`."""
    settings = load_settings()
    work = partial(run, settings, progress_by_name())
    run_stage("evaluate", work)


if __name__ == "__main__":
    main()

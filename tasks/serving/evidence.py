"""Evidence of a version in its run: parameters, measures, tables of results, pictures, card."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualstylegan.io.files import read_json
from dualstylegan.networks.config import CARD_FILE
from dualstylegan.portrait.config import CARD_IMAGES, LICENCE_FILE, THUMBNAILS
from tasks.serving.gate import Measured
from tasks.shared.datasets import log_datasets
from tasks.shared.paths import Paths
from tasks.shared.runs import log_facts, modified_ms
from tasks.shared.settings import Settings
from tasks.shared.tracking import flat

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

# Tag of a run: the measure behind its figures of identity, as evaluation.json names it.
IDENTITY_MEASURE = "identity_measure"
# Measure of runs and evaluations that name none: they were made before there was another.
FIRST_IDENTITY_MEASURE = "dlib-distance"
PAIRS, MEASURES = "pairs.json", "measures.json"
TABLES = "mlflow.loggedArtifacts"  # tag by which MLflow's page finds tables
# MLflow takes 5000 characters of a description.
INTRODUCTION_CHARACTERS = 1500


def identity_measure() -> str:
    """Return the name of the measure behind the evaluation's figures of identity."""
    facts = Paths.evaluation / "evaluation.json"
    named = read_json(facts).get(IDENTITY_MEASURE) if facts.is_file() else None
    return str(named or FIRST_IDENTITY_MEASURE)


def measures() -> dict[str, float]:
    """Return metrics.json as flat numbers: NAME, NAME.low, NAME.high."""
    found: dict[str, float] = {}
    for name, figure in read_json(Paths.metrics).items():
        found[name] = float(figure["value"])
        found |= {f"{name}.{end}": float(figure[end]) for end in ("low", "high")}
    return found


def pairs_table() -> pd.DataFrame | None:
    """Return the evaluation's table of results; None where there is none."""
    from tasks.shared.dataframes import read_dataframe

    path = Paths.evaluation / "pairs.parquet"
    return read_dataframe(path) if path.is_file() else None


def log_evidence(client: MlflowClient, run: str, settings: Settings) -> None:
    """Log all of it to a run; what is logged twice is stored once."""
    parameters = flat(settings.model_dump(mode="json", by_alias=True))
    client.set_tag(run, IDENTITY_MEASURE, identity_measure())
    log_facts(client, run, parameters, measures(), modified_ms(Paths.metrics))
    log_datasets(client, run, "register")
    _log_tables(client, run)
    evaluation, portrait = Paths.evaluation, Paths.portrait
    if (evaluation / "grid.jpg").is_file():
        client.log_artifact(run, str(evaluation / "grid.jpg"), "pictures")
    for folder, place in (
        (evaluation / "sweep", "pictures/sweep"),
        (portrait / THUMBNAILS, "pictures/styles"),
    ):
        if folder.is_dir() and any(folder.iterdir()):
            client.log_artifacts(run, str(folder), place)
    for name in (CARD_FILE, LICENCE_FILE, *CARD_IMAGES):
        if (portrait / name).is_file():
            client.log_artifact(run, str(portrait / name), "card")


def _log_tables(client: MlflowClient, run: str) -> None:
    """Log measures with their intervals, and the results of every face in every style."""
    import pandas as pd

    figures = read_json(Paths.metrics)
    rows = [{"measure": name, **figure} for name, figure in sorted(figures.items())]
    tables = {MEASURES: pd.DataFrame(rows, columns=["measure", "value", "low", "high"])}
    pairs = pairs_table()
    if pairs is not None:
        tables[PAIRS] = pairs
    # not by `log_table`, which appends to what a killed process has logged
    for name, table in tables.items():
        client.log_text(run, str(table.to_json(orient="split", index=False)), name)
    client.set_tag(run, TABLES, json.dumps([{"path": name, "type": "table"} for name in tables]))


def measured_by(client: MlflowClient, version: Any) -> Measured:
    """Return what a version's run holds of its measures."""
    run = client.get_run(version.run_id)
    return Measured(
        f"version {version.version}",
        run.data.metrics,
        _logged_pairs(client, version.run_id),
        run.data.tags.get(IDENTITY_MEASURE, FIRST_IDENTITY_MEASURE),
    )


def _logged_pairs(client: MlflowClient, run: str) -> pd.DataFrame | None:
    """Return the table of results of a run; None if it has none."""
    import mlflow
    import pandas as pd

    if PAIRS not in {file.path for file in client.list_artifacts(run)}:
        return None
    content = json.loads(mlflow.artifacts.load_text(f"runs:/{run}/{PAIRS}"))
    return pd.DataFrame(content["data"], columns=content["columns"])


def introduction(card: Path) -> str:
    """Return the beginning of a model card as a description: no front matter, picture or code."""
    if not card.is_file():
        return ""
    text = re.sub(r"\A---\n.*?\n---\n", "", card.read_text("utf-8"), flags=re.DOTALL)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)|<[^>]+>", "", text)
    text = re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text)  # links into the folder
    head = re.split(r"^## ", text, maxsplit=1, flags=re.MULTILINE)[0].strip()
    return head[:INTRODUCTION_CHARACTERS]

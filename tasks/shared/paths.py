"""Every path of the pipeline, relative to the project's folder."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# Kinds of portraits: exemplars of the style, and faces to restyle. Both name folders.
KINDS = ("style", "content")
# State of an unfinished training, in the folder of its run.
STATE_FILE = "state.safetensors"
# Style set of the shipped params.yaml, which has no portraits of its own.
DEMO = "demo"


class Paths:
    """Files and folders that the stages read and write.

    A process works on one style set at a time: on DEMO until `open_set` names another. What all
    sets share stands first; `style_set` is the folder of the set, with all the rest inside.
    """

    data = Path("data")
    base = data / "base"
    gallery = data / "gallery.html"
    # a folder per set with what the gallery shows of it
    cards = data / "cards"

    weights = data / "weights"
    weights_record = weights / "provenance.json"

    # results by content, which sets may share
    cache = data / "cache"
    downloads = cache / "downloads"
    base_build = cache / "base"

    sets = data / "sets"
    style_set = sets / DEMO
    settings = style_set / "settings.json"
    # of unfinished trainings
    runs = style_set / "runs"

    portraits = style_set / "portraits"
    portraits_record = portraits / "provenance.parquet"

    aligned = style_set / "aligned"
    exemplars = aligned / "style"
    faces = aligned / "content"
    held_out = aligned / "held_out"
    manifest = aligned / "manifest.parquet"

    pastiches = style_set / "pastiches"
    pastiches_record = pastiches / "pastiches.parquet"

    codes = style_set / "codes"
    style_codes = codes / "style.parquet"
    content_codes = codes / "content.parquet"
    extrinsic_codes = codes / "exstyle.parquet"
    intrinsic_codes = codes / "instyle.parquet"
    refined_codes = codes / "refined.parquet"
    triples = codes / "destylization"
    diagnosed = codes / "diagnosed.json"

    models = style_set / "models"
    adapted = models / "adapted"
    finetuned = models / "finetuned"
    sampler = models / "sampler"
    portrait = models / "portrait"

    reports = style_set / "reports"
    diagnosis_page = reports / "diagnosis.html"
    diagnosis = reports / "diagnosis.json"
    evaluation = reports / "evaluation"
    metrics = reports / "metrics.json"
    headline_metrics = reports / "headline.json"
    leaderboard = reports / "leaderboard"
    ablations = reports / "ablations"
    registration = reports / "registration.json"
    plots = reports / "plots"
    report = reports / "report.html"
    speed = reports / "speed.json"
    timings = reports / "timings"
    pipeline = timings / "pipeline" / "run.json"
    added_seconds = timings / "enrolment" / "seconds.json"

    @classmethod
    def open_set(cls, name: str) -> None:
        """Name the style set that this process works on."""
        before, after = cls.style_set, cls.sets / name
        for key, path in list(vars(cls).items()):
            if isinstance(path, Path) and path.is_relative_to(before):
                setattr(cls, key, after / path.relative_to(before))

    @classmethod
    def trained(cls) -> dict[str, Path]:
        """Return the outputs of the trainings by stage."""
        return {"adapt": cls.adapted, "finetune": cls.finetuned}

    @classmethod
    def set_name(cls) -> str:
        """Return the name of the style set that this process works on."""
        return cls.style_set.name

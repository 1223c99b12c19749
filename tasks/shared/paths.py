"""Every path of the pipeline, relative to the project's folder."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# Kinds of portraits: exemplars of the style, and faces to restyle. Both name folders.
KINDS = ("style", "content")
# State of an unfinished training, in the folder of its run.
STATE_FILE = "state.safetensors"


class Paths:
    """Files and folders that the stages read and write."""

    data = Path("data")
    base = data / "base"

    weights = data / "weights"
    weights_record = weights / "provenance.json"

    portraits = data / "portraits"
    portraits_record = portraits / "provenance.parquet"

    aligned = data / "aligned"
    exemplars = aligned / "style"
    faces = aligned / "content"
    held_out = aligned / "held_out"
    manifest = aligned / "manifest.parquet"

    pastiches = data / "pastiches"
    pastiches_record = pastiches / "pastiches.parquet"

    codes = data / "codes"
    style_codes = codes / "style.parquet"
    content_codes = codes / "content.parquet"
    extrinsic_codes = codes / "exstyle.parquet"
    intrinsic_codes = codes / "instyle.parquet"
    refined_codes = codes / "refined.parquet"
    triples = codes / "destylization"
    diagnosed = codes / "diagnosed.json"

    models = data / "models"
    adapted = models / "adapted"
    finetuned = models / "finetuned"
    trained = {"adapt": adapted, "finetune": finetuned}  # noqa: RUF012
    sampler = models / "sampler"
    portrait = models / "portrait"

    reports = data / "reports"
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
    added_seconds = timings / "enrolment" / "seconds.json"

    cache = data / "cache"
    downloads = cache / "downloads"
    base_build = cache / "base"

"""The command `dualstylegan transfer` into a folder: progress, lines, summary, contact sheet."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dualstylegan.cli.reporting import LOGGER, progress, say
from dualstylegan.cli.transfer import (
    CONTACT_SHEET,
    TransferRequest,
    print_json,
    result_json,
    tell_left_out,
)
from dualstylegan.errors import DataError, OutputError

if TYPE_CHECKING:
    from dualstylegan.portrait.batch import BatchPlan, PhotoOutcome
    from dualstylegan.portrait.model import PortraitModel
    from dualstylegan.portrait.style_choice import ChosenStyle


def restyle_into_folder(request: TransferRequest) -> None:
    """Restyle every photo in every style; exit status 1 if a result failed."""
    started = time.perf_counter()
    from dualstylegan.portrait.batch import BatchPlan, restyle_photos, result_stems
    from dualstylegan.portrait.model import PortraitModel
    from dualstylegan.portrait.sheets import cell_size

    photos = result_stems(_photos(request.photos))
    model = PortraitModel.from_pretrained(request.folder, device=request.device)
    styles = _chosen(model, request)
    plan = BatchPlan(
        styles,
        request.output,
        request.options,
        request.reading,
        request.paste,
        cell_size(len(photos), 1 + len(styles)),
    )
    done: list[PhotoOutcome] = []
    with progress(f"{len(photos)} photos") as advance:
        for outcome in restyle_photos(model, photos, plan, advance):
            _tell(outcome, request.as_json)
            done.append(outcome)
    sheet = _write_sheet(done, plan)
    _sum_up(done, sheet, request, time.perf_counter() - started)
    if any(result.status == "failed" for outcome in done for result in outcome.outcomes):
        raise typer.Exit(1)


def _photos(given: list[Path]) -> list[Path]:
    """Return the photos, those of folders in the order of their names.

    Raises:
        DataError: there is none.
    """
    from dualstylegan.io.images import scan_images

    found: list[Path] = []
    for path in given:
        if not path.is_dir():
            found.append(path)
            continue
        scanned = scan_images(path)
        found += scanned.paths
        for other, reason in scanned.skipped:
            LOGGER.info(f"{other}: {reason}")
    if not found:
        raise DataError("no photos", file=given[0], fix="give photos, or folders that hold some")
    return found


def _chosen(model: PortraitModel, request: TransferRequest) -> dict[str, ChosenStyle]:
    """Return the styles by the names that stand in the results' names."""
    from dualstylegan.portrait.style_choice import choose_style

    if not request.styles:
        drawn = choose_style(model, None, request.seed, request.options)
        return {f"seed-{request.seed}": drawn}
    chosen = [choose_style(model, style, None, request.options) for style in request.styles]
    return {str(style.name): style for style in chosen}


def _tell(outcome: PhotoOutcome, as_json: bool) -> None:
    """Say what became of a photo, a line per result."""
    from dualstylegan.portrait.result import PREFIX

    made = [result for result in outcome.outcomes if result.status == "made"]
    if made:
        tell_left_out(outcome.photo, made[0].facts)
    told: set[str] = set()
    for result in outcome.outcomes:
        if result.error is not None:
            LOGGER.error(result.error)
        elif result.status == "kept":
            LOGGER.debug(f"{result.path}  kept")
        elif not as_json:
            say(f"{result.path}  {result.seconds:.1f} s")
        warning = result.facts.get(f"{PREFIX}warning") if result.status == "made" else None
        if warning is not None and warning not in told:
            for line in warning.splitlines():
                LOGGER.warning(f"{result.photo}: {line}")
            told.add(warning)


def _write_sheet(done: list[PhotoOutcome], plan: BatchPlan) -> Path | None:
    """Write the contact sheet; None where no result came out, or it cannot be written."""
    from dualstylegan.io.files import write_bytes
    from dualstylegan.portrait.result import encode_result
    from dualstylegan.portrait.sheets import contact_sheet

    if not any(result.path for outcome in done for result in outcome.outcomes):
        return None
    rows = []
    for outcome in done:
        cells = {result.style: result.cell for result in outcome.outcomes}
        rows.append([outcome.cell, *(cells.get(name) for name in plan.styles)])
    names = [outcome.photo.stem for outcome in done]
    sheet = contact_sheet(rows, ["photo", *plan.styles], names)
    path = plan.folder / CONTACT_SHEET
    try:
        write_bytes(path, encode_result(sheet, path.suffix))
    except OutputError as error:
        LOGGER.error(error)
        return None
    return path


def _sum_up(
    done: list[PhotoOutcome], sheet: Path | None, request: TransferRequest, seconds: float
) -> None:
    """Print the numbers of results, or everything as JSON."""
    results = [result for outcome in done for result in outcome.outcomes]
    if request.as_json:
        rows: list[dict[str, Any]] = [
            result_json(r.photo, r.path, r.status, r.facts, r.seconds, r.error) for r in results
        ]
        print_json(rows, sheet)
        return
    counts = Counter(result.status for result in results)
    parts = [f"{counts[status]} {status}" for status in ("made", "kept", "failed")]
    shown = "" if sheet is None else f"; {sheet}"
    LOGGER.info(f"{len(done)} photos: {', '.join(parts)} in {seconds:.1f} s{shown}")

"""The command `dualstylegan transfer`: one photo into a file, or many into a folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dualstylegan.cli import parameters as p
from dualstylegan.cli.reporting import LOGGER, reported, say
from dualstylegan.cli.requests import (
    asked_styles,
    check_image,
    check_size,
    is_folder,
    parse_background,
    parse_weights,
)
from dualstylegan.errors import OutputError, SettingsError
from dualstylegan.io.locks import exclusive
from dualstylegan.portrait.stores import find_model

# Picture of all results in their folder.
CONTACT_SHEET = "contact-sheet.jpg"

if TYPE_CHECKING:
    from PIL import Image

    from dualstylegan.portrait.options import ReadOptions, RestyleOptions


@dataclass(frozen=True)
class TransferRequest:
    """Checked request of `transfer`.

    Attributes:
        photos: photos, or folders of them.
        output: a file for one result, or a folder.
        folder: of the model.
        styles: the styles that are asked for, as weights by name; empty: the one of `seed`.
        seed: of a drawn style.
        options: weights, truncation and size.
        reading: faces, alignment and steps of the fit.
        paste: put the faces back into their photo.
        device: of the networks.
        as_json: print one JSON object in place of lines.
    """

    photos: list[Path]
    output: Path
    folder: Path
    styles: list[dict[str, float]]
    seed: int | None
    options: RestyleOptions
    reading: ReadOptions
    paste: bool
    device: str
    as_json: bool


def add_command(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def transfer(
        photos: p.Photos,
        output: Annotated[
            Path, typer.Option("--output", "-o", help="A file, or a folder for many results.")
        ],
        style: p.Styles = None,
        seed: p.Seed = None,
        model: p.Model = None,
        structure: p.Structure = None,
        color: p.Color = None,
        weights: p.Weights = None,
        preserve_color: p.PreserveColor = False,
        truncation: p.Truncation = None,
        size: p.Pixels = p.Size.SMALL,
        align: p.Align = True,
        faces: p.FacesText = "largest",
        paste: p.Paste = False,
        background: p.BackgroundText = "keep",
        fit_steps: p.FitSteps = None,
        refine: Annotated[int | None, typer.Option(hidden=True)] = None,
        device: p.Device = "auto",
        as_json: p.Json = False,
        verbose: p.Verbose = False,
        quiet: p.Quiet = False,
    ) -> None:
        """Restyle the faces in PHOTOS after styles and write the results.

        One photo and one style with -o FILE: that file. Else -o FOLDER: a result per photo and
        style, and a contact sheet; results that are there already are kept.
        """
        with reported():
            from dualstylegan.portrait.options import ReadOptions, RestyleOptions, parse_faces

            rows = parse_weights(weights)
            ground = parse_background(background)
            options = RestyleOptions(
                structure, color, rows, preserve_color, truncation, size, ground
            )
            steps = fit_steps if refine is None else refine
            reading = ReadOptions(parse_faces(faces), align, steps)
            request = _checked(
                photos, output, model, style, seed, options, reading, paste, device, as_json
            )
            if is_folder(output):
                from dualstylegan.cli.batch import restyle_into_folder

                with exclusive(output):
                    restyle_into_folder(request)
            else:
                _restyle_into_file(request)


def _checked(
    photos: list[Path],
    output: Path,
    model: str | None,
    style: list[str] | None,
    seed: int | None,
    options: RestyleOptions,
    reading: ReadOptions,
    paste: bool,
    device: str,
    as_json: bool,
) -> TransferRequest:
    """Check a request, before torch is imported."""
    from dualstylegan.io.files import check_writable
    from dualstylegan.portrait.config import read_config

    into_folder = is_folder(output)
    reading.check_shown(paste)
    if not into_folder:
        if len(photos) > 1:
            raise SettingsError("several photos need a folder", value=output, fix="give -o FOLDER")
        check_image(photos[0])
    check_writable(output / CONTACT_SHEET if into_folder else output)
    folder = find_model(model)
    config = read_config(folder)
    styles = asked_styles(config, style, seed)
    check_size(folder, config, options.size)
    options.check(config)
    if len(styles) > 1 and not into_folder:
        raise SettingsError("several styles need a folder", value=output, fix="give -o FOLDER")
    return TransferRequest(
        photos, output, folder, styles, seed, options, reading, paste, device, as_json
    )


def _restyle_into_file(request: TransferRequest) -> None:
    """Restyle the one photo into the one file."""
    started = time.perf_counter()
    from dualstylegan.io.images import read_image
    from dualstylegan.portrait.model import PortraitModel
    from dualstylegan.portrait.result import facts_of

    image = read_image(request.photos[0])
    model = PortraitModel.from_pretrained(request.folder, device=request.device)
    options, reading = request.options, request.reading
    result = model.transfer(
        image,
        request.styles[0] if request.styles else None,
        seed=request.seed,
        structure=options.structure,
        color=options.color,
        weights=options.weights,
        preserve_color=options.preserve_color,
        truncation=options.truncation,
        size=options.size,
        align=reading.align,
        faces=reading.faces,
        paste=request.paste,
        background=options.background,
        fit_steps=reading.fit_steps,
    )
    _write(request.output, result)
    tell_left_out(request.photos[0], facts_of(result))
    seconds = time.perf_counter() - started
    if request.as_json:
        print_json(
            [result_json(request.photos[0], request.output, "made", facts_of(result), seconds)]
        )
    else:
        say(f"{request.output}  {result.width} x {result.height}  {seconds:.1f} s")


def tell_left_out(photo: Path, facts: Mapping[str, str]) -> None:
    """Say which faces of a photo were found and not restyled, and why."""
    from dualstylegan.portrait.result import PREFIX

    for line in facts.get(f"{PREFIX}left_out", "").splitlines():
        LOGGER.info(f"{photo}: a face left out, {line}")


def result_json(
    photo: Path,
    output: Path | None,
    status: str,
    facts: Mapping[str, str],
    seconds: float,
    error: str | None = None,
) -> dict[str, Any]:
    """Return a result as JSON: paths, status, seconds, the facts without their prefix, error."""
    from dualstylegan.portrait.result import PREFIX

    return {
        "photo": str(photo),
        "output": None if output is None else str(output),
        "status": status,
        "seconds": round(seconds, 3),
        "facts": {key.removeprefix(PREFIX): value for key, value in facts.items()},
        "error": error,
    }


def print_json(results: list[dict[str, Any]], sheet: Path | None = None) -> None:
    """Print results, their numbers by status, and the contact sheet as one JSON object."""
    statuses = [result["status"] for result in results]
    counts = {status: statuses.count(status) for status in ("made", "kept", "failed")}
    print(
        json.dumps({**counts, "sheet": None if sheet is None else str(sheet), "results": results})
    )


def _write(path: Path, image: Image.Image) -> None:
    """Write a result whole, in the format of its suffix; elsewhere if that fails.

    Raises:
        OutputError: names the file that holds the result instead.
    """
    import tempfile

    from dualstylegan.io.files import write_bytes
    from dualstylegan.portrait.result import encode_result

    data = encode_result(image, path.suffix.lower())
    try:
        write_bytes(path, data)
    except OutputError as error:
        try:
            folder = Path(tempfile.mkdtemp(prefix="dualstylegan-"))
            rescued = folder / f"result{path.suffix.lower()}"
            write_bytes(rescued, data)
        except (OSError, OutputError):
            raise error from None
        raise OutputError(
            error.problem, file=error.file, value=error.value, fix=f"the result is in {rescued}"
        ) from error

"""Every writer of the library and of the stages, as a function of the folder that it writes to."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from dualstylegan.codes.sampling import SAMPLER_FILE
from dualstylegan.codes.tables import CodeTable, write_codes
from dualstylegan.io.checkpoints import save_state, save_tensors
from dualstylegan.io.files import atomic_write, write_bytes, write_json, write_text
from dualstylegan.io.images import write_png
from dualstylegan.io.video_writing import create_video
from dualstylegan.portrait.film import FilmPlan, write_film
from dualstylegan.portrait.half import write_half
from dualstylegan.published.exporting import _write
from tasks.shared.caching import Entry, write_entry
from tasks.shared.curves import write_curves
from tests.support.portrait_models import tiny_model, with_sampler

Writer = Callable[[Path], object]
BYTES = 1 << 19
NOISE = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)


def _table(folder: Path) -> None:
    codes_NLD = torch.randn(64, 14, 64)
    names = tuple(str(number) for number in range(64))
    write_codes(folder / "codes.parquet", CodeTable(names, names, "z_plus", codes_NLD, "0" * 64))


def _half(folder: Path) -> None:
    source = folder.parent / "half-source"
    if not source.exists():
        tiny_model().save_pretrained(source)
    write_half(source, folder / "half")


def _frame(folder: Path) -> None:
    with atomic_write(folder / "frame.parquet") as handle:
        pd.DataFrame({"noise": np.random.default_rng(0).random(BYTES // 8)}).to_parquet(handle)


def _video(folder: Path) -> None:
    with create_video(folder / "film.mp4", (400, 400), rate=Fraction(25)) as writer:
        for pts in range(4):
            writer.write(Image.fromarray(np.roll(NOISE, 40 * pts, 0)), pts)


def _film(folder: Path) -> None:
    frames = [Image.fromarray(np.roll(NOISE, 40 * shift, 0)) for shift in range(2)]
    write_film(folder / "film.webp", frames, 2, FilmPlan(1, 2, False), {})


WRITERS: dict[str, Writer] = {
    "bytes": lambda folder: write_bytes(folder / "bytes", NOISE.tobytes()),
    "text": lambda folder: write_text(folder / "text", "x" * BYTES),
    "json": lambda folder: write_json(folder / "facts.json", ["x" * 100] * (BYTES // 100)),
    "picture": lambda folder: write_png(folder / "a.png", Image.fromarray(NOISE)),
    "tensors": lambda folder: save_tensors(folder / "t.safetensors", {"t": torch.zeros(BYTES)}),
    "state": lambda folder: save_state(folder / "s.safetensors", {"t": torch.zeros(BYTES)}),
    "codes": _table,
    "frame": _frame,
    "curves": lambda folder: write_curves(
        folder, [{"step": i, "loss": i**0.5} for i in range(BYTES // 8)]
    ),
    "cache": lambda folder: write_entry(folder, "key", Entry(NOISE.tobytes(), {})),
    "model": lambda folder: tiny_model().save_pretrained(folder / "model"),
    "half": _half,
    "sampler": lambda folder: with_sampler(tiny_model()).sampler.save(folder / SAMPLER_FILE),  # type: ignore[union-attr]
    "video": _video,
    "film": _film,
    "checkpoint": lambda folder: _write(folder / "g.pt", {"w": torch.zeros(BYTES)}),
    "dictionary": lambda folder: _write(folder / "c.npy", {"w": torch.zeros(BYTES)}),
}


def content(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file of a folder, hidden ones too, by path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def outcomes(folder: Path) -> dict[str, list[str]]:
    """Run every writer in a folder where writing fails; return type and text of each error."""
    found = {}
    for name, write in WRITERS.items():
        try:
            write(folder)
        except BaseException as error:
            found[name] = [type(error).__name__, str(error)]
        else:
            found[name] = ["none", ""]
    return found

"""Stage `align`: every portrait as an FFHQ crop, one by one, and a manifest of what was found."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from PIL import Image

from dualstylegan.errors import DataError, FaceError
from dualstylegan.faces.crop import align_face
from dualstylegan.faces.detect import DETECTOR_FILE
from dualstylegan.faces.landmarks import PREDICTOR_FILE
from dualstylegan.files import atomic_directory, atomic_write, sha256_file, write_bytes
from dualstylegan.image_cache import Kept, Make, cache_key, cached, weight_digests
from dualstylegan.images import list_images, read_image
from tasks.common import load_settings, run_stage, tracked

WEIGHTS = Path("data/weights")
PORTRAITS = Path("data/portraits")
CACHE = Path("data/cache/aligned")
OUT = Path("data/aligned")
KINDS = ("style", "content")
# Raised by whoever changes the crop itself, so that no older picture is taken for a new one.
VERSION = 1


def crop_maker(path: Path, size: int) -> Make:
    """What makes the crop of one portrait; a portrait without a usable face gives its reason."""

    def make() -> tuple[Image.Image | None, dict[str, Any]]:
        try:
            face = align_face(read_image(path), size, weights_dir=WEIGHTS)
        except FaceError as error:
            return None, {"refused": str(error), "flags": "", "score": 0.0, "quad": []}
        quad = [round(v, 3) for v in face.quad.reshape(-1).tolist()]
        facts = {"refused": "", "flags": " ".join(face.flags), "score": round(face.score, 4)}
        return face.image, {**facts, "quad": quad}

    return make


def align(*, size: int = 256) -> dict[str, str]:
    """Make data/aligned.

    Args:
        size: side of the crops in pixels.

    Returns:
        The portraits that were refused, and why.

    Raises:
        DataError: no portrait of a kind has a usable face.
    """
    import pandas as pd

    digests = weight_digests(WEIGHTS, (DETECTOR_FILE, PREDICTOR_FILE))
    portraits = [(kind, path) for kind in KINDS for path in list_images(PORTRAITS / kind)]
    rows = []
    refused: dict[str, str] = {}
    with atomic_directory(OUT) as out:
        for kind, path in tracked(portraits, "portraits aligned"):
            source = sha256_file(path)
            key = cache_key(VERSION, source, size, digests)
            kept = cached(CACHE, key, crop_maker(path, size))
            if kept.png is None:
                refused[f"{kind}/{path.name}"] = str(kept.facts["refused"])
            else:
                write_bytes(out / kind / f"{path.stem}.png", kept.png)
            rows.append(_row(kind, path, source, kept))
        _check_any(rows, refused)
        table = pd.DataFrame(rows).sort_values(["kind", "name"], ignore_index=True)
        with atomic_write(out / "manifest.parquet") as handle:
            table.to_parquet(handle)
    return refused


def _row(kind: str, path: Path, source: str, kept: Kept) -> dict[str, Any]:
    aligned = "" if kept.png is None else hashlib.sha256(kept.png).hexdigest()
    hashes = {"source_sha256": source, "aligned_sha256": aligned}
    return {"kind": kind, "name": path.stem, "file": path.name, **hashes, **kept.facts}


def _check_any(rows: list[dict[str, Any]], refused: dict[str, str]) -> None:
    for kind in KINDS:
        if not any(row["kind"] == kind and row["aligned_sha256"] for row in rows):
            raise DataError(
                "no portrait has a usable face",
                file=PORTRAITS / kind,
                value="; ".join(f"{k}: {v}" for k, v in list(refused.items())[:3]),
                fix="use frontal, sharp portraits",
            )


def main() -> None:
    """`python -m tasks.align`."""
    chosen = load_settings().align

    def stage() -> None:
        for name, reason in align(**chosen.model_dump()).items():
            print(f"left out {name}: {reason}")

    run_stage("align", stage)


if __name__ == "__main__":
    main()

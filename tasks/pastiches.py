"""Stage `pastiches`: ideal results, content faces painted by the recipes of the demo's exemplars.

A generated exemplar comes from a known process, which does to any face what a perfect restyling
would. A user's own exemplars have no recipe, and the stage then writes a table without rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dualstylegan.codes.subsets import evenly_spaced_subset
from dualstylegan.errors import FaceError
from dualstylegan.faces.detect import DETECTOR_FILE, largest_face
from dualstylegan.faces.landmarks import PREDICTOR_FILE, landmarks68
from dualstylegan.io.files import atomic_directory, sha256_file, write_bytes
from dualstylegan.io.images import list_images, read_image
from dualstylegan.pretraining.painting.paint import PAINTER_FILE, Painter
from tasks.demo.recipes import PIXELS, Recipe, paint_face, strongest
from tasks.shared.caching import Make, cache_key, weight_digests
from tasks.shared.dataframes import read_dataframe, write_dataframe
from tasks.shared.mapping import Pictures, mapped
from tasks.shared.pastiches import pastiche_file
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, run_stage
from tasks.shared.settings import Pastiches

STAGE = "pastiches"
# Part of the cache key: raise it when a pastiche changes though recipe and face do not.
VERSION = 1
COLUMNS = ("content", "style", "strength", "refused")


@dataclass(frozen=True)
class Pastiche:
    """Ideal result to be made: names of face and style, cache key and maker."""

    content: str
    style: str
    key: str
    make: Make


def read_recipes() -> dict[str, Recipe]:
    """Return the recipe of each generated exemplar by name."""
    table = read_dataframe(Paths.portraits_record)
    if "character" not in table:
        return {}
    rows = table[(table["kind"] == "style") & table["character"].notna()].to_dict("records")
    return {
        str(row["name"]): Recipe(
            int(row["seed"]), row["character"], row["palette"], row["brush"], float(row["strength"])
        )
        for row in rows
    }


class Studio:
    """Painter and prepared faces, each loaded on first use."""

    def __init__(self) -> None:
        self.painter = cache(lambda: Painter(Paths.weights))
        self.face = cache(self._face)

    def _face(self, path: Path) -> tuple[Image.Image, NDArray[np.float64]]:
        """Return an aligned face at the process's size, and its landmarks (68, 2)."""
        image = read_image(path).resize((PIXELS, PIXELS), Image.Resampling.LANCZOS)
        face = largest_face(image, Paths.weights)
        return image, landmarks68(image, face, Paths.weights)

    def paint(self, path: Path, recipe: Recipe) -> tuple[Image.Image | None, dict[str, Any]]:
        """Paint a face at its own size; without an image, give the reason."""
        try:
            image, landmarks_K2 = self.face(path)
            painted, strength = strongest(
                recipe,
                lambda strength: paint_face(
                    image, landmarks_K2, recipe, strength, self.painter(), Paths.weights
                ),
            )
        except FaceError as error:
            return None, {"strength": 0.0, "refused": str(error)}
        size = read_image(path).size
        return painted.resize(size, Image.Resampling.LANCZOS), {"strength": strength, "refused": ""}


def pastiches(contents: Sequence[Path], recipes: dict[str, Recipe]) -> list[Pastiche]:
    """Return the pastiches of every face by every recipe."""
    digests = weight_digests((DETECTOR_FILE, PREDICTOR_FILE, PAINTER_FILE))
    studio = Studio()

    def maker(path: Path, recipe: Recipe) -> Make:
        return lambda: studio.paint(path, recipe)

    made = []
    for path in contents:
        digest = sha256_file(path)
        for style, recipe in recipes.items():
            key = cache_key(VERSION, PIXELS, digest, recipe.facts(), digests)
            made.append(Pastiche(path.stem, style, key, maker(path, recipe)))
    return made


def run(chosen: Pastiches) -> None:
    """Write the set's pastiches: CONTENT/STYLE.png and pastiches.parquet."""
    import pandas as pd

    recipes = read_recipes()
    paths = evenly_spaced_subset(list_images(Paths.exemplars), chosen.styles)
    known = {path.stem: recipes[path.stem] for path in paths if path.stem in recipes}
    faces = evenly_spaced_subset(list_images(Paths.faces), chosen.contents)
    items = pastiches(faces, known)
    rows = []
    with atomic_directory(Paths.pastiches) as out:
        makers = {f"{item.content}/{item.style}": (item.key, item.make) for item in items}
        for item, entry in zip(items, mapped(Pictures(STAGE, makers), makers), strict=True):
            if entry.data is None:
                print(f"left out {item.content} in {item.style}: {entry.facts['refused']}")
            else:
                write_bytes(out / pastiche_file(item.content, item.style), entry.data)
            rows.append({"content": item.content, "style": item.style, **entry.facts})
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        write_dataframe(out / Paths.pastiches_record.name, frame)


def main() -> None:
    """Run `python -m tasks.pastiches [SET]`."""
    settings = load_settings()
    run_stage("pastiches", lambda: run(settings.pastiches))


if __name__ == "__main__":
    main()

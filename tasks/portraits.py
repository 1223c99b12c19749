"""Stage `portraits`: the style set and the content faces, our own or those of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualstylegan.errors import DataError
from dualstylegan.faces.detect import DETECTOR_FILE
from dualstylegan.faces.landmarks import PREDICTOR_FILE
from dualstylegan.io.files import atomic_directory, atomic_write, sha256_file, write_bytes
from dualstylegan.io.images import list_images, read_image
from dualstylegan.networks.loading import GENERATOR_FILE
from tasks.demo import compose
from tasks.demo.paint import PAINTER_FILE, Painter
from tasks.shared.caching import Kept, Make, cache_key, cached, weight_digests
from tasks.shared.paths import KINDS, Paths
from tasks.shared.runner import load_settings, run_stage, tracked

CACHE = Paths.cache / "portraits"
SOURCE = "portraits"
PHOTO = "astronaut.png"
USER_LICENCE = "as granted to the user"
MOST_WORKERS = 4


@dataclass(frozen=True)
class Item:
    """A portrait to be made: its place, what it depends on, and how it is made."""

    kind: str
    name: str
    key: str
    make: Make


class Studio:
    """The networks that make portraits, loaded when the first one is made."""

    def __init__(self) -> None:
        self._generator: Any = None
        self._painter: Any = None

    @property
    def generator(self) -> Any:
        """The generator at full size."""
        if self._generator is None:
            self._generator = compose.full_size_generator(Paths.weights)
        return self._generator

    @property
    def painter(self) -> Painter:
        """The painter."""
        if self._painter is None:
            self._painter = Painter(Paths.weights)
        return self._painter  # type: ignore[no-any-return]


def generated_items(styles: int | None, contents: int) -> Iterator[Item]:
    """Our own set: painted characters, generated faces, and one public-domain photo."""
    used = (GENERATOR_FILE, PAINTER_FILE, DETECTOR_FILE, PREDICTOR_FILE)
    digests = weight_digests(Paths.weights, used)
    studio = Studio()

    def style(recipe: compose.Recipe) -> Make:
        def make() -> tuple[Any, dict[str, Any]]:
            made = compose.style_portrait(studio.generator, studio.painter, recipe, Paths.weights)
            return made.image, made.provenance

        return make

    def content(index: int) -> Make:
        def make() -> tuple[Any, dict[str, Any]]:
            made = compose.content_portrait(studio.generator, index, Paths.weights)
            return made.image, made.provenance

        return make

    for recipe in compose.recipes(styles):
        key = cache_key("style", compose.recipe_key(recipe), digests)
        yield Item("style", recipe.name, key, style(recipe))
    for index in range(contents):
        key = cache_key("content", compose.face_facts(compose.content_seed(index)), digests)
        yield Item("content", f"face{index:02d}", key, content(index))
    photo = Paths.weights / PHOTO
    facts = {"origin": "NASA, 1993", "licence": "public domain"}
    key = cache_key("photo", weight_digests(Paths.weights, (PHOTO,)))
    yield Item("content", photo.stem, key, lambda: (read_image(photo), facts))


def user_items(source: Path) -> Iterator[Item]:
    """The user's own portraits: SOURCE/style and SOURCE/content, those of them that are there."""

    def copy(path: Path) -> Make:
        facts = {"origin": f"user: {path.name}", "licence": USER_LICENCE}
        return lambda: (read_image(path), facts)

    for kind in (kind for kind in KINDS if (source / kind).is_dir()):
        for path in list_images(source / kind):
            yield Item(kind, path.stem, cache_key("user", path.name, sha256_file(path)), copy(path))


def kept_pictures(items: Sequence[Item]) -> Iterator[Kept]:
    """The picture of each portrait, several at once.

    Torch works on one thread for each, so that a picture's bytes do not depend on their number.
    """
    import torch

    workers = min(MOST_WORKERS, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(lambda item: cached(CACHE, item.key, item.make), items)
    finally:
        pool.shutdown(cancel_futures=True)


def portraits(
    *,
    source: str = SOURCE,
    styles: int | None = None,
    contents: int = 10,
) -> int:
    """Make data/portraits; returns the number of portraits.

    Args:
        source: folder with the folders `style` and `content`; the portraits of one that is not
            there are generated.
        styles: exemplars of the generated set, all by default.
        contents: generated content faces.

    Raises:
        DataError: the folder is missing or empty.
        ImageError: one of its files is no image.
    """
    import pandas as pd

    folder = Path(source)
    if not folder.is_dir():
        raise DataError(
            "no such folder of portraits",
            file=source,
            limit="a folder with `style`, `content` or both in it",
            fix="set portraits.source in params.yaml",
        )
    missing = [kind for kind in KINDS if not (folder / kind).is_dir()]
    made = [item for item in generated_items(styles, contents) if item.kind in missing]
    items = sorted([*user_items(folder), *made], key=lambda item: KINDS.index(item.kind))
    rows = []
    with atomic_directory(Paths.portraits) as out:
        for item, kept in zip(tracked(items, "portraits"), kept_pictures(items), strict=True):
            assert kept.png is not None
            write_bytes(out / item.kind / f"{item.name}.png", kept.png)
            rows.append({"kind": item.kind, "name": item.name, "key": item.key} | kept.facts)
        table = pd.DataFrame(rows).sort_values(["kind", "name"], ignore_index=True)
        with atomic_write(out / Paths.portraits_record.name) as handle:
            table.to_parquet(handle)
    return len(items)


def main() -> None:
    """`python -m tasks.portraits`."""
    chosen = load_settings().portraits
    run_stage("portraits", lambda: portraits(**chosen.model_dump()))


if __name__ == "__main__":
    main()

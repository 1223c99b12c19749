"""Stage `portraits`: exemplars and content faces, the user's own or generated."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualstylegan.errors import DataError, one_line
from dualstylegan.evaluation.limits import MIN_FACES
from dualstylegan.faces.detect import DETECTOR_FILE
from dualstylegan.faces.landmarks import PREDICTOR_FILE
from dualstylegan.io.files import atomic_directory, sha256_file, write_bytes
from dualstylegan.io.images import check_image_file, read_image, scan_images
from dualstylegan.io.names import safe_name, well_formed
from dualstylegan.networks.loading import GENERATOR_FILE
from dualstylegan.pretraining.painting.paint import PAINTER_FILE, Painter
from tasks.demo import compose
from tasks.demo.recipes import Recipe, recipes
from tasks.shared.caching import Make, cache_key, weight_digests
from tasks.shared.dataframes import write_dataframe
from tasks.shared.feasibility import check_feasible
from tasks.shared.mapping import Pictures, mapped
from tasks.shared.paths import KINDS, Paths
from tasks.shared.runner import load_settings, run_stage
from tasks.shared.settings import Portraits
from tasks.shared.sources import kind_folders, open_source

# Public-domain photographs among the weights, and their origins.
PHOTOS = {"astronaut.png": "NASA, 1993", "grace_hopper.jpg": "US Navy, 1984"}
USER_LICENCE = "as granted to the user"
README = "README.md"


@dataclass(frozen=True)
class Item:
    """A portrait to be made.

    Attributes:
        kind: `style` or `content`.
        name: of its file, without suffix; see `safe_name`.
        label: name as the user wrote it.
        key: digest of everything that it depends on.
        make: makes it.
    """

    kind: str
    name: str
    label: str
    key: str
    make: Make


class Studio:
    """Generator and painter of the demo's portraits, loaded on first use."""

    def __init__(self) -> None:
        self._generator: Any = None
        self._painter: Any = None

    @property
    def generator(self) -> Any:
        """Generator at full size."""
        if self._generator is None:
            self._generator = compose.full_size_generator(Paths.weights)
        return self._generator

    @property
    def painter(self) -> Painter:
        """Painter of the exemplars."""
        if self._painter is None:
            self._painter = Painter(Paths.weights)
        return self._painter  # type: ignore[no-any-return]


def generated_items(styles: int | None, contents: int) -> Iterator[Item]:
    """Yield the demo's set: painted characters, photographed faces, and public-domain photos."""
    used = (GENERATOR_FILE, PAINTER_FILE, DETECTOR_FILE, PREDICTOR_FILE)
    digests = weight_digests(used)
    studio = Studio()

    def style(recipe: Recipe) -> Make:
        def make() -> tuple[Any, dict[str, Any]]:
            made = compose.style_portrait(studio.generator, studio.painter, recipe, Paths.weights)
            return made.image, made.provenance

        return make

    def content(index: int) -> Make:
        def make() -> tuple[Any, dict[str, Any]]:
            made = compose.content_portrait(studio.generator, index, Paths.weights)
            return made.image, made.provenance

        return make

    for recipe in recipes(styles):
        key = cache_key("style", compose.recipe_key(recipe), digests)
        yield Item("style", recipe.name, recipe.name, key, style(recipe))
    for index in range(contents):
        key = cache_key("content", compose.content_facts(index), digests)
        name = f"face{index:02d}"
        yield Item("content", name, name, key, content(index))
    for file, origin in PHOTOS.items():
        yield public_photo(Paths.weights / file, origin)


def public_photo(path: Path, origin: str) -> Item:
    """Return the item of a public-domain photograph among the weights."""
    facts = {"origin": origin, "licence": "public domain"}
    key = cache_key("photo", weight_digests((path.name,)))
    return Item("content", path.stem, path.stem, key, lambda: (read_image(path), facts))


def user_items(kind: str, folder: Path) -> list[Item]:
    """Return the user's portraits of a kind; print what is not taken, with the reason.

    Raises:
        DataError: the folder has no image that is read, or two images stand for one name.
        ImageError: a file of it is empty or too large.
    """

    def read(path: Path) -> Make:
        facts = {"origin": f"user: {well_formed(path.name)}", "licence": USER_LICENCE}
        return lambda: (read_image(path), facts)

    found = scan_images(folder)
    for path, reason in found.skipped:
        print(f"not taken: {one_line(str(path))}: {reason}")
    if not found.paths:
        raise DataError(
            "no images in the folder",
            file=folder,
            value="; ".join(f"{path.name}: {reason}" for path, reason in found.skipped[:3]) or None,
            fix="put images into it, or remove it: portraits are then generated",
        )
    files: dict[str, Path] = {}
    for path in found.paths:
        check_image_file(path)
        other = files.setdefault(safe_name(path.stem), path)
        if other is not path:
            raise DataError(
                "two images of one name",
                file=folder,
                value=f"{other.name} and {path.name}",
                fix="rename one: the name without its ending names the portrait",
            )
    return [
        Item(
            kind,
            name,
            well_formed(path.stem),
            cache_key("user", well_formed(path.name), sha256_file(path)),
            read(path),
        )
        for name, path in files.items()
    ]


def check_strays(source: Path, kinds: Collection[str]) -> None:
    """Print everything in a source that belongs to no kind.

    Raises:
        DataError: images lie in the source itself, and there is no folder of either kind.
    """
    found = scan_images(source)
    advice = "not in `style` or `content`"
    strays = [(path, advice) for path in found.paths]
    strays += [
        (path, "neither `style` nor `content`" if path.is_dir() else reason)
        for path, reason in found.skipped
        if path.name not in KINDS and path.name != README
    ]
    for path, reason in strays:
        print(f"not taken: {one_line(str(path))}: {reason}")
    if found.paths and not kinds:
        raise DataError(
            "images outside of `style` and `content`",
            file=source,
            value=", ".join(path.name for path in found.paths[:3]),
            fix="move exemplars to its folder `style` and faces to `content`",
        )


def all_items(settings: Portraits) -> list[Item]:
    """Return the user's portraits, and generated ones of each kind that is missing.

    Content faces are filled up with generated ones to the fewest that can be evaluated.

    Raises:
        DataError: the source cannot be used; see `kind_folders`, `user_items`, `check_strays`.
    """
    source = open_source(Path(settings.source))
    folders = kind_folders(source)
    check_strays(source, folders)
    items = [item for kind in folders for item in user_items(kind, folders[kind])]
    contents = settings.contents if "content" not in folders else MIN_FACES
    generated = list(generated_items(settings.styles, contents))
    items += [item for item in generated if item.kind not in folders]
    names = {item.name for item in items if item.kind == "content"}
    spare = [item for item in generated if item.kind == "content" and item.name not in names]
    added = spare[: max(0, MIN_FACES - len(names))]
    if added:
        print(
            f"content faces: {len(names)}, evaluation compares at least {MIN_FACES}; added: "
            + ", ".join(f"{item.name} (generated)" for item in added)
        )
    items += added
    return sorted(items, key=lambda item: KINDS.index(item.kind))


def write_portraits(items: Sequence[Item]) -> None:
    """Write the set's portraits: an image per portrait, and provenance.parquet.

    Raises:
        ImageError: a file of the user's is no image.
    """
    import pandas as pd

    rows = []
    with atomic_directory(Paths.portraits) as out:
        makers = {f"{item.kind}/{item.name}": (item.key, item.make) for item in items}
        for item, entry in zip(items, mapped(Pictures("portraits", makers), makers), strict=True):
            assert entry.data is not None
            write_bytes(out / item.kind / f"{item.name}.png", entry.data)
            own = {"kind": item.kind, "name": item.name, "label": item.label, "key": item.key}
            rows.append(own | entry.facts)
        table = pd.DataFrame(rows).sort_values(["kind", "name"], ignore_index=True)
        write_dataframe(out / Paths.portraits_record.name, table)


def main() -> None:
    """Run `python -m tasks.portraits [SET]`."""
    settings = load_settings()

    def stage() -> None:
        items = all_items(settings.portraits)
        faces, exemplars = (
            sum(item.kind == kind for item in items) for kind in ("content", "style")
        )
        check_feasible(settings, faces, exemplars)
        write_portraits(items)

    run_stage("portraits", stage)


if __name__ == "__main__":
    main()

"""Stage `align`: FFHQ crops of all portraits, and a manifest with the reason of each refusal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dualstylegan.errors import DataError, FaceError
from dualstylegan.faces.align import align_face
from dualstylegan.faces.detect import DETECTOR_FILE
from dualstylegan.faces.landmarks import PREDICTOR_FILE
from dualstylegan.io.files import atomic_directory, sha256_file, write_bytes
from dualstylegan.io.images import list_images, png_bytes, read_image
from tasks.shared.aligned import FRAME
from tasks.shared.at_once import Tick, fits_at_once
from tasks.shared.caching import Entry, cache_key, weight_digests
from tasks.shared.dataframes import write_dataframe
from tasks.shared.feasibility import check_aligned
from tasks.shared.mapping import Computation, mapped
from tasks.shared.paths import KINDS, Paths
from tasks.shared.runner import load_settings, run_stage
from tasks.shared.settings import Settings

# Part of the cache key: raise it when the crop changes.
VERSION = 3


class Aligner(Computation):
    """Crops of the set's portraits, named KIND/FILE.

    Args:
        size: side of the crops in pixels.

    Attributes:
        sources: digests of the portraits' files, by the names of which `keys` has been asked.
    """

    stage, unit = "aligned", "portraits"

    def __init__(self, size: int) -> None:
        import torch

        self.size, self.sources = size, dict[str, str]()
        self.together = fits_at_once(torch.device("cpu"))
        self.digests = weight_digests((DETECTOR_FILE, PREDICTOR_FILE))

    @classmethod
    def of_set(cls, settings: Settings) -> Aligner:
        """Return the alignment by the settings of the set."""
        return cls(settings.align.size)

    def keys(self, names: Sequence[str]) -> list[str]:
        """Return a key of everything that a crop depends on."""
        self.sources |= {name: sha256_file(Paths.portraits / name) for name in names}
        return [cache_key(VERSION, self.sources[name], self.size, self.digests) for name in names]

    def compute(self, names: Sequence[str], tick: Tick) -> Iterator[Entry]:
        """Crop portraits; one without a usable face gives the reason instead."""
        for done, name in enumerate(names):
            yield self._crop(Paths.portraits / name)
            tick(done + 1)

    def _crop(self, path: Path) -> Entry:
        try:
            face = align_face(read_image(path), self.size, weights_dir=Paths.weights)
        except FaceError as error:
            refused = {"refused": str(error), "flags": "", "score": 0.0, "quad": [], FRAME: []}
            return Entry(None, refused)
        quad = [round(v, 3) for v in face.quad.reshape(-1).tolist()]
        frame = [] if face.frame_Q2 is None else face.frame_Q2.reshape(-1).tolist()
        facts = {"refused": "", "flags": " ".join(face.flags), "score": round(face.score, 4)}
        return Entry(png_bytes(face.image), {**facts, "quad": quad, FRAME: frame})


def hold_out(hashes: Mapping[str, str], wanted: int, min_exemplars: int) -> set[str]:
    """Return the names of the exemplars to hold out: those of the smallest content hashes.

    One more portrait thus moves at most one other. `min_exemplars`, or half of them if that is
    more, stay for the training.

    Args:
        hashes: of every usable exemplar by name.
        wanted: at most so many.
        min_exemplars: see the setting `diagnose.min_exemplars`.
    """
    spare = len(hashes) - max(min_exemplars, (len(hashes) + 1) // 2)
    count = max(0, min(wanted, spare))
    return set(sorted(hashes, key=lambda name: (hashes[name], name))[:count])


def align(
    *, size: int, held_out: int, min_exemplars: int, settings: Settings | None = None
) -> dict[str, str]:
    """Write the set's crops.

    Args:
        size: side of the crops in pixels.
        held_out: exemplars that go to its folder `held_out`, so that nothing is trained on them.
        min_exemplars: exemplars that are not held out, at least.
        settings: of the set, see `mapped`.

    Returns:
        The reason of each refused portrait, by kind and file name.

    Raises:
        DataError: no portrait of a kind has a usable face.
    """
    import pandas as pd

    portraits = [(kind, path) for kind in KINDS for path in list_images(Paths.portraits / kind)]
    names = [f"{kind}/{path.name}" for kind, path in portraits]
    rows = []
    refused: dict[str, str] = {}
    with atomic_directory(Paths.aligned) as out:
        aligner = Aligner(size)
        entries = mapped(aligner, names, settings)
        for name, (kind, path), entry in zip(names, portraits, entries, strict=True):
            if entry.data is None:
                refused[f"{kind}/{path.name}"] = str(entry.facts["refused"])
            else:
                write_bytes(out / kind / f"{path.stem}.png", entry.data)
            rows.append(_row(kind, path, aligner.sources[name], entry))
        _check_any(rows, refused)
        table = pd.DataFrame(rows).sort_values(["kind", "name"], ignore_index=True)
        usable = table[(table["kind"] == "style") & (table["aligned_sha256"] != "")]
        hashes = dict(zip(usable["name"], usable["source_sha256"], strict=True))
        held = hold_out(hashes, held_out, min_exemplars)
        table["held_out"] = (table["kind"] == "style") & table["name"].isin(held)
        for name in held:
            folder = out / Paths.held_out.name
            folder.mkdir(exist_ok=True)
            (out / Paths.exemplars.name / f"{name}.png").rename(folder / f"{name}.png")
        write_dataframe(out / Paths.manifest.name, table)
    if len(held) < held_out:
        print(
            f"{len(held)} exemplars held out, not {held_out}: {min_exemplars}, or half of "
            "them if that is more, stay for the training"
        )
    return refused


def _row(kind: str, path: Path, source: str, entry: Entry) -> dict[str, Any]:
    aligned = "" if entry.data is None else hashlib.sha256(entry.data).hexdigest()
    hashes = {"source_sha256": source, "aligned_sha256": aligned}
    return {"kind": kind, "name": path.stem, "file": path.name, **hashes, **entry.facts}


def _check_any(rows: list[dict[str, Any]], refused: dict[str, str]) -> None:
    for kind in KINDS:
        if not any(row["kind"] == kind and row["aligned_sha256"] for row in rows):
            raise DataError(
                "no portrait has a usable face",
                file=Paths.portraits / kind,
                value="; ".join(f"{k}: {v}" for k, v in list(refused.items())[:3]),
                fix="use frontal, sharp portraits",
            )


def main() -> None:
    """Run `python -m tasks.align [SET]`."""
    settings = load_settings()
    options, min_exemplars = settings.align, settings.diagnose.min_exemplars

    def stage() -> None:
        own = {**options.model_dump(), "min_exemplars": min_exemplars}
        for name, reason in align(**own, settings=settings).items():
            print(f"left out {name}: {reason}")
        check_aligned(settings)

    run_stage("align", stage)


if __name__ == "__main__":
    main()

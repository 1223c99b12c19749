"""Stage `diagnose`: which exemplars will help and whether the set will do, a page of thumbnails."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch

from dualstylegan.codes.tables import read_codes
from dualstylegan.errors import DataError
from dualstylegan.io.files import write_json, write_text
from dualstylegan.io.images import image_to_tensor, list_images, read_image
from tasks.pages.diagnosis import Diagnosis, Limits, Verdict, diagnose
from tasks.pages.diagnosis_page import render
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, run_stage
from tasks.shared.settings import Diagnose

LOOKED_AT_PX = 128


def manifest_rows() -> list[dict[str, Any]]:
    """What alignment wrote down of the style portraits."""
    import pandas as pd

    table = pd.read_parquet(Paths.manifest)
    return cast("list[dict[str, Any]]", table[table["kind"] == "style"].to_dict("records"))


def losses_of(path: Path, name: str, names: list[str]) -> list[float]:
    """One kind of loss of some images, in order."""
    table = read_codes(path)
    found = dict(zip(table.names, table.losses[name], strict=True))
    return [found[image] for image in names]


def run(chosen: Diagnose) -> Diagnosis:
    """Write data/reports/diagnosis.html and diagnosis.json.

    Raises:
        DataError: the set will not do, and `diagnose.proceed` is off.
    """
    rows = manifest_rows()
    paths = list_images(Paths.exemplars)
    images = {path.stem: read_image(path) for path in paths}
    names = list(images)
    limits = Limits(chosen.duplicate, chosen.abstract, chosen.min_exemplars, chosen.refused)
    found = diagnose(
        names,
        torch.stack([image_to_tensor(image, LOOKED_AT_PX) for image in images.values()]),
        {row["name"]: row["flags"].split() for row in rows},
        {
            "inversion": losses_of(Paths.style_codes, "end", names),
            "destylization": losses_of(Paths.intrinsic_codes, "end", names),
        },
        {row["name"]: row["refused"] for row in rows if row["refused"]},
        limits,
    )
    write_text(Paths.diagnosis_page, render(found, images))
    findings = [
        {**vars(one), "verdict": one.verdict.value, "figures": dict(one.figures)}
        for one in found.findings
    ]
    facts = {"verdict": found.verdict.value, "reasons": found.reasons, "findings": findings}
    write_json(Paths.diagnosis, facts)
    if found.verdict is Verdict.USELESS and not chosen.proceed:
        raise DataError(
            "this style set will not do",
            file=Paths.diagnosis_page,
            value=" ".join(found.reasons),
            fix="mend the set as the page says, or set diagnose.proceed: true",
        )
    write_json(Paths.diagnosed, {"train": True})
    return found


def main() -> None:
    """`python -m tasks.diagnose`."""
    chosen = load_settings().diagnose

    def stage() -> None:
        found = run(chosen)
        print(" ".join(found.reasons))
        for one in found.findings:
            if one.verdict is not Verdict.GOOD:
                print(f"{one.verdict.value}: {one.name}: {'; '.join(one.reasons)}")

    run_stage("diagnose", stage)


if __name__ == "__main__":
    main()

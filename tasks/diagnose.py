"""Stage `diagnose`: fitness of the style set for training, on a page of thumbnails."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch

from dualstylegan.codes.tables import read_codes
from dualstylegan.errors import DataError
from dualstylegan.faces.frame import outside_share
from dualstylegan.io.files import write_json, write_text
from dualstylegan.networks.masks import crop_to_tensor
from tasks.pages.diagnosis import Diagnosis, Limits, Verdict, diagnose
from tasks.pages.diagnosis_page import render
from tasks.shared.aligned import read_aligned, read_frames
from tasks.shared.dataframes import read_dataframe
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, run_stage
from tasks.shared.settings import Diagnose

DIAGNOSIS_PX = 128


def manifest_rows() -> list[dict[str, Any]]:
    """Load the alignment's records of the style portraits."""
    table = read_dataframe(Paths.manifest)
    return cast("list[dict[str, Any]]", table[table["kind"] == "style"].to_dict("records"))


def losses_of(path: Path, name: str, names: list[str]) -> list[float]:
    """Load one kind of loss of some images, in their order."""
    table = read_codes(path)
    losses = dict(zip(table.names, table.losses[name], strict=True))
    return [losses[image] for image in names]


def run(chosen: Diagnose) -> Diagnosis:
    """Diagnose the style set; write the set's reports/diagnosis.html and diagnosis.json.

    Raises:
        DataError: the set is useless, and `diagnose.proceed` is off.
    """
    rows = manifest_rows()
    images = dict(read_aligned(Paths.exemplars))
    names = list(images)
    frames = read_frames(Paths.exemplars, names)
    tensors = [crop_to_tensor(image, frames[name], DIAGNOSIS_PX) for name, image in images.items()]
    limits = Limits(chosen.duplicate, chosen.abstract, chosen.min_exemplars, chosen.refused)
    diagnosis = diagnose(
        names,
        torch.stack(tensors),
        {row["name"]: row["flags"].split() for row in rows},
        {
            "inversion": losses_of(Paths.style_codes, "end", names),
            "destylization": losses_of(Paths.intrinsic_codes, "end", names),
        },
        {row["name"]: row["refused"] for row in rows if row["refused"]},
        limits,
        [outside_share(frames[name]) for name in names],
    )
    write_text(Paths.diagnosis_page, render(diagnosis, images))
    findings = [
        {**vars(finding), "verdict": finding.verdict.value, "figures": dict(finding.figures)}
        for finding in diagnosis.findings
    ]
    facts = {"verdict": diagnosis.verdict.value, "reasons": diagnosis.reasons, "findings": findings}
    write_json(Paths.diagnosis, facts)
    if diagnosis.verdict is Verdict.USELESS and not chosen.proceed:
        raise DataError(
            "the style set is not fit for training",
            file=Paths.diagnosis_page,
            value=" ".join(diagnosis.reasons),
            fix="follow the advice on the page, or set diagnose.proceed: true",
        )
    write_json(Paths.diagnosed, {"train": True})
    return diagnosis


def main() -> None:
    """`python -m tasks.diagnose [SET]`."""
    chosen = load_settings().diagnose

    def stage() -> None:
        diagnosis = run(chosen)
        print(" ".join(diagnosis.reasons))
        for finding in diagnosis.findings:
            if finding.verdict is not Verdict.GOOD:
                print(f"{finding.verdict.value}: {finding.name}: {'; '.join(finding.reasons)}")

    run_stage("diagnose", stage)


if __name__ == "__main__":
    main()

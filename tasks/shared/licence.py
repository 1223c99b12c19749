"""LICENSE.md of a trained model: origin and licence of each weight file, and the licences' texts.

The texts are those of the weights' authors, word for word, in `licence_texts/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

TEXTS = Path(__file__).parent / "licence_texts"

_HEAD = """\
# Licence

**Research only, no commercial use.** The generator was trained on FFHQ (CC BY-NC-SA 4.0 and
others), and every weight that was trained from it or on its pictures follows it; the landmark model
was trained on iBUG 300-W, which forbids commercial use. What each file derives from:

| file | origin | licence |
|---|---|---|
{rows}

All files but the detector's were converted to other formats, and some are stored in fewer bits.
Do not use the model to pass images off as real, or on people who have not agreed to it.

The VGG16 inside of LPIPS is by Karen Simonyan and Andrew Zisserman (Visual Geometry Group,
University of Oxford), under CC BY 4.0: https://creativecommons.org/licenses/by/4.0/. dlib's face
recognition is in the public domain (CC0 1.0): https://creativecommons.org/publicdomain/zero/1.0/.
"""

# Names of weight files in the record of their origins, by which of them a model is made from.
_ORIGINS = (
    "generator.safetensors",
    "encoder.safetensors",
    "identity.safetensors",
    "landmarks68.dat",
    "lpips_vgg16.safetensors",
    "yunet.onnx",
)
# Weight files whose licence must travel with them, and the file of its text.
_TEXTS = {
    "generator.safetensors": ("MobileStyleGAN", "mobilestylegan.txt"),
    "lpips_vgg16.safetensors": ("LPIPS", "lpips.txt"),
    "yunet.onnx": ("YuNet", "yunet.txt"),
}


def weight_sources(records: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return name, origin and licence of each downloaded weight file, and of the project's own."""
    found = [
        {
            "name": name,
            "origin": f"{record['origin']} ({record['distribution']} on PyPI)",
            "licence": str(record["licence"]),
        }
        for name, record in sorted(records.items())
    ]
    own = "trained by this project on pictures of the generator alone, see data/base"
    licence = "as the generator: non-commercial research"
    return [*found, {"name": "encoder.safetensors", "origin": own, "licence": licence}]


def model_licence(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return LICENSE.md of a model that is made from downloaded weights.

    Args:
        records: of the weights' origins and licences, as the stage `download` writes them.
    """
    sources = {row["name"]: row for row in weight_sources(records)}
    names = [name for name in _ORIGINS if name in sources]
    table = [[sources[name][key] for key in ("name", "origin", "licence")] for name in names]
    parts = [_HEAD.format(rows="\n".join(f"| {' | '.join(row)} |" for row in table))]
    for name in names:
        if name in _TEXTS:
            title, file = _TEXTS[name]
            text = (TEXTS / file).read_text(encoding="utf-8").strip("\n")
            parts.append(f"## {title}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)

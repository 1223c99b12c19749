"""Draw the pictures of docs/method.md from a trained model: `python docs/make_pictures.py`.

They show the demo alone: generated faces and exemplars, from a clone where `make demo` has run.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dualstylegan import PortraitModel
from dualstylegan.io.files import write_bytes
from dualstylegan.io.images import make_grid, read_image, tensor_to_image
from dualstylegan.portrait.options import ReadOptions
from dualstylegan.portrait.reading import read_sitter

FOLDER = Path(__file__).parent / "pictures"
CELL_PX = 192
QUALITY = 85
STEPS = (0.0, 0.5, 1.0)
EXEMPLARS = 6


def write_sheet(name: str, images: list[Image.Image], columns: int) -> None:
    """Write images as a sheet, a JPEG among the docs' pictures."""
    small = [image.resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS) for image in images]
    buffer = io.BytesIO()
    make_grid(small, columns).save(buffer, "JPEG", quality=QUALITY)
    write_bytes(FOLDER / name, buffer.getvalue())


def draw_codes(model: PortraitModel, photo: Image.Image, style: str) -> None:
    """Draw a photo, g of the encoder's code, g of the fitted code, and the result."""
    faces = [model.align(photo).image]
    for steps in (0, None):
        sitter = read_sitter(model, photo, ReadOptions(fit_steps=steps), None)
        faces.append(tensor_to_image(model.render(sitter.faces[0].fit.code_LD[None], None)[0]))
    faces.append(model.restyle(sitter, style))
    write_sheet("codes.jpg", faces, len(faces))


def draw_weights(model: PortraitModel, photo: Image.Image, style: str) -> None:
    """Draw a face by structure weight, from left to right, and colour weight, downwards."""
    sitter = read_sitter(model, photo, ReadOptions(), None)
    results = [
        model.restyle(sitter, style, structure=structure, color=color)
        for color in STEPS
        for structure in STEPS
    ]
    write_sheet("weights.jpg", results, len(STEPS))


def draw_destylization(model: PortraitModel, aligned: Path) -> None:
    """Draw exemplars evenly spaced, and below each g(z_i+)."""
    there = [name for name in model.styles.names if (aligned / f"{name}.png").is_file()]
    names = [there[i] for i in np.linspace(0, len(there) - 1, EXEMPLARS).astype(int)]
    exemplars = [read_image(aligned / f"{name}.png") for name in names]
    natural = [model.styles.intrinsic_of([name]) for name in names]
    with torch.no_grad():
        faces = [tensor_to_image(model.render(code, None)[0]) for code in natural]
    write_sheet("destylization.jpg", [*exemplars, *faces], EXEMPLARS)


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description="Draw the pictures of docs/method.md.")
    parser.add_argument("--data", type=Path, default=Path("data"), help="of the demo")
    parser.add_argument("--face", default="face07", help="content face")
    parser.add_argument("--style", default="lagoon_sprite_gouache", help="exemplar")
    given = parser.parse_args()
    model = PortraitModel.from_pretrained(given.data / "models" / "portrait")
    photo = read_image(given.data / "portraits" / "content" / f"{given.face}.png")
    draw_codes(model, photo, given.style)
    draw_weights(model, photo, given.style)
    draw_destylization(model, given.data / "aligned" / "style")


if __name__ == "__main__":
    main()

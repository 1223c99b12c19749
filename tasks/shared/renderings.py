"""Files of the evaluation of a set: rendered images, the weight sweep and the overview grid."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.codes.subsets import evenly_spaced
from dualstylegan.evaluation.descriptions import Renderings
from dualstylegan.evaluation.eval_set import EvalSet
from dualstylegan.evaluation.identity_lines import SWEEP_WEIGHTS
from dualstylegan.evaluation.rendering import stack
from dualstylegan.io.conversion import BACKGROUND
from dualstylegan.io.files import write_bytes
from dualstylegan.io.images import make_grid, read_image, write_png

GRID_PX, GRID_FACES, GRID_STYLES = 128, 8, 12
GRID_QUALITY = 88


@dataclass(frozen=True)
class EvaluationFiles:
    """Layout of the folder with the images of an evaluation.

    Attributes:
        root: the folder.
    """

    root: Path

    @property
    def grid(self) -> Path:
        """Overview: exemplars across the top, faces down the left, results between."""
        return self.root / "grid.jpg"

    def result(self, content: str, style: str) -> Path:
        """Path of a face in a style."""
        return self.root / "results" / content / f"{style}.png"

    def reconstruction(self, style: str) -> Path:
        """Path of an exemplar's reconstruction."""
        return self.root / "reconstructions" / f"{style}.png"

    def rendered_code(self, content: str) -> Path:
        """Path of g(code) of a face."""
        return self.root / "codes" / f"{content}.png"

    def sweep(self, structure: float, color: float) -> Path:
        """Path of the weight sweep's image at two style weights; its name has them in percent."""
        return self.root / "sweep" / f"{100 * structure:03.0f}_{100 * color:03.0f}.png"

    def write_renderings(
        self, renderings: Renderings, contents: Sequence[str], styles: Sequence[str]
    ) -> None:
        """Write results and reconstructions as PNG."""
        for content, row in zip(contents, renderings.results, strict=True):
            for style, pixels in zip(styles, row, strict=True):
                write_png(self.result(content, style), to_image(pixels))
        for style, pixels in zip(styles, renderings.reconstructions, strict=True):
            write_png(self.reconstruction(style), to_image(pixels))

    def read_renderings(
        self, contents: Sequence[str], styles: Sequence[str], size: int
    ) -> Renderings:
        """Read what `write_renderings` wrote, for some faces and styles.

        Raises:
            ImageError: an image is missing.
        """
        results = [
            stack([(s, read_image(self.result(c, s))) for s in styles], size) for c in contents
        ]
        own = stack([(s, read_image(self.reconstruction(s))) for s in styles], size)
        return Renderings(torch.stack(results), own)

    def write_rendered_codes(self, image_CCHW: Tensor, contents: Sequence[str]) -> None:
        """Write g(code) of each face as PNG."""
        for content, pixels in zip(contents, image_CCHW, strict=True):
            write_png(self.rendered_code(content), to_image(pixels))

    def write_sweep(self, sweep: Tensor) -> None:
        """Write the weight sweep, uint8 (structure, color, 3, H, W) over SWEEP_WEIGHTS, as PNG."""
        for structure, row in zip(SWEEP_WEIGHTS, sweep, strict=True):
            for color, pixels in zip(SWEEP_WEIGHTS, row, strict=True):
                write_png(self.sweep(structure, color), to_image(pixels))

    def write_grid(self, eval_set: EvalSet, renderings: Renderings) -> None:
        """Write the overview grid as JPEG: up to GRID_FACES faces in up to GRID_STYLES styles."""
        faces = evenly_spaced(len(eval_set.contents), GRID_FACES)
        styles = evenly_spaced(len(eval_set.styles), GRID_STYLES)
        image = results_grid(
            eval_set.face_CCHW[faces],
            eval_set.exemplar_SCHW[styles],
            renderings.results[faces][:, styles],
            GRID_PX,
        )
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=GRID_QUALITY)
        write_bytes(self.grid, buffer.getvalue())


def to_image(pixels_CHW: Tensor) -> Image.Image:
    """Convert uint8 pixels (3, H, W) to an image."""
    return Image.fromarray(pixels_CHW.permute(1, 2, 0).contiguous().numpy())


def results_grid(
    face_CCHW: Tensor, exemplar_SCHW: Tensor, result_CSCHW: Tensor, pixels: int | None = None
) -> Image.Image:
    """Lay out exemplars across the top, faces down the left, and results between.

    Args:
        face_CCHW, exemplar_SCHW, result_CSCHW: uint8 images.
        pixels: size of a cell; None keeps the images' own.
    """
    side = pixels or face_CCHW.shape[-1]
    rows = [[None, *exemplar_SCHW]]
    rows += [[face, *row] for face, row in zip(face_CCHW, result_CSCHW, strict=True)]
    blank = Image.new("RGB", (side, side), BACKGROUND)
    cells = [blank if x is None else to_image(x) for row in rows for x in row]
    return make_grid(cells, len(rows[0]))

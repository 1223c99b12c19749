"""Flicker of restyled videos: change from frame to frame, beside that of the source.

    python -m benchmarks.flicker [--photos PHOTO ...] [--model FOLDER] [--style NAME]

Videos are made of photographs, or of faces that the model generates: a view that stands still, one
that pans, zooms and turns as a hand-held camera does, and one whose light changes, all with a
sensor's noise. Each is restyled into the whole frame and as a crop. As the motion is known, all
frames are laid upon each other along it, so that what is left is change that an eye sees as
flicker. Temporal LPIPS is the mean LPIPS of consecutive frames, 128 px a side. Its ratio to the
source's is printed, and the steadiness of the outline: the mean change, in levels of 255, of the
ring around the head where photo and result meet.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from dualstylegan.errors import LikenessWarning
from dualstylegan.faces.frame import Array
from dualstylegan.faces.geometry import crop_quad
from dualstylegan.faces.matte import HEAD, inside_ellipse
from dualstylegan.io.allocator import keep_freed_memory
from dualstylegan.io.images import image_to_tensor, read_image, tensor_to_image
from dualstylegan.io.video_reading import Picture, open_video
from dualstylegan.io.video_writing import create_video
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.video.restyling import restyle_video
from tasks.shared.paths import Paths

SIZE, RATE = (1280, 720), 25
PX = 128
NOISE_LEVELS = 2.0
GENERATED_SEED, GENERATED_FACES, GENERATED_PX = 5, 2, 512
# Ring around the head, in distances from the centre of the usual head to its outline.
RING = (0.9, 1.25)
LIMIT = 1.3
HEAD_LINE = (
    f"{'photo':24} {'motion':8} {'source':>8} {'crop':>8} {'ratio':>6} {'whole':>8} {'ratio':>6}"
    "  ring, source and whole"
)


@dataclass(frozen=True)
class View:
    """Part of a photo that a frame shows.

    Attributes:
        zoom: of the photo that just covers the frame.
        shift: of the middle, in shares of the photo's sides.
        degrees: of the turn.
        light: factor of the brightness.
    """

    zoom: float = 1.02
    shift: tuple[float, float] = (0.0, 0.0)
    degrees: float = 0.0
    light: float = 1.0

    def map(self, photo_size: tuple[int, int]) -> Array:
        """Return the affine map (2, 3) from pixels of the frame to pixels of the photo."""
        scale = self.zoom * max(f / p for f, p in zip(SIZE, photo_size, strict=True))
        turn = np.deg2rad(self.degrees)
        rows = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) / scale
        middle = np.array(photo_size) * (0.5 + np.array(self.shift))
        return np.concatenate((rows, (middle - rows @ np.array(SIZE) / 2)[:, None]), 1)


def still(seconds: float) -> View:
    """View of a camera on a stand."""
    return View()


def camera(seconds: float) -> View:
    """View of a hand that pans, zooms and turns, and trembles."""
    tremble = 0.002 * np.sin(2 * np.pi * np.array([5.3, 6.1]) * seconds)
    shift = 0.03 * np.sin(2.0 * seconds) + tremble[0], 0.02 * np.cos(1.7 * seconds) + tremble[1]
    return View(1.12 + 0.06 * np.sin(1.3 * seconds), shift, 4 * np.sin(2.3 * seconds))


def light(seconds: float) -> View:
    """View of a camera on a stand while clouds pass."""
    return View(light=0.85 + 0.15 * float(np.cos(4 * seconds)))


MOTIONS: dict[str, Callable[[float], View]] = {"still": still, "camera": camera, "light": light}


def frame_of(photo: Image.Image, view: View, noise: np.random.Generator) -> Image.Image:
    """Return what a camera sees of a photo."""
    coefficients = tuple(view.map(photo.size).ravel().tolist())
    seen = photo.transform(SIZE, Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
    levels = np.asarray(seen, np.float32) * view.light
    levels += noise.normal(0, NOISE_LEVELS, levels.shape).astype(np.float32)
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


def quad_in_frame(quad_Q2: Array, view: View, photo_size: tuple[int, int]) -> Array:
    """Return a quad of the photo in pixels of the frame."""
    rows = view.map(photo_size)
    moved: Array = (quad_Q2 - rows[:, 2]) @ np.linalg.inv(rows[:, :2]).T
    return moved


def generated_photos(model: PortraitModel) -> Iterator[tuple[str, Image.Image]]:
    """Yield photos of faces that the model generates, each before its own blurred enlargement."""
    draw = torch.Generator().manual_seed(GENERATED_SEED)
    rows, width = model.generator.rows, model.generator.style_dim
    for index in range(GENERATED_FACES):
        code_1LD = torch.randn(1, 1, width, generator=draw).expand(1, rows, width)
        face = tensor_to_image(model.render(code_1LD.to(model.device), None, size=GENERATED_PX)[0])
        photo = face.resize(SIZE).filter(ImageFilter.GaussianBlur(40))
        photo.paste(face, ((SIZE[0] - GENERATED_PX) // 2, (SIZE[1] - GENERATED_PX) // 2))
        yield f"generated {index + 1}", photo


def around_face(model: PortraitModel, photo: Image.Image) -> Image.Image:
    """Return the largest part of a photo in the frame's shape whose middle is next to the face."""
    scale = min(p / f for p, f in zip(photo.size, SIZE, strict=True))
    extent = np.floor(np.array(SIZE) * scale)
    middle = model.align(photo).quad_Q2.mean(0)
    low = (middle - extent / 2).clip(0, np.array(photo.size) - extent).astype(int)
    return photo.crop((*low.tolist(), *(low + extent.astype(int)).tolist()))


def pictures(path: Path) -> list[Image.Image]:
    """Return the frames of a video."""
    with open_video(path) as reader:
        return [part.image for part in reader.parts() if isinstance(part, Picture)]


@torch.no_grad()
def temporal_lpips(model: PortraitModel, frames: Sequence[Image.Image]) -> float:
    """Return the mean LPIPS of consecutive frames."""
    lpips = model.lpips()
    features = [lpips.features(image_to_tensor(image, PX)[None]) for image in frames]
    return float(torch.cat([lpips.distance(a, b) for a, b in pairwise(features)]).mean())


def ring_change(frames: Sequence[Image.Image]) -> float:
    """Return the mean change of consecutive frames around the head, in levels of 255."""
    distance = inside_ellipse(HEAD, PX)
    ring = (distance > RING[0]) & (distance < RING[1])
    levels = np.stack([np.asarray(image, np.float32)[ring] for image in frames])
    return float(np.abs(np.diff(levels, axis=0)).mean())


def measure(
    model: PortraitModel, photo: Image.Image, motion: str, style: str, frames: int, folder: Path
) -> tuple[Tensor, float, float]:
    """Make a video and restyle it twice.

    Returns:
        Temporal LPIPS of source, crop and whole, and the change of the ring in source and whole.
    """
    noise = np.random.default_rng(0)
    views = [MOTIONS[motion](index / RATE) for index in range(frames)]
    source, crop, whole = (folder / f"{name}.mp4" for name in ("source", "crop", "whole"))
    with create_video(source, SIZE, rate=Fraction(RATE)) as writer:
        for index, view in enumerate(views):
            writer.write(frame_of(photo, view, noise), index)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LikenessWarning)
        for path in (crop, whole):
            restyle_video(model, source, path, style, crop=path == crop)
    quad_Q2 = model.align(photo).quad_Q2
    quads = [quad_in_frame(quad_Q2, view, photo.size) for view in views]
    followed = [
        [crop_quad(image, quad, PX) for image, quad in zip(pictures(path), quads, strict=True)]
        for path in (source, whole)
    ]
    sets = (followed[0], pictures(crop), followed[1])
    values = torch.tensor([temporal_lpips(model, one) for one in sets])
    return values, ring_change(followed[0]), ring_change(followed[1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line a video, and what exceeds the limit."""
    parser = argparse.ArgumentParser(description="Flicker of restyled videos.")
    parser.add_argument("--photos", type=Path, nargs="*", default=[])
    parser.add_argument("--model", type=Path, default=Paths.portrait)
    parser.add_argument("--style")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--motions", nargs="*", choices=list(MOTIONS), default=list(MOTIONS))
    asked = parser.parse_args(arguments)
    keep_freed_memory()
    model = PortraitModel.from_pretrained(asked.model)
    style = asked.style or model.styles.names[0]
    photos = [(path.stem, around_face(model, read_image(path))) for path in asked.photos]
    print(HEAD_LINE)
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, photo in photos or generated_photos(model):
            for motion in asked.motions:
                found, before, after = measure(
                    model, photo, motion, style, asked.frames, Path(folder)
                )
                source, crop, whole = found.tolist()
                ratios = crop / source, whole / source
                worst = max(worst, *ratios)
                print(
                    f"{name[:24]:24} {motion:8} {source:8.4f} {crop:8.4f} {ratios[0]:6.2f}"
                    f" {whole:8.4f} {ratios[1]:6.2f}  {before:5.2f} {after:5.2f}",
                    flush=True,
                )
    print(f"largest ratio {worst:.2f}, limit {LIMIT}")


if __name__ == "__main__":
    main()

"""Folder in which the commands of the docs run: a small model, photos and a video."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image

from dualstylegan.portrait.model import PortraitModel
from tests.support.portrait_models import tiny_model, with_sampler
from tests.support.videos import make_video

# Names that stand for styles and photos in the docs.
STYLES = ("NAME", "A", "B", "C")
PHOTOS = (
    *("photo.jpg", "more.jpg", "painting.jpg", "first.jpg"),
    *("photos/one.jpg", "paintings/one.jpg"),
)
MODELS = "data/sets/{}/models/portrait"
PX, STUDIO_PX = 512, 256
FRAMES = 3
FRAME_SIZE = (160, 120)


def docs_model(weights: Path, resolution: int = PX) -> PortraitModel:
    """Return a tiny model whose styles have the names of the docs; it finds real faces."""
    model = with_sampler(tiny_model(resolution=resolution, names=STYLES))
    model.weights_dir = weights
    return model


def lay_out(folder: Path, weights: Path) -> Path:
    """Fill a folder with all that the docs' commands read; return it.

    The second photo is the second person, so that films and folders have two faces.
    """
    with Image.open(weights / "astronaut.png") as image:
        photo = image.convert("RGB").resize((256, 256))
    for name in PHOTOS:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        photo.save(path)
    with Image.open(weights / "grace_hopper.jpg") as image:
        image.convert("RGB").resize((240, 300)).save(folder / "second.jpg")
    pair = Image.new("RGB", (512, 256))
    pair.paste(photo, (0, 0))
    pair.paste(photo, (256, 0))
    pair.save(folder / "group.jpg")
    frame = photo.crop((0, 0, 256, 192)).resize(FRAME_SIZE)
    frame.save(folder / "frame.jpg")
    make_video(folder / "in.mp4", [photo.resize((160, 160))] * FRAMES)
    return folder


def copy_model(source: Path, folder: Path, style_set: str = "demo") -> None:
    """Put the model's folder where the pipeline has that of a style set."""
    (folder / "data/models").mkdir(parents=True)
    shutil.copytree(source, folder / MODELS.format(style_set), copy_function=shutil.copyfile)

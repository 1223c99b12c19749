"""Rows of whole stages for one portrait, and of the main job by the timings that it left."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import Cycle, Row, alone
from benchmarks.rows.build import normal
from dualstylegan.codes.sampling import SamplerPlan, fit_sampler
from dualstylegan.faces.align import align_face
from dualstylegan.io.images import read_image, write_png
from dualstylegan.networks.loading import EMBEDDED_CONFIG, EmbeddedNetworks
from dualstylegan.portrait.config import PortraitConfig
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.styles import StyleLibrary
from tasks.package import transfer_defaults
from tasks.shared.paths import Paths
from tasks.shared.sets import load

PHOTO = Paths.weights / "astronaut.png"
SIZES = (256, 1024)
EXEMPLARS = 16


def embedded_model() -> PortraitModel:
    """The embedded model as it ships, before any style, with styles that are random codes."""
    networks = EmbeddedNetworks(Paths.weights, Paths.base)
    network = networks.dualstylegan()
    shape = (1, network.generator.rows, network.generator.style_dim)
    library = StyleLibrary(("drawn",), normal(*shape), normal(*shape))
    config = PortraitConfig(
        network=EMBEDDED_CONFIG, styles=library.names, defaults=transfer_defaults(load())
    )
    return PortraitModel(config, network, networks.encoder(), library, weights_dir=Paths.weights)


def transfer_rows() -> list[Row]:
    """Transfer end to end, warm: a photo file in, a picture file out."""

    def side(size: int, fit_steps: int) -> Cycle:
        model = embedded_model()
        folder = Path(tempfile.mkdtemp())

        def run() -> None:
            image = read_image(PHOTO)
            found = model.transfer(image, "drawn", size=size, fit_steps=fit_steps)
            write_png(folder / "out.png", found)

        return alone(run)

    rows = [Row(f"transfer, file to file, {px} px", partial(side, px, 0)) for px in SIZES]
    steps = load().package.fit_steps  # what `dualstylegan transfer` does by default
    name = f"transfer, file to file, {SIZES[0]} px, {steps} fit steps"
    return [*rows, Row(name, lambda: side(SIZES[0], steps)), *restyling_rows()]


def restyling_rows() -> list[Row]:
    """A photo that was read, restyled once more."""

    def side(size: int) -> Cycle:
        model = embedded_model()
        sitter = model.read(read_image(PHOTO), fit_steps=0)
        return alone(lambda: model.restyle(sitter, "drawn", size=size))

    return [Row(f"restyling of a photo that was read, {px} px", partial(side, px)) for px in SIZES]


def alignment_rows() -> list[Row]:
    """A photo's face found, measured and cropped."""

    def side() -> Cycle:
        photo = read_image(PHOTO)
        return alone(lambda: align_face(photo, 256, weights_dir=Paths.weights))

    return [Row("alignment of a photo, 256 px", side)]


def sampler_rows() -> list[Row]:
    """An epoch of the sampler: a pool of 1000 codes matched and learnt."""

    def side() -> Cycle:
        codes = normal(EXEMPLARS, 16, 512)
        plan = SamplerPlan(epochs=1, pool=1000, batch=128, rate=1e-3, jitter=0.05, seed=0)
        return alone(lambda: fit_sampler(codes, 7, plan))

    return [Row("sampler, an epoch of 1000 codes", side)]

"""Stage `destylize`: extrinsic and intrinsic codes of the exemplars, and picture triples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dualstylegan.codes.destylization import TRUNCATION, destylize
from dualstylegan.codes.inversion import OptimizationSchedule
from dualstylegan.codes.tables import CodeTable, digest, read_codes, write_codes
from dualstylegan.io.files import atomic_directory
from dualstylegan.io.images import dequantize, make_grid, quantize, tensor_to_image, write_png
from dualstylegan.networks.loading import load_trained_generator
from tasks.shared.at_once import Tick, fits_at_once
from tasks.shared.caching import Entry, cache_key
from tasks.shared.mapping import Computation, mapped
from tasks.shared.networks import open_networks, place
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, prepare, run_stage
from tasks.shared.settings import Settings
from tasks.shared.tensors import (
    PortraitSet,
    Tensors,
    loss_columns,
    portrait_digests,
    read_portraits,
    stack_entries,
    tensor_entries,
)

# Part of the cache key: raise it when the codes change.
VERSION = 4


class Destylizer(Computation):
    """Destylization of the set's exemplars.

    Args:
        settings: of the pipeline.
    """

    stage = "destylize"

    def __init__(self, settings: Settings) -> None:
        profile, self.options = settings.profile, settings.destylize
        self.profile, self.size = profile, profile.working_size
        self.batch, self.steps = settings.runtime.batch, self.options.steps
        self.device = prepare(settings.runtime)
        self.together = fits_at_once(self.device)
        networks = open_networks(profile)
        self.generator = place(networks.generator(), profile, self.device)
        self.adapted = place(load_trained_generator(Paths.adapted), profile, self.device)
        self.encoder = networks.encoder().to(self.device)
        self.lpips = place(networks.lpips(), profile, self.device)
        self.identity = place(networks.identity(), profile, self.device)
        self.networks = (self.generator, self.adapted, self.encoder, self.lpips, self.identity)
        self.digests = [digest(network) for network in self.networks]
        self.codes = read_codes(Paths.style_codes)

    @classmethod
    def of_set(cls, settings: Settings) -> Destylizer:
        """Return the destylization by the settings of the set."""
        return cls(settings)

    def keys(self, names: Sequence[str]) -> list[str]:
        """Return a key of everything that an exemplar's destylization depends on."""
        digests = portrait_digests(Paths.exemplars, names)
        return [
            cache_key(
                VERSION,
                sha256,
                code_LD.flatten().tolist(),
                [self.size, self.profile.bfloat16],
                self.options.model_dump(),
                self.digests,
            )
            for sha256, code_LD in zip(digests, self.codes.select(names), strict=True)
        ]

    def compute(self, names: Sequence[str], tick: Tick) -> list[Entry]:
        """Destylize exemplars: intrinsic codes, natural faces and losses."""
        portraits = read_portraits(Paths.exemplars, self.size, names).to(self.device)
        every = range(len(names))
        result = destylize(
            self.generator,
            self.adapted,
            self.encoder,
            self.lpips,
            self.identity,
            portraits.images(every),
            self.codes.select(names).to(self.device),
            OptimizationSchedule(self.options.steps),
            size=self.size,
            rate=self.options.rate,
            progress=tick,
            mask_N1HW=portraits.masks(every),
        )
        return tensor_entries(
            {
                "code": result.intrinsic_NLD,
                "natural": quantize(result.natural_NCHW),
                "encoded": quantize(self._render(result.intrinsic_NLD)),
                "start": result.fitted.initial_loss_N,
                "end": result.fitted.loss_N,
            }
        )

    def _render(self, code_NLD: Tensor) -> Tensor:
        """Render intrinsic codes by g, as step 3 does."""
        with torch.no_grad():
            image: Tensor = self.generator(
                code_NLD, "z_plus", truncation=TRUNCATION, size=self.size
            )
        return image


def write_triples(portraits: PortraitSet, result: Tensors) -> None:
    """Write exemplar, natural face of step 2 and g(z_i+) side by side, one file per exemplar."""
    with atomic_directory(Paths.triples) as out:
        for i, name in enumerate(portraits.names):
            row = (portraits.pixels_NCHW[i], result["natural"][i], result["encoded"][i])
            tiles = [tensor_to_image(dequantize(pixels)) for pixels in row]
            write_png(out / f"{name}.png", make_grid(tiles, len(tiles), gap=0))


def main() -> None:
    """Run `python -m tasks.destylize [SET]`."""
    settings = load_settings()

    def stage() -> None:
        destylizer = Destylizer(settings)
        portraits = read_portraits(Paths.exemplars, destylizer.size)
        result = stack_entries(mapped(destylizer, portraits.names, settings))
        own = (portraits.names, portraits.sha256, destylizer.codes.space)
        generator = digest(destylizer.generator)
        extrinsic = destylizer.codes.select(portraits.names)
        write_triples(portraits, result)
        write_codes(Paths.extrinsic_codes, CodeTable(*own, extrinsic, generator))
        intrinsic = CodeTable(*own, result.pop("code"), generator, loss_columns(result))
        write_codes(Paths.intrinsic_codes, intrinsic)

    run_stage("destylize", stage)


if __name__ == "__main__":
    main()

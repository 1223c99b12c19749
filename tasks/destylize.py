"""Stage `destylize`: extrinsic and intrinsic codes of the exemplars, and picture triples."""

from __future__ import annotations

import torch
from torch import Tensor

from dualstylegan.codes.destylization import TRUNCATION, destylize
from dualstylegan.codes.inversion import OptimizationSchedule
from dualstylegan.codes.tables import CodeTable, digest, read_codes, write_codes
from dualstylegan.io.files import atomic_directory
from dualstylegan.io.images import dequantize, make_grid, quantize, tensor_to_image, write_png
from dualstylegan.networks.loading import load_trained_generator
from tasks.shared.at_once import Tick, fits_at_once
from tasks.shared.caching import cache_key
from tasks.shared.networks import open_networks, place
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, prepare, run_stage
from tasks.shared.settings import Settings
from tasks.shared.tensors import (
    PortraitSet,
    Tensors,
    cached_tensors,
    loss_columns,
    read_portraits,
)

# Part of the cache key: raise it when the codes change.
VERSION = 3


class Destylizer:
    """Networks and settings of destylization.

    Args:
        settings: of the pipeline.
    """

    def __init__(self, settings: Settings) -> None:
        self.profile, self.options = settings.profile, settings.destylize
        self.portraits_per_pass = settings.runtime.batch
        self.device = prepare(settings.runtime)
        profile = self.profile
        networks = open_networks(profile)
        self.generator = place(networks.generator(), profile, self.device)
        self.adapted = place(load_trained_generator(Paths.adapted), profile, self.device)
        self.encoder = networks.encoder().to(self.device)
        self.lpips = place(networks.lpips(), profile, self.device)
        self.identity = place(networks.identity(), profile, self.device)
        self.generator_digest = digest(self.generator)
        self.networks = (self.generator, self.adapted, self.encoder, self.lpips, self.identity)

    def run(self, portraits: PortraitSet, codes: CodeTable) -> Tensors:
        """Return intrinsic codes, natural faces and losses of every portrait."""
        extrinsic = codes.select(portraits.names)
        digests = [digest(network) for network in self.networks]
        keys = [
            cache_key(
                VERSION,
                sha256,
                extrinsic[i].flatten().tolist(),
                [self.profile.working_size, self.profile.bfloat16],
                self.options.model_dump(),
                digests,
            )
            for i, sha256 in enumerate(portraits.digests)
        ]

        def work(indices: list[int], tick: Tick) -> Tensors:
            result = destylize(
                self.generator,
                self.adapted,
                self.encoder,
                self.lpips,
                self.identity,
                portraits.images(indices),
                extrinsic[indices].to(self.device),
                OptimizationSchedule(self.options.steps),
                size=self.profile.working_size,
                rate=self.options.rate,
                progress=tick,
                mask_N1HW=portraits.masks(indices),
            )
            return {
                "code": result.intrinsic_NLD,
                "natural": quantize(result.natural_NCHW),
                "encoded": quantize(self._render(result.intrinsic_NLD)),
                "start": result.fitted.initial_loss_N,
                "end": result.fitted.loss_N,
            }

        return cached_tensors(
            "destylize",
            keys,
            self.portraits_per_pass,
            self.options.steps,
            work,
            fits_at_once(self.device),
        )

    def _render(self, code_NLD: Tensor) -> Tensor:
        """Render intrinsic codes by g, as step 3 does."""
        with torch.no_grad():
            image: Tensor = self.generator(
                code_NLD, "z_plus", truncation=TRUNCATION, size=self.profile.working_size
            )
        return image


def write_triples(portraits: PortraitSet, result: Tensors) -> None:
    """Write exemplar, natural face of step 2 and g(z_i+) side by side, one file per exemplar."""
    with atomic_directory(Paths.triples) as out:
        for i, name in enumerate(portraits.names):
            row = (portraits.pixels_NCHW[i].cpu(), result["natural"][i], result["encoded"][i])
            tiles = [tensor_to_image(dequantize(pixels)) for pixels in row]
            write_png(out / f"{name}.png", make_grid(tiles, len(tiles), gap=0))


def main() -> None:
    """Run `python -m tasks.destylize [SET]`."""
    settings = load_settings()

    def stage() -> None:
        destylizer = Destylizer(settings)
        size, device = settings.profile.working_size, destylizer.device
        portraits = read_portraits(Paths.exemplars, size).to(device)
        codes = read_codes(Paths.style_codes)
        result = destylizer.run(portraits, codes)
        own = (portraits.names, portraits.sha256, codes.space)
        generator = destylizer.generator_digest
        extrinsic = codes.select(portraits.names)
        write_triples(portraits, result)
        write_codes(Paths.extrinsic_codes, CodeTable(*own, extrinsic, generator))
        intrinsic = CodeTable(*own, result.pop("code"), generator, loss_columns(result))
        write_codes(Paths.intrinsic_codes, intrinsic)

    run_stage("destylize", stage)


if __name__ == "__main__":
    main()

"""Stage `invert`: Z+ codes of exemplars and content faces, portrait by portrait."""

from __future__ import annotations

from pathlib import Path

from dualstylegan.codes.inversion import encode, fit
from dualstylegan.codes.tables import CodeTable, digest, write_codes
from tasks.shared.caching import cache_key
from tasks.shared.networks import open_networks, place
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, prepare, run_stage
from tasks.shared.settings import Settings
from tasks.shared.tensors import (
    PortraitSet,
    Tensors,
    Tick,
    cached_tensors,
    loss_columns,
    read_portraits,
)

# Part of the cache key: raise it when the codes change.
VERSION = 1


class Inverter:
    """Networks and settings of inversion.

    Args:
        settings: of the pipeline.
    """

    def __init__(self, settings: Settings) -> None:
        self.profile, self.options = settings.profile, settings.invert
        self.portraits_per_pass = settings.runtime.batch
        self.device = prepare(settings.runtime)
        profile = self.profile
        networks = open_networks(profile)
        self.encoder_px = networks.config().encoder_px
        self.generator = place(networks.generator(), profile, self.device)
        self.encoder = networks.encoder().to(self.device)
        self.lpips = place(networks.lpips(), profile, self.device)
        self.generator_digest = digest(self.generator)
        self.digests = [self.generator_digest, digest(self.encoder), digest(self.lpips)]

    def codes(self, folder: Path, steps: int) -> CodeTable:
        """Return the code of every portrait of a folder, with its loss before and after."""
        size = self.profile.working_size
        portraits = read_portraits(folder, max(size, self.encoder_px)).to(self.device)
        options = self.options.model_dump(exclude={"style_steps", "content_steps"})
        keys = [
            cache_key(VERSION, sha256, size, self.profile.bfloat16, steps, options, self.digests)
            for sha256 in portraits.sha256
        ]

        def work(indices: list[int], tick: Tick) -> Tensors:
            return self._batch(portraits, indices, steps, tick)

        tensors = cached_tensors("invert", keys, self.portraits_per_pass, steps, work)
        return CodeTable(
            portraits.names,
            portraits.sha256,
            "z_plus",
            tensors.pop("code"),
            self.generator_digest,
            loss_columns(tensors),
        )

    def _batch(self, portraits: PortraitSet, indices: list[int], steps: int, tick: Tick) -> Tensors:
        images = portraits.images(indices)
        if steps == 0:
            return {"code": encode(self.encoder, images)}
        fitted = fit(
            self.generator,
            self.encoder,
            self.lpips,
            images,
            size=self.profile.working_size,
            steps=steps,
            rate=self.options.rate,
            pixel_weight=self.options.pixel_weight,
            progress=tick,
        )
        return {"code": fitted.latents[0], "start": fitted.initial_loss_N, "end": fitted.loss_N}


def main() -> None:
    """Run `python -m tasks.invert`."""
    settings = load_settings()

    def stage() -> None:
        inverter = Inverter(settings)
        for kind, steps in (
            ("style", settings.invert.style_steps),
            ("content", settings.invert.content_steps),
        ):
            table = inverter.codes(Paths.aligned / kind, steps)
            write_codes(Paths.codes / f"{kind}.parquet", table)

    run_stage("invert", stage)


if __name__ == "__main__":
    main()

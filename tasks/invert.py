"""Stage `invert`: Z+ codes of exemplars, cached per exemplar."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from dualstylegan.codes.fitting import FitNetworks, FitSettings, fit
from dualstylegan.codes.tables import CodeTable, digest, write_codes
from tasks.shared.at_once import Tick, fits_at_once
from tasks.shared.caching import cache_key
from tasks.shared.networks import open_networks, place
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, prepare, run_stage
from tasks.shared.settings import Settings
from tasks.shared.tensors import (
    Tensors,
    cached_tensors,
    loss_columns,
    read_portraits,
)

# Part of the cache key: raise it when the codes change.
VERSION = 2


class Inverter:
    """Networks of inversion.

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
        self.networks = FitNetworks(
            place(networks.generator(), profile, self.device),
            networks.encoder().to(self.device),
            place(networks.lpips(), profile, self.device),
        )
        self.generator_digest = digest(self.networks.generator)

    def exemplars(self, folder: Path) -> CodeTable:
        """Return the code of every exemplar of a folder, with its loss before and after."""
        options = self.options
        settings = FitSettings.of_painting(
            self.profile.working_size, options.style_steps, options.rate, options.pixel_weight
        )
        portraits = read_portraits(folder, max(settings.size, self.encoder_px)).to(self.device)
        digests = [digest(network) for network in self.networks.present]
        keys = [
            cache_key(VERSION, sha256, self.profile.bfloat16, asdict(settings), digests)
            for sha256 in portraits.digests
        ]

        def work(indices: list[int], tick: Tick) -> Tensors:
            images, masks = portraits.images(indices), portraits.masks(indices)
            fitted = fit(self.networks, images, settings, tick, masks)
            columns = {
                "code": fitted.code_NLD,
                "start": fitted.initial_loss_N,
                "end": fitted.loss_N,
            }
            return {name: column for name, column in columns.items() if column is not None}

        tensors = cached_tensors(
            "invert",
            keys,
            self.portraits_per_pass,
            settings.steps,
            work,
            fits_at_once(self.device),
        )
        return CodeTable(
            portraits.names,
            portraits.sha256,
            "z_plus",
            tensors.pop("code"),
            self.generator_digest,
            loss_columns(tensors),
        )


def main() -> None:
    """Run `python -m tasks.invert [SET]`."""
    settings = load_settings()

    def stage() -> None:
        inverter = Inverter(settings)
        write_codes(Paths.codes / "style.parquet", inverter.exemplars(Paths.exemplars))

    run_stage("invert", stage)


if __name__ == "__main__":
    main()

"""Stage `invert`: Z+ codes of exemplars, cached per exemplar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from dualstylegan.codes.fitting import FitNetworks, FitSettings, fit
from dualstylegan.codes.tables import CodeTable, digest, write_codes
from tasks.shared.at_once import Tick, fits_at_once
from tasks.shared.caching import Entry, cache_key
from tasks.shared.mapping import Computation, mapped
from tasks.shared.networks import open_networks, place
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, prepare, run_stage
from tasks.shared.settings import Settings
from tasks.shared.tensors import (
    file_digests,
    loss_columns,
    portrait_digests,
    portrait_names,
    read_portraits,
    stack_entries,
    tensor_entries,
)

# Part of the cache key: raise it when the codes change.
VERSION = 3


class Inverter(Computation):
    """Inversion of the set's exemplars.

    Args:
        settings: of the pipeline.
    """

    stage = "invert"

    def __init__(self, settings: Settings) -> None:
        profile, options = settings.profile, settings.invert
        self.profile = profile
        self.batch, self.steps = settings.runtime.batch, options.style_steps
        self.device = prepare(settings.runtime)
        self.together = fits_at_once(self.device)
        networks = open_networks(profile)
        self.fit = FitSettings.of_painting(
            profile.working_size, options.style_steps, options.rate, options.pixel_weight
        )
        self.size = max(self.fit.size, networks.config().encoder_px)
        self.networks = FitNetworks(
            place(networks.generator(), profile, self.device),
            networks.encoder().to(self.device),
            place(networks.lpips(), profile, self.device),
        )
        self.digests = [digest(network) for network in self.networks.present]

    @classmethod
    def of_set(cls, settings: Settings) -> Inverter:
        """Return the inversion by the settings of the set."""
        return cls(settings)

    def keys(self, names: Sequence[str]) -> list[str]:
        """Return a key of everything that an exemplar's code depends on."""
        return [
            cache_key(VERSION, sha256, self.profile.bfloat16, asdict(self.fit), self.digests)
            for sha256 in portrait_digests(Paths.exemplars, names)
        ]

    def compute(self, names: Sequence[str], tick: Tick) -> list[Entry]:
        """Fit exemplars: codes, and losses where steps are taken."""
        portraits = read_portraits(Paths.exemplars, self.size, names).to(self.device)
        every = range(len(names))
        fitted = fit(self.networks, portraits.images(every), self.fit, tick, portraits.masks(every))
        columns = {
            "code": fitted.code_NLD,
            "start": fitted.initial_loss_N,
            "end": fitted.loss_N,
        }
        return tensor_entries({name: c for name, c in columns.items() if c is not None})


def invert_exemplars(settings: Settings) -> CodeTable:
    """Return the code of every exemplar of the set, with its loss before and after."""
    inverter = Inverter(settings)
    names = portrait_names(Paths.exemplars)
    tensors = stack_entries(mapped(inverter, names, settings))
    return CodeTable(
        tuple(names),
        file_digests(Paths.exemplars, names),
        "z_plus",
        tensors.pop("code"),
        digest(inverter.networks.generator),
        loss_columns(tensors),
    )


def main() -> None:
    """Run `python -m tasks.invert [SET]`."""
    settings = load_settings()

    def stage() -> None:
        write_codes(Paths.style_codes, invert_exemplars(settings))

    run_stage("invert", stage)


if __name__ == "__main__":
    main()

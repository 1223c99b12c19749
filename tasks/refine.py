"""Stage `refine`: extrinsic codes tuned on the trained network, exemplar by exemplar."""

from __future__ import annotations

from collections.abc import Sequence

from dualstylegan.codes.inversion import OptimizationSchedule
from dualstylegan.codes.refinement import refine
from dualstylegan.codes.tables import CodeTable, digest, read_codes, write_codes
from dualstylegan.networks.loading import load_trained_dualstylegan
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


class Refiner(Computation):
    """Refinement of the set's extrinsic codes.

    Args:
        settings: of the pipeline.
    """

    stage = "refine"

    def __init__(self, settings: Settings) -> None:
        profile, self.options = settings.profile, settings.refine
        self.profile, self.size = profile, profile.working_size
        self.batch, self.steps = settings.runtime.batch, self.options.steps
        self.device = prepare(settings.runtime)
        self.together = fits_at_once(self.device)
        self.network = place(load_trained_dualstylegan(Paths.finetuned)[0], profile, self.device)
        self.lpips = place(open_networks(profile).lpips(), profile, self.device)
        self.digests = [digest(self.network), digest(self.lpips)]
        self.extrinsic = read_codes(Paths.extrinsic_codes)
        self.intrinsic = read_codes(Paths.intrinsic_codes)

    @classmethod
    def of_set(cls, settings: Settings) -> Refiner:
        """Return the refinement by the settings of the set."""
        return cls(settings)

    def keys(self, names: Sequence[str]) -> list[str]:
        """Return a key of everything that a refined code depends on."""
        codes = [table.select(names) for table in (self.extrinsic, self.intrinsic)]
        return [
            cache_key(
                VERSION,
                sha256,
                [code_NLD[i].flatten().tolist() for code_NLD in codes],
                [self.size, self.profile.bfloat16],
                self.options.model_dump(),
                self.digests,
            )
            for i, sha256 in enumerate(portrait_digests(Paths.exemplars, names))
        ]

    def compute(self, names: Sequence[str], tick: Tick) -> list[Entry]:
        """Refine codes: codes, and losses before and after."""
        portraits = read_portraits(Paths.exemplars, self.size, names).to(self.device)
        every = range(len(names))
        found = refine(
            self.network,
            self.lpips,
            portraits.images(every),
            self.intrinsic.select(names).to(self.device),
            self.extrinsic.select(names).to(self.device),
            OptimizationSchedule(self.options.steps),
            structure_rate=self.options.structure_rate,
            color_rate=self.options.color_rate,
            progress=tick,
            mask_N1HW=portraits.masks(every),
        )
        return tensor_entries(
            {"code": found.latents[0], "start": found.initial_loss_N, "end": found.loss_N}
        )


def refine_codes(settings: Settings) -> CodeTable:
    """Return the refined extrinsic code of every exemplar, with its loss before and after."""
    refiner = Refiner(settings)
    names = portrait_names(Paths.exemplars)
    tensors = stack_entries(mapped(refiner, names, settings))
    generator, codes = digest(refiner.network.generator), tensors.pop("code")
    hashes = file_digests(Paths.exemplars, names)
    return CodeTable(tuple(names), hashes, "z_plus", codes, generator, loss_columns(tensors))


def main() -> None:
    """Run `python -m tasks.refine [SET]`."""
    settings = load_settings()

    def stage() -> None:
        table = refine_codes(settings)
        write_codes(Paths.refined_codes, table)

    run_stage("refine", stage)


if __name__ == "__main__":
    main()

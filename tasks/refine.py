"""Stage `refine`: extrinsic codes tuned on the trained network, exemplar by exemplar."""

from __future__ import annotations

from dualstylegan.codes.inversion import OptimizationSchedule
from dualstylegan.codes.refinement import refine
from dualstylegan.codes.tables import CodeTable, digest, read_codes, write_codes
from dualstylegan.networks.loading import load_trained_dualstylegan
from tasks.shared.at_once import Tick, fits_at_once
from tasks.shared.caching import cache_key
from tasks.shared.networks import open_networks, place
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, prepare, run_stage
from tasks.shared.settings import Settings
from tasks.shared.tensors import Tensors, cached_tensors, loss_columns, read_portraits

# Part of the cache key: raise it when the codes change.
VERSION = 2


def refine_codes(settings: Settings) -> CodeTable:
    """Return the refined extrinsic code of every exemplar, with its loss before and after."""
    profile, options = settings.profile, settings.refine
    device = prepare(settings.runtime)
    portraits = read_portraits(Paths.exemplars, profile.working_size).to(device)
    names = portraits.names
    extrinsic = read_codes(Paths.extrinsic_codes).select(names).to(device)
    intrinsic = read_codes(Paths.intrinsic_codes).select(names).to(device)
    network = place(load_trained_dualstylegan(Paths.finetuned)[0], profile, device)
    lpips = place(open_networks(profile).lpips(), profile, device)
    digests = [digest(network), digest(lpips)]
    keys = [
        cache_key(
            VERSION,
            sha256,
            [codes[i].flatten().tolist() for codes in (extrinsic, intrinsic)],
            [profile.working_size, profile.bfloat16],
            options.model_dump(),
            digests,
        )
        for i, sha256 in enumerate(portraits.digests)
    ]

    def work(indices: list[int], tick: Tick) -> Tensors:
        tensors = refine(
            network,
            lpips,
            portraits.images(indices),
            intrinsic[indices],
            extrinsic[indices],
            OptimizationSchedule(options.steps),
            structure_rate=options.structure_rate,
            color_rate=options.color_rate,
            progress=tick,
            mask_N1HW=portraits.masks(indices),
        )
        return {"code": tensors.latents[0], "start": tensors.initial_loss_N, "end": tensors.loss_N}

    tensors = cached_tensors(
        "refine", keys, settings.runtime.batch, options.steps, work, fits_at_once(device)
    )
    generator = digest(network.generator)
    codes = tensors.pop("code")
    return CodeTable(names, portraits.sha256, "z_plus", codes, generator, loss_columns(tensors))


def main() -> None:
    """Run `python -m tasks.refine [SET]`."""
    settings = load_settings()

    def stage() -> None:
        table = refine_codes(settings)
        write_codes(Paths.refined_codes, table)

    run_stage("refine", stage)


if __name__ == "__main__":
    main()

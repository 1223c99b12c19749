"""Stage `refine`: extrinsic codes tuned on the trained network, exemplar by exemplar."""

from __future__ import annotations

from dualstylegan.checkpoints import fill, load_tensors
from dualstylegan.inversion import DescentPlan
from dualstylegan.latents import CodeTable, digest, read_codes, write_codes
from dualstylegan.model_config import NetworkConfig
from dualstylegan.models import MOD_RES_HIDDEN, frozen, load_perceptual
from dualstylegan.networks.mobilestylegan import CHANNELS
from dualstylegan.refinement import refine
from dualstylegan.settings import Profile, Refine
from tasks.batches import Tensors, Tick, keep_tensors, losses, place, prepare, read_portraits
from tasks.common import Paths, item_key, load_settings, run_stage
from tasks.training import MODEL_FILE, OUTPUTS

FINETUNED = OUTPUTS["finetune"] / MODEL_FILE
STYLES = Paths.aligned / "style"
VERSION = 1


def refine_codes(profile: Profile, chosen: Refine) -> CodeTable:
    """Refined extrinsic codes of every exemplar, with the loss before and after."""
    device = prepare(profile)
    portraits = read_portraits(STYLES, profile.working_size).to(device)
    names = portraits.names
    extrinsic = read_codes(Paths.codes / "exstyle.parquet").select(names).to(device)
    intrinsic = read_codes(Paths.codes / "instyle.parquet").select(names).to(device)
    network = NetworkConfig(res_channels=CHANNELS[0], res_hidden=MOD_RES_HIDDEN).build()
    fill(network, load_tensors(FINETUNED), FINETUNED)
    network = place(frozen(network), profile)
    lpips = place(load_perceptual(Paths.weights), profile)
    digests = [digest(network), digest(lpips)]
    keys = [
        item_key(
            VERSION,
            sha256,
            [codes[i].flatten().tolist() for codes in (extrinsic, intrinsic)],
            [profile.working_size, profile.bfloat16],
            chosen.model_dump(exclude={"batch"}),
            digests,
        )
        for i, sha256 in enumerate(portraits.sha256)
    ]

    def work(indices: list[int], tick: Tick) -> Tensors:
        found = refine(
            network,
            lpips,
            portraits.images(indices),
            intrinsic[indices],
            extrinsic[indices],
            DescentPlan(chosen.steps),
            structure_rate=chosen.structure_rate,
            color_rate=chosen.color_rate,
            progress=tick,
        )
        return {"code": found.latents[0], "start": found.first_loss_N, "end": found.loss_N}

    found = keep_tensors("refine", keys, chosen.batch, chosen.steps, work)
    generator = digest(network.generator)
    codes = found.pop("code")
    return CodeTable(names, portraits.sha256, "z_plus", codes, generator, losses(found))


def main() -> None:
    """`python -m tasks.refine`."""
    settings = load_settings()

    def stage() -> None:
        table = refine_codes(settings.profile, settings.refine)
        write_codes(Paths.codes / "refined.parquet", table)

    run_stage("refine", stage)


if __name__ == "__main__":
    main()

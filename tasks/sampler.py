"""Stage `sampler`: networks that sample extrinsic codes, fitted to the refined ones."""

from __future__ import annotations

from dualstylegan.codes.sampling import SAMPLER_FILE, SamplerPlan, fit_sampler
from dualstylegan.codes.tables import read_codes
from dualstylegan.io.files import atomic_directory
from dualstylegan.networks.generator import STRUCTURE_PX, row_resolutions
from tasks.shared.curves import write_curves
from tasks.shared.paths import Paths
from tasks.shared.progress import Progress
from tasks.shared.runner import load_settings, prepare, run_stage
from tasks.shared.settings import Settings


def make_sampler(settings: Settings) -> None:
    """Fit the sampler and write the set's models/sampler: its networks and curves."""
    options = settings.sampler
    prepare(settings.runtime)
    codes = read_codes(Paths.refined_codes).codes_NLD
    structure_rows = len(row_resolutions(STRUCTURE_PX)) - 1  # all but the last row, RGB
    plan = SamplerPlan(**options.model_dump(), seed=settings.profile.seed)
    progress = Progress("sampler", options.epochs, "epochs")
    sampler, history = fit_sampler(codes, structure_rows, plan, progress)
    with atomic_directory(Paths.sampler) as out:
        sampler.save(out / SAMPLER_FILE)
        write_curves(out, [{"step": i + 1, **errors} for i, errors in enumerate(history)])


def main() -> None:
    """Run `python -m tasks.sampler [SET]`."""
    settings = load_settings()
    run_stage("sampler", lambda: make_sampler(settings))


if __name__ == "__main__":
    main()

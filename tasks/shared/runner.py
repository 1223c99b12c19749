"""Stage runner: settings, device, errors as one line with an exit code, and timings."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, NoReturn

from dualstylegan.errors import DualStyleGANError, RankLostError
from dualstylegan.io.files import output_error, write_json
from dualstylegan.io.locks import exclusive
from dualstylegan.io.stopping import GOES_ON, INTERRUPTED, Stopped
from dualstylegan.networks import ranks
from tasks.shared.paths import Paths
from tasks.shared.pipeline import recorded
from tasks.shared.sets import chosen, read_params, settings_of
from tasks.shared.settings import Machine, Settings

if TYPE_CHECKING:
    import torch

BAD_INPUT = 2
# Exit code of a rank that has lost the others, and the mark of those whose launcher says so.
LOST = 75
SUPERVISED = "DUALSTYLEGAN_SUPERVISED"


class _Loaded:
    """Settings that this process has read."""

    settings: Settings | None = None


def load_settings(arguments: Sequence[str] | None = None) -> Settings:
    """Return the settings of the style set that a stage works on; exit with code 2 if refused.

    Args:
        arguments: of the command line, by default this process's: the set's name comes first, and
            may be left out where there is one set.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = given[0] if given and not given[0].startswith("-") else None
    try:
        params = read_params()
        name = chosen(params.sets, name)
        Paths.open_set(name)
        _Loaded.settings = settings_of(params, name)
        return _Loaded.settings
    except DualStyleGANError as error:
        sys.exit(explain("settings", error))


def run_stage(
    name: str, work: Callable[[], object], *, timed: bool = True, of_set: bool = True
) -> None:
    """Run a stage, alone in this project or set, and write its seconds to timings/NAME.json.

    Errors that a person can act on, the operating system's among them, end the process with one
    line and code 2, an interrupt with code 130. Any other exception is a bug and stays a traceback.
    A second process that runs the stage is refused with the first one's number. The run is recorded
    as part of the pipeline's, see `tasks.shared.pipeline`. Of several ranks of a run the
    first one reports, and an error of all is said once.

    Args:
        name: of the stage.
        work: the stage.
        timed: write the seconds and record the run, if it is a set's.
        of_set: it works on one style set, else on what all sets share.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        lock = exclusive((Paths.runs if of_set else Paths.cache) / name)
        settings = _Loaded.settings if timed and of_set and ranks.is_first() else None
        with lock if ranks.is_first() else nullcontext(), recorded(name, settings):
            start = time.monotonic()
            work()
            seconds = time.monotonic() - start
            if timed and of_set and ranks.is_first():
                record = {"seconds": round(seconds, 3), "stage": name}
                write_json(Paths.timings / f"{name}.json", record)
    except DualStyleGANError as error:
        end(explain(name, error))
    except OSError as error:
        end(explain(name, output_error(error)))
    except KeyboardInterrupt:
        print(f"\n{name}: stopped; {GOES_ON}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Stopped as stopped:
        if ranks.launched() and SUPERVISED not in os.environ and stopped.code == INTERRUPTED:
            say_once(f"{name}: stopped; {GOES_ON}")
        if ranks.launched():
            end(int(str(stopped.code)))
        raise
    if ranks.is_first():
        print(f"{name}: done in {seconds:.1f} s")


def end(code: int, at_once: bool = False) -> NoReturn:
    """End this process; a rank at once: with its connections broken, torch's own end may hang."""
    if at_once or ranks.launched():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def explain(name: str, error: DualStyleGANError) -> int:
    """Print an error as one line and return the exit code of bad input."""
    if isinstance(error, RankLostError) and ranks.launched() and SUPERVISED in os.environ:
        return LOST
    say_once(f"{name}: {type(error).__name__}: {error}")
    return BAD_INPUT


def say_once(line: str) -> None:
    """Print a line unless another rank has."""
    if ranks.first_to_say(line):
        print(line, file=sys.stderr)


def set_threads(threads: int) -> None:
    """Set torch's number of threads; 0, or OMP_NUM_THREADS in the environment, leaves it."""
    if threads and "OMP_NUM_THREADS" not in os.environ:
        import torch

        torch.set_num_threads(threads)


def prepare(runtime: Machine) -> torch.device:
    """Configure torch's threads and memory; return the device.

    Raises:
        SettingsError: this machine lacks the device.
    """
    from dualstylegan.io.allocator import keep_freed_memory
    from dualstylegan.networks.device import resolve_device

    keep_freed_memory()
    set_threads(runtime.threads)
    return resolve_device(runtime.device)

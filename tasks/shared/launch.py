"""Start of a training by several ranks on this host, under torch.distributed's elastic agent.

`runtime.ranks` asks for them. On several hosts torchrun starts the same modules; see docs/ranks.md.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dualstylegan.errors import RankLostError
from dualstylegan.io.stopping import GOES_ON, GRACE_SECONDS, SHELL_OFFSET, SIGNALS
from dualstylegan.networks import ranks
from tasks.shared.runner import LOST, SUPERVISED, end, explain, prepare, run_stage
from tasks.shared.settings import Runtime

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

LOOPBACK = "127.0.0.1"
INTERFACES = {"linux": "lo", "darwin": "lo0"}


def run_training(name: str, runtime: Runtime, passes: int, train: Callable[[], object]) -> None:
    """Run a training stage: in this process, as one of the ranks, or as what starts them.

    Args:
        name: of the stage, and of its module in `tasks`.
        runtime: settings; more ranks than passes would have nothing to do and are not started.
        passes: passes per step.
        train: the stage.
    """
    count = min(runtime.ranks, passes)
    if count > 1 and not ranks.launched():
        end(launch(f"tasks.{name}", count, runtime.threads), at_once=True)
    if runtime.ranks > count and ranks.is_first():
        print(f"{name}: {count} of {runtime.ranks} ranks, as a step has {passes} passes")

    def work() -> None:
        with ranks.joined(prepare(runtime)):
            train()

    run_stage(name, work)


def launch(module: str, count: int, threads: int = 0) -> int:
    """Run a stage's module, with this process's arguments, as several ranks; return the exit code.

    Whatever ends one of them ends all, and is said in one line.

    Args:
        module: of the stage, by whose last name it reports.
        count: number of ranks.
        threads: of each; 0 shares the processors out.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    name = module.rpartition(".")[2]
    logging.disable(logging.CRITICAL)  # the agent's own report of what is said in a line
    os.environ[SUPERVISED] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(threads or max(1, (os.cpu_count() or 1) // count)))
    heard = [number.name for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    with _meeting_place() as meeting:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=name,
            rdzv_backend="c10d",
            rdzv_endpoint=str(meeting),
            rdzv_configs={"store_type": "file"},
            local_addr=LOOPBACK,
            max_restarts=0,
            signals_to_handle=",".join(heard),
            shutdown_timeout=int(GRACE_SECONDS) + 1,
        )
        try:
            elastic_launch(config, sys.executable)("-m", module, *sys.argv[1:])
        except ChildFailedError as error:
            return failed(name, error.failures)
        except SignalException as stopped:
            print(f"\n{name}: stopped; {GOES_ON}", file=sys.stderr)
            return SHELL_OFFSET + stopped.sigval
    return 0


@contextmanager
def _meeting_place() -> Iterator[Path]:
    """Let agent and ranks meet by files and talk on the loopback alone; yield the agent's file.

    torch's own server of addresses, which has no authentication, listens on all interfaces.
    """
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:
        os.environ[ranks.STORE] = str(Path(folder) / "ranks")
        os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
        if sys.platform in INTERFACES:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", INTERFACES[sys.platform])
        yield Path(folder) / "agent"


def failed(name: str, failures: dict[int, ProcessFailure]) -> int:
    """Say why ranks have failed unless they have, and return the exit code of the stage."""
    codes = {rank: failure.exitcode for rank, failure in sorted(failures.items())}
    own = [code for code in codes.values() if code > 0 and code != LOST]
    # by SIGTERM the agent itself ends those that are left
    killed = {r: -code for r, code in codes.items() if code < 0 and -code != signal.SIGTERM}
    if own and not killed:
        return own[0]
    which = ", ".join(f"rank {rank} by {signal.Signals(n).name}" for rank, n in killed.items())
    return explain(
        name,
        RankLostError(
            "a rank of the training was ended, and the others with it",
            value=which or "its connection was lost",
            fix=ranks.AGAIN,
        ),
    )

"""Ranks of a training that end, by themselves or not: none is left, and one line says it."""

from __future__ import annotations

import os
import signal
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

from dualstylegan.io.checkpoints import load_state
from dualstylegan.io.stopping import GOES_ON
from tests.reliability.running import Run, running, shell_code
from tests.support.ranked_stage import PIDS, STATE

LAUNCH = """
from tasks.shared.launch import launch
from tasks.shared.runner import end
end(launch("tests.support.ranked_stage", 2), at_once=True)
"""
# A wait for a rank that is gone would take half an hour; beside other work an end takes seconds.
LIMIT_SECONDS = 120.0
START_SECONDS = 600.0


def _heard_addresses(run: Run) -> set[str]:
    """Return the addresses on which a run's processes listen."""
    return {
        connection.laddr.ip
        for process in run.family()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_end_of_a_rank_is_the_end_of_all_in_a_line(tmp_path: Path, number: int) -> None:
    """A rank that is killed, and Ctrl-C at the launcher; the saved state is whole."""
    with running(["-c", LAUNCH], tmp_path) as run:
        run.wait_until((tmp_path / STATE).exists, START_SECONDS)
        assert all(ip_address(heard).is_loopback for heard in _heard_addresses(run))
        if number == signal.SIGKILL:
            os.kill(int((tmp_path / PIDS / "1").read_text()), number)
            number = 0  # sent to the launcher, it changes nothing
        ended = run.send(number, LIMIT_SECONDS)
    assert ended.left == 0
    assert ended.seconds < LIMIT_SECONDS
    assert load_state(tmp_path / STATE)["step"] >= 1
    if number:
        assert ended.code == shell_code(number)
        assert ended.errors.strip() == f"ranked_stage: stopped; {GOES_ON}"
    else:
        assert ended.code == 2
        assert ended.errors.count("\n") == 1
        assert ended.errors.startswith("ranked_stage: RankLostError: a rank of the training")
        assert "rank 1 by SIGKILL" in ended.errors

"""Memory that tensors give back stays in the process."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from dualstylegan.io.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():
    for mebibytes in (8, 64) * 4:
        torch.ones(mebibytes * 2**20, dtype=torch.uint8)
work()
work()
before = faults()
work()
print(faults() - before)
"""


def faults(mode: str) -> int:
    command = [sys.executable, "-c", PROGRAM, mode]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an allocator of another C library")
def test_kept_memory_is_not_cleared_again_by_the_kernel() -> None:
    usual = faults("usual")
    assert usual > 100
    assert faults("keep") < 0.01 * usual

"""Memory that tensors give back stays in the process."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from dualstylegan.io.allocator import handing_back, keep_freed_memory
if sys.argv[1] in ("keep", "back"):
    assert keep_freed_memory()
if sys.argv[1] == "back":
    with handing_back(), handing_back():
        torch.ones(2**27, dtype=torch.uint8)
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
    assert faults("back") < 0.01 * usual


RETURNING = """
import resource
from pathlib import Path
from dualstylegan.io.allocator import handing_back, keep_freed_memory
assert keep_freed_memory()
def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
def work():
    kept = [bytearray(16 << 20) for _ in range(16)]
    apart = bytearray(1 << 20)
    return apart
before = resident()
apart = work()
print(round(resident() - before))
with handing_back():
    print(round(resident() - before))
    with handing_back():
        more = work()
    print(round(resident() - before))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an allocator of another C library")
def test_large_blocks_are_handed_back_where_it_is_asked_for() -> None:
    command = [sys.executable, "-c", RETURNING]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kept, trimmed, after = map(int, said.split())
    assert kept > 200
    assert trimmed < 16
    assert after < 16

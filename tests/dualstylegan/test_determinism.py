"""Same inputs, same bytes, on several threads as well."""

from __future__ import annotations

import os
import subprocess
import sys

# The last convolution of face recognition has a single output position per image: MKL sums its
# gradient as a matrix product. Odd allocations move the memory, as they do from run to run.
GRADIENTS = """
import dualstylegan
import torch

torch.manual_seed(0)
convolution = torch.nn.Conv2d(256, 256, 3, 2).requires_grad_(False)
image, moved, seen = torch.rand(1, 256, 3, 3), [], set()
for index in range(200):
    moved.append(torch.empty(1 + index * 7 % 53))
    leaf = image.clone().requires_grad_(True)
    output = convolution(leaf)
    weights = torch.linspace(-1, 1, output.numel()).view_as(output)
    (gradient,) = torch.autograd.grad((output * weights).sum(), leaf)
    seen.add(gradient.numpy().tobytes())
print(len(seen))
"""


def test_gradients_are_the_same_each_time_on_two_threads() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "MKL_CBWR"}
    said = subprocess.run(
        [sys.executable, "-c", GRADIENTS],
        env=environment | {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "1"

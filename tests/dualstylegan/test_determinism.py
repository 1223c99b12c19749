"""Same inputs, same bytes, on several threads as well."""

from __future__ import annotations

import os
import subprocess
import sys

GRADIENTS = """
import dualstylegan
import torch
from dualstylegan.networks.identity import DlibFaceRecognition

torch.manual_seed(0)
network = DlibFaceRecognition().requires_grad_(False)
face = torch.rand(1, 3, 128, 128) * 2 - 1
seen = set()
for _ in range(60):
    leaf = face.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(network(leaf).sum(), leaf)
    seen.add(gradient.numpy().tobytes())
print(len(seen))
"""


def test_gradients_of_recognition_are_the_same_each_time_on_two_threads() -> None:
    """Its last convolution gives one position, which MKL sums as a matrix product."""
    environment = {k: v for k, v in os.environ.items() if k != "MKL_CBWR"}
    said = subprocess.run(
        [sys.executable, "-c", GRADIENTS],
        env=environment | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "1"

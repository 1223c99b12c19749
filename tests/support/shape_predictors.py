"""A shape predictor of dlib's with a few small trees of random leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dualstylegan.portrait.packed_landmarks import ShapePredictor, predictor_bytes

LANDMARKS = 68
GRID = 16


def tiny_predictor(path: Path, seed: int = 0, scale: float = 0.01) -> Path:
    """Write a predictor of two cascades to `path`, leaves of some scale; return it."""
    draw = np.random.default_rng(seed)
    cascades, trees, splits, pixels, values = 2, 3, 3, 10, 2 * LANDMARKS
    steps = draw.normal(0, scale, (cascades, trees, splits + 1, values)) * 2**GRID
    predictor = ShapePredictor(
        initial_K=draw.uniform(0, 1, values).astype(np.float32),
        indices_CTS2=draw.integers(0, pixels, (cascades, trees, splits, 2)),
        thresholds_CTS=draw.normal(0, 20, (cascades, trees, splits)).astype(np.float32),
        leaves_CTVK=np.rint(steps) / 2**GRID,
        anchors_CP=draw.integers(0, LANDMARKS, (cascades, pixels)),
        offsets_CP2=draw.normal(0, 0.1, (cascades, pixels, 2)).astype(np.float32),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(predictor_bytes(predictor, GRID))
    return path

"""Settings of the evaluation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EvaluationPlan:
    """Settings of the evaluation.

    Attributes:
        size: of the results, in pixels.
        measure_size: image size for VGG16, in pixels; 128 takes a quarter of the time of 256.
        contents, styles: maximum numbers of faces and exemplars, evenly spaced over those given;
            None takes all.
        diversity_pairs: pairs of exemplars whose results are compared, per face.
        structure, color: style weights of the results; None takes the model's defaults.
        batch: images per pass of the measuring networks; the model renders one by one.
        seed: of the bootstrap and of the choice of pairs.
        resamples: of the bootstrap.
        natural_faces: number of faces from random codes that g(z_i+) is compared with.
        large_pairs: pairs rendered at the model's full size; 0 turns these measures off.
        painted_pairs: pairs for the painted faces and the curve of structure weights; 0 turns both
            off.
        bfloat16: render in bfloat16, twice as fast on CPUs that support it; results differ by half
            a grey level. The measuring networks stay in float32.
    """

    size: int = 256
    measure_size: int = 128
    contents: int | None = None
    styles: int | None = None
    diversity_pairs: int = 48
    structure: float | None = None
    color: float | None = None
    batch: int = 4
    seed: int = 0
    resamples: int = 1000
    natural_faces: int = 32
    large_pairs: int = 4
    painted_pairs: int = 12
    bfloat16: bool = True

    @property
    def bootstrap(self) -> dict[str, int]:
        """Keywords of the functions that measure with intervals."""
        return {"seed": self.seed, "resamples": self.resamples}

"""Style transfer from known processes, a continuation of stage 2 (embedded generator).

Legend of shape suffixes: N image, L row, D style width, K landmark, C channel, H height, W width.

Stage 2 teaches the extrinsic path to mix two faces, not to paint a person in a style. Random
processes (`painting.process`) show that: each paints several people, the style code comes from the
painting of one of them, and the painting of another is the target:

    L = LPIPS(G(z_a, E(P(b)), 1), P(a)) + L1 + lambda_ID L_ID

A face depends on its number alone, so that a run can be resumed anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn

from dualstylegan.codes.inversion import encode, resize_images
from dualstylegan.codes.random_faces import draw_codes
from dualstylegan.errors import FaceError
from dualstylegan.faces.plausible import LandmarkModel
from dualstylegan.finetuning.discriminator import BETAS
from dualstylegan.finetuning.structure import train_extrinsic
from dualstylegan.finetuning.trainer import Training
from dualstylegan.io.images import dequantize, make_grid, quantize, tensor_to_image
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.identity import FaceRecognition
from dualstylegan.networks.vgg import PerceptualNetwork
from dualstylegan.pretraining.painting.paint import Painter
from dualstylegan.pretraining.painting.process import draw_process

# Disjoint from the seeds of other trainings, of the demo's portraits and of held-out faces.
FIRST_FACE, FIRST_PROCESS = 120_000_000, 160_000_000
HELD_OUT_FACE, HELD_OUT_PROCESS = 190_000_000, 195_000_000
MAX_TRIES = 16
FACE_PX = 256
# As fits of photographs have them: variance that a row has of its own at most, and psi.
VARIETY, TRUNCATION_RANGE = 0.75, (0.55, 0.9)
# Faces per process; pairs (content, exemplar) of them: each face once, and every third step's last
# face as its own exemplar.
FACES = 3
CONTENTS, EXEMPLARS = (0, 1, 2, 0), (1, 2, 0, 2)
OWN_PERIOD = 3
WARM_UP = 30
GRID_FACES, GRID_PROCESSES = 6, 3


@dataclass(frozen=True)
class PastichePlan:
    """Settings of the training on pastiches.

    Attributes:
        steps: number of steps; the learning rate falls linearly to 0 over the second half.
        rate: peak learning rate.
        identity_weight: lambda_ID.
        jitter: standard deviation of the noise on style codes in W+.
        ring_faces: most recent faces, from which each step draws; one new face per step.
        first: number of the first face and process; a further training has those of its own.
    """

    steps: int
    rate: float
    identity_weight: float
    jitter: float
    ring_faces: int
    first: int = 0

    def factor(self, step: int) -> float:
        """Return the learning rate at a step relative to the peak."""
        return min(1.0, (step + 1) / WARM_UP, 2 * (1 - step / self.steps))


@dataclass(frozen=True)
class Face:
    """Generated face: code in W+ (L, D), image as uint8 (3, H, W), landmarks (K, 2) in pixels."""

    code_LD: Tensor
    image_CHW: Tensor
    landmarks_K2: Tensor


@torch.no_grad()
def draw_code(generator: Generator, seed: int) -> Tensor:
    """Draw a W+ code (1, L, D) whose rows differ, as those of a fitted photograph do."""
    rng = torch.Generator().manual_seed(seed)
    low, high = TRUNCATION_RANGE
    code = draw_codes(generator, 1, rng, variety=VARIETY, psi=1.0)
    return generator.truncate(code, low + (high - low) * float(torch.rand((), generator=rng)))


@torch.no_grad()
def draw_face(generator: Generator, model: LandmarkModel, number: int) -> Face:
    """Draw the face of a number: the first with plausible landmarks of several codes.

    Raises:
        FaceError: none of them has.
    """
    for seed in range(number * MAX_TRIES, (number + 1) * MAX_TRIES):
        code = draw_code(generator, seed)
        image = generator.synthesise(code, size=generator.size_up_to(FACE_PX))
        pixels = quantize(image)[0].cpu()
        landmarks = torch.from_numpy(model(pixels)).float()
        if bool(landmarks.isfinite().all()):
            break
    else:
        raise FaceError(
            "no face among random codes",
            value=number,
            limit=MAX_TRIES,
            fix="give a generator of faces, or another seed",
        )
    return Face(code[0], pixels, landmarks)


class FaceRing:
    """The most recent faces by number; numbers beyond the capacity replace the oldest."""

    def __init__(self, generator: Generator, model: LandmarkModel, capacity: int) -> None:
        self.generator, self.model, self.capacity = generator, model, capacity
        self.faces: dict[int, Face] = {}

    def fill(self, newest: int) -> None:
        """Hold the faces up to a number, drawn where they are missing."""
        first = max(0, newest - self.capacity)
        self.faces = {number: face for number, face in self.faces.items() if number >= first}
        for number in range(first, newest):
            if number not in self.faces:
                self.faces[number] = draw_face(
                    self.generator, self.model, FIRST_FACE // MAX_TRIES + number
                )

    def draw(self, count: int, rng: torch.Generator) -> list[Face]:
        """Draw different faces."""
        order = torch.randperm(len(self.faces), generator=rng)[:count].tolist()
        numbers = sorted(self.faces)
        return [self.faces[numbers[index]] for index in order]


@torch.no_grad()
def paint(painter: Painter, seed: int, faces: list[Face]) -> Tensor:
    """Paint faces by the process of a seed, (N, 3, H, W) in [-1, 1]."""
    process = draw_process(seed)
    return torch.stack(
        [process(painter, dequantize(face.image_CHW[None])[0], face.landmarks_K2) for face in faces]
    )


class PasticheTraining(Training):
    """Training of T_s, ModRes, T_c and tone on pastiches of known processes.

    Args:
        network: DualStyleGAN after stage 2.
        encoder: E, frozen.
        perceptual, identity: frozen networks of the losses.
        painter: paints the pastiches.
        ring: of generated faces.
        size: working size in pixels.
        plan: settings.
    """

    averaged = "network"

    def __init__(
        self,
        network: DualStyleGAN,
        encoder: nn.Module,
        perceptual: PerceptualNetwork,
        identity: FaceRecognition,
        painter: Painter,
        ring: FaceRing,
        size: int,
        plan: PastichePlan,
    ) -> None:
        self.network, self.encoder = network, encoder
        self.generator = network.generator
        self.perceptual, self.identity = perceptual, identity
        self.painter, self.ring, self.size, self.plan = painter, ring, size, plan
        self.optimiser = torch.optim.Adam(train_extrinsic(network), lr=plan.rate, betas=BETAS)
        self.modules = {"network": network}
        self.optimisers = {"network": self.optimiser}
        self.device = self.generator.mean_w.device

    def step(self, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        plan = self.plan
        number = plan.first + step
        self.ring.fill(number + plan.ring_faces)
        faces = self.ring.draw(FACES, rng)
        with torch.no_grad():
            painted = paint(self.painter, FIRST_PROCESS + number, faces).to(self.device)
            style = self.style_codes(painted)
            style = style + plan.jitter * torch.randn(style.shape, generator=rng).to(self.device)
            target = resize_images(painted, self.size)
            features, identities = self.perceptual.features(target), self.identity(target)
        content, exemplar = list(CONTENTS), list(EXEMPLARS)
        if step % OWN_PERIOD == 0:
            exemplar[-1] = content[-1]
        code = torch.stack([face.code_LD for face in faces])[content]
        image = self.network(code, style[exemplar], space="w_plus", size=self.size)
        losses = {
            "perceptual": self.perceptual.distance(
                self.perceptual.features(image), [f[content] for f in features]
            ).mean(),
            "pixels": (image - target[content]).abs().mean(),
            "identity": plan.identity_weight
            * self.identity.distance(self.identity(image), identities[content]).mean(),
        }
        for group in self.optimiser.param_groups:
            group["lr"] = plan.rate * plan.factor(step)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def style_codes(self, painted_NCHW: Tensor) -> Tensor:
        """Encode paintings into style codes in W+."""
        return self.generator.map(encode(self.encoder, painted_NCHW))

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Render held-out faces, and for each held-out process its pastiches and G's."""
        panel = held_out_panel(self.generator, self.ring.model, self.painter, self.size)
        rows = [panel.face_NCHW]
        for target, exemplar in zip(panel.pastiche_PNCHW, panel.exemplar_PCHW, strict=True):
            rows += [target, self.restyle(panel.code_NLD, exemplar)]
        return make_grid([tensor_to_image(x) for row in rows for x in row], GRID_FACES)

    @torch.no_grad()
    def restyle(self, code_NLD: Tensor, exemplar_CHW: Tensor) -> Tensor:
        """Render codes in the style of a painting."""
        style = self.style_codes(exemplar_CHW[None].to(self.device)).expand(len(code_NLD), -1, -1)
        image: Tensor = self.network(code_NLD, style, space="w_plus", size=self.size)
        return image.clamp(-1, 1)


@dataclass(frozen=True)
class HeldOutPanel:
    """Held-out faces N and processes P: codes, faces, pastiches at the working size, exemplars."""

    code_NLD: Tensor
    face_NCHW: Tensor
    pastiche_PNCHW: Tensor
    exemplar_PCHW: Tensor


@torch.no_grad()
def held_out_panel(
    generator: Generator, model: LandmarkModel, painter: Painter, size: int
) -> HeldOutPanel:
    """Draw faces and processes that no step trains on; each exemplar is a further person's."""
    first = HELD_OUT_FACE // MAX_TRIES
    drawn = [draw_face(generator, model, first + i) for i in range(GRID_FACES + GRID_PROCESSES)]
    faces, others = drawn[:GRID_FACES], drawn[GRID_FACES:]
    pastiches, exemplars = [], []
    for index, other in enumerate(others):
        seed = HELD_OUT_PROCESS + index
        pastiches.append(resize_images(paint(painter, seed, faces), size))
        exemplars.append(paint(painter, seed, [other])[0])
    images = dequantize(torch.stack([face.image_CHW for face in faces]))
    return HeldOutPanel(
        torch.stack([face.code_LD for face in faces]),
        resize_images(images, size),
        torch.stack(pastiches).to(generator.mean_w.device),
        torch.stack(exemplars),
    )

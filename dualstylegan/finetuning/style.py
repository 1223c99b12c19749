"""Stage 3 of progressive fine-tuning (section 3.3): style transfer on the target domain.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.

Paired steps give an exemplar's own codes (z_i+, z_e+) and must reconstruct the exemplar S; unpaired
steps give a random face and the code of a random exemplar. Both are held to the exemplar by
L_sty = lambda_CX L_CX + lambda_FM L_FM, and to face and source generator by
L_con = lambda_ID L_ID + lambda_reg L_reg. The paper sets both lambdas by hand for each style; here
lambda_ID has a factor that is steered so that people stay themselves, and no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.finetuning.discriminator import Adversary, lazy_adam
from dualstylegan.finetuning.step import AdversarialTraining, Lazy, Pass
from dualstylegan.finetuning.structure import train_extrinsic
from dualstylegan.finetuning.validation import Panel, Validation
from dualstylegan.io.images import make_grid, tensor_to_image
from dualstylegan.losses import (
    contextual,
    feature_matching,
    perceptual,
    weight_norms,
)
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.identity import Identity
from dualstylegan.networks.vgg import Perceptual

PERCEPTUAL_WEIGHTS = (0.0, 0.5, 1.0)
STYLE_STAGES = slice(1, 3)
CONTEXTUAL_STAGE = 2
STAGES = len(PERCEPTUAL_WEIGHTS)
GRID_COLUMNS = 8
GRID_SEED = 13
# Steering of lambda_ID: how fast L_ID is averaged, how fast the factor rises and falls, how far off
# its goal L_ID is, as a share, when the factor goes fastest, and between which values it stays. It
# rises faster, as a person is lost in fewer steps than it comes back.
PERSON_RATE = 0.1
RISE_RATE, FALL_RATE = 0.06, 0.02
STEER_BAND = 0.2
FACTOR_SPAN = (0.5, 8.0)
# The goal itself moves from check to check: how fast, how far style and person are apart when it
# goes fastest, and between which shares of what was set it stays.
GOAL_RATE = 0.06
GOAL_BAND = 0.2
GOAL_SPAN = (1.0, 1.06)


@dataclass(frozen=True)
class StylePlan:
    """Settings of stage 3; the weights are the paper's lambdas.

    Attributes:
        batch: images a pass.
        rate: learning rate of the extrinsic path.
        adversarial, perceptual, contextual, matching, identity, regular: weights of the terms.
        regularise: "mod_res" as in the paper, or "compatible": all of ModRes and T_c, as published.
        mixing: probability that an unpaired face is mixed of two codes.
        truncation: psi of unpaired faces.
        jitter: standard deviation of the noise on style codes in W+.
        identity_goal: L_ID of unpaired faces that lambda_ID is steered to, before the first check;
            0 leaves lambda_ID alone.
        panel_faces, panel_styles: size of the held-out checks.
        lazy: accumulation and path length.
    """

    batch: int
    rate: float
    adversarial: float
    perceptual: float
    contextual: float
    matching: float
    identity: float
    regular: float
    regularise: str
    mixing: float
    truncation: float
    jitter: float
    identity_goal: float
    panel_faces: int
    panel_styles: int
    lazy: Lazy


@dataclass(frozen=True)
class Lesson:
    """One pass: codes in W+, what must come out, and whether it is a reconstruction."""

    intrinsic_NLD: Tensor
    extrinsic_NLD: Tensor
    portrait_NCHW: Tensor
    paired: bool


class StyleTraining(AdversarialTraining):
    """Trains T_s, ModRes and T_c on pairs of exemplars and on random faces.

    Args:
        network: after structure transfer.
        adversary: discriminator that came out of structure transfer.
        perceptual: frozen; its feature maps are looked at.
        identity: frozen face recognition network.
        portraits: gives portraits (N, 3, size, size) in [-1, 1] by index.
        intrinsic_NLD, extrinsic_NLD: z_i+ and z_e+ of every exemplar, in Z+.
        size: working size in pixels.
    """

    def __init__(
        self,
        network: DualStyleGAN,
        adversary: Adversary,
        perceptual: Perceptual,
        identity: Identity,
        portraits: Callable[[Tensor], Tensor],
        intrinsic_NLD: Tensor,
        extrinsic_NLD: Tensor,
        size: int,
        plan: StylePlan,
    ) -> None:
        optimiser = lazy_adam(train_extrinsic(network), plan.rate, plan.lazy.interval)
        super().__init__("network", network, optimiser, adversary, plan.lazy)
        self.network = network
        self.generator = network.generator
        self.perceptual = perceptual
        self.identity = identity
        self.portraits = portraits
        self.intrinsic_NLD = intrinsic_NLD
        with torch.no_grad():
            self.extrinsic_NLD = self.generator.map(extrinsic_NLD)
        self.size = size
        self.plan = plan
        self.factor = torch.ones((), device=self.device)
        self.goal = torch.tensor(plan.identity_goal, device=self.device)
        self.person = self.goal.clone()
        steered = {"factor": self.factor, "goal": self.goal, "person": self.person}
        self.memory = {**self.memory, **steered}
        self._validation: Validation | None = None

    def kind(self, step: int) -> str:
        return "paired" if step % 2 else "unpaired"

    def make_pass(self, step: int, draw: torch.Generator) -> Pass:
        lesson = self._paired(draw) if step % 2 else self._unpaired(draw)
        fake, terms, noted = self._terms(lesson, draw)
        return Pass(fake, self.portraits(self._draw_indices(len(fake), draw)), terms, noted)

    def step(self, step: int, draw: torch.Generator) -> dict[str, Tensor]:
        scalars = super().step(step, draw)
        if self.plan.identity_goal and self.kind(step) == "unpaired":
            self._steer(scalars["unpaired/person"])
        return scalars

    def _steer(self, person: Tensor) -> None:
        """L_ID weighs more while people are further from themselves than they should be.

        L_reg does not: under a steady pull all shapes vanish, before people have come back.

        Unpaired faces are drawn anew in each step, so that their L_ID is that of unseen people.
        """
        self.person.lerp_(person, PERSON_RATE)
        apart = (self.person / self.goal - 1) / STEER_BAND
        rate = torch.where(apart > 0, RISE_RATE, FALL_RATE)
        change = rate * apart.clamp(-1, 1)
        self.factor.mul_(change.exp()).clamp_(*FACTOR_SPAN)

    def _draw_indices(self, count: int, draw: torch.Generator) -> Tensor:
        return torch.randint(len(self.intrinsic_NLD), (count,), generator=draw)

    def _style_codes(self, index: Tensor, draw: torch.Generator) -> Tensor:
        codes = self.extrinsic_NLD[index]
        return codes + self.plan.jitter * self.noise(*codes.shape, draw=draw)

    def _paired(self, draw: torch.Generator) -> Lesson:
        """An exemplar's own pair; colours of z_i+ are drawn anew, so that z_e+ alone gives them."""
        index = self._draw_indices(self.plan.batch, draw)
        code = self.intrinsic_NLD[index].clone()
        rows = self.generator.structure_rows
        code[:, rows:] = self.noise(len(index), 1, code.shape[2], draw=draw)
        with torch.no_grad():
            intrinsic = self.generator.map(code)
        return Lesson(intrinsic, self._style_codes(index, draw), self.portraits(index), True)

    def _unpaired(self, draw: torch.Generator) -> Lesson:
        """A random face, mixed of two codes more often than not, and a random exemplar."""
        g, n = self.generator, self.plan.batch
        index = self._draw_indices(n, draw)
        crossover = int(torch.randint(1, g.rows, (), generator=draw))
        mixed = float(torch.rand((), generator=draw)) < self.plan.mixing
        with torch.no_grad():
            w = g.truncate(g.map(self.noise(2, n, g.style_dim, draw=draw)), self.plan.truncation)
            intrinsic = g.mix(w[0], w[1], crossover if mixed else g.rows)
        return Lesson(intrinsic, self._style_codes(index, draw), self.portraits(index), False)

    def _terms(
        self, lesson: Lesson, draw: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """The fakes, the weighted terms of the generator's loss, each a mean over images, and what
        is noted beside them."""
        plan = self.plan
        fake = self.network(
            lesson.intrinsic_NLD, lesson.extrinsic_NLD, space="w_plus", size=self.size
        )
        with torch.no_grad():
            # The identity of the very face that is restyled: same code, same noise.
            face = self.generator.synthesise(lesson.intrinsic_NLD, size=self.size)
            person = self.identity(face)
            target = self.perceptual.features(lesson.portrait_NCHW, STAGES)
        rendered = self.perceptual.features(fake, STAGES)
        style, wanted = rendered[STYLE_STAGES], target[STYLE_STAGES]
        cx = contextual(rendered[CONTEXTUAL_STAGE], target[CONTEXTUAL_STAGE])
        apart = self.identity.distance(self.identity(fake), person).mean()
        terms = {
            "adversarial": plan.adversarial * self.adversary.judge(fake, draw).mean(),
            "contextual": plan.contextual * cx.mean(),
            "matching": plan.matching * feature_matching(style, wanted).mean(),
            "identity": self.factor * plan.identity * apart,
            "regular": plan.regular * weight_norms(self._regularised()),
        }
        if lesson.paired:
            terms["perceptual"] = (
                plan.perceptual * perceptual(rendered, target, PERCEPTUAL_WEIGHTS).mean()
            )
        return fake, terms, {"person": apart, "factor": self.factor.clone()}

    def _regularised(self) -> list[torch.nn.Parameter]:
        """Weights that L_reg pulls to zero, so that G stays near g (section 3.3)."""
        if self.plan.regularise == "compatible":
            return list(self.network.res.parameters())
        return [p for block in self.network.mod_res for p in block.parameters()]

    def path_image(self, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        index = self._draw_indices(max(1, self.plan.batch // 2), draw)
        with torch.no_grad():
            z = self.noise(len(index), self.generator.style_dim, draw=draw)
            w = self.generator.to_w_plus(z, "z").contiguous()
        w.requires_grad_(True)
        image = self.network(w, self._style_codes(index, draw), space="w_plus", size=self.size)
        return image, w

    def check(self) -> dict[str, Tensor]:
        if self._validation is None:
            panel = Panel(self.plan.panel_faces, self.plan.panel_styles, self.plan.truncation)
            shown = panel.chosen(len(self.intrinsic_NLD))
            self._validation = Validation(
                self.network,
                self.perceptual,
                self.identity,
                self.portraits(shown),
                self.extrinsic_NLD[shown],
                self.size,
                panel,
            )
        found = self._validation.measure()
        if self.plan.identity_goal:
            self._balance(found["style"], found["person"])
            found["goal"] = self.goal.clone()
        return found

    def _balance(self, style: Tensor, person: Tensor) -> None:
        """A style that falls behind the person gets more freedom, until it has caught up.

        Drawn skin and colours leave people as they are; other shapes make them other people, and
        how much of that a style needs shows in what has arrived of it.
        """
        behind = ((person - style) / GOAL_BAND).clamp(-1, 1).to(self.device)
        low, high = (share * self.plan.identity_goal for share in GOAL_SPAN)
        self.goal.mul_((GOAL_RATE * behind).exp()).clamp_(low, high)

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Exemplars, their reconstructions G(z_i+, z_e+, 1), a face and the face restyled."""
        shown = torch.arange(min(GRID_COLUMNS, len(self.intrinsic_NLD)))
        g = self.generator
        draw = torch.Generator().manual_seed(GRID_SEED)
        w = g.truncate(g.map(self.noise(1, g.style_dim, draw=draw)), self.plan.truncation)
        face = w[:, None].expand(len(shown), g.rows, -1)
        own = g.map(self.intrinsic_NLD[shown])
        styles = self.extrinsic_NLD[shown]
        rows: Sequence[Tensor] = (
            self.portraits(shown),
            self.network(own, styles, space="w_plus", size=self.size),
            g.synthesise(face, size=self.size),
            self.network(face, styles, space="w_plus", size=self.size),
        )
        return make_grid([tensor_to_image(t) for row in rows for t in row], len(shown))

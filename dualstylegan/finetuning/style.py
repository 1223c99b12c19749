"""Style transfer on the target domain, stage 3 of progressive fine-tuning (section 3.3).

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.

    L     = lambda_adv L_adv + lambda_perc L_perc (paired steps only) + L_sty + L_con
    L_sty = lambda_CX L_CX + lambda_FM L_FM                        between G and the exemplar S
    L_con = f lambda_ID L_ID + lambda_reg L_reg                    between G and g

Paired steps render an exemplar's own codes, G(z_i+, z_e+, 1), and reconstruct S; unpaired steps
render a random face in the style of a random exemplar. The paper sets lambda_ID and lambda_reg by
hand for each style. Here the factor f of lambda_ID is controlled during training: it rises while
L_ID exceeds its goal and falls below it, so that identity weighs no more than it has to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.codes.subsets import evenly_spaced
from dualstylegan.finetuning.discriminator import DiscriminatorTrainer, lazy_adam
from dualstylegan.finetuning.step import AdversarialTraining, Pass, StepOptions
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
from dualstylegan.networks.identity import FaceRecognition
from dualstylegan.networks.masks import Mask, Masks, no_masks, within
from dualstylegan.networks.vgg import PerceptualNetwork

# Weights of the feature maps of L_perc, those that L_sty compares, and the one that L_CX does.
PERCEPTUAL_WEIGHTS = (0.0, 0.5, 1.0)
STYLE_STAGES = slice(1, 3)
CONTEXTUAL_STAGE = 2
STAGES = len(PERCEPTUAL_WEIGHTS)
GRID_COLUMNS = 8
GRID_SEED = 13
# Controller of lambda_ID's factor: rate of the running mean of L_ID, largest change of log(factor)
# per step upwards and downwards, relative distance of L_ID from its goal at which the change is
# largest, and range of the factor. It rises faster, as an identity is lost in fewer steps than it
# takes to recover.
IDENTITY_MEAN_RATE = 0.1
RISE_RATE, FALL_RATE = 0.06, 0.02
FACTOR_BAND = 0.2
FACTOR_RANGE = (0.5, 8.0)
# Controller of the goal, at each validation: largest change of log(goal), difference between the
# identity and style scores at which it is largest, and range of the goal relative to its setting.
GOAL_RATE = 0.06
GOAL_BAND = 0.2
GOAL_RANGE = (1.0, 1.06)


@dataclass(frozen=True)
class StylePlan:
    """Settings of stage 3.

    Attributes:
        batch: images per pass.
        rate: learning rate of the extrinsic path.
        adversarial, perceptual, contextual, matching, identity, regular: the lambdas of L_adv,
            L_perc, L_CX, L_FM, L_ID and L_reg; 0 turns a term off.
        regularise: weights in L_reg: "mod_res" as in the paper, or "compatible" for ModRes and
            T_c as in the published code.
        mixing: probability that the faces of an unpaired pass are mixed from two codes.
        truncation: psi of unpaired faces; 1 does not truncate.
        jitter: standard deviation of the noise on style codes in W+; 0 adds none.
        identity_goal: L_ID of unpaired faces that the factor of lambda_ID is controlled by, before
            the first validation; 0 keeps lambda_ID constant.
        panel_faces, panel_styles: numbers of faces and of exemplars in validation.
        step_options: gradient accumulation and path length regularisation.
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
    step_options: StepOptions


@dataclass(frozen=True)
class Batch:
    """Inputs of one pass of stage 3.

    Attributes:
        intrinsic_NLD, extrinsic_NLD: codes of face and style in W+.
        portrait_NCHW: exemplars that the style codes belong to, in [-1, 1].
        paired: True if G must reconstruct the exemplars.
        mask_N1HW: of what lies inside of the exemplars' pictures.
    """

    intrinsic_NLD: Tensor
    extrinsic_NLD: Tensor
    portrait_NCHW: Tensor
    paired: bool
    mask_N1HW: Mask = None


class StyleTraining(AdversarialTraining):
    """Training of T_s, ModRes and T_c on pairs of exemplars and on random faces.

    Args:
        network: DualStyleGAN after structure transfer.
        discriminator: discriminator after structure transfer.
        perceptual: frozen feature extractor of L_perc, L_CX and L_FM.
        identity: frozen face recognition network of L_ID.
        portraits: function from indices to exemplars (N, 3, size, size) in [-1, 1].
        intrinsic_NLD, extrinsic_NLD: z_i+ and z_e+ of every exemplar, in Z+.
        size: working size in pixels.
        plan: settings.
        masks: function from indices to masks of what lies inside of the exemplars' pictures.

    Attributes:
        identity_factor: factor of lambda_ID.
        identity_goal: L_ID above which the factor rises.
        identity_mean: running mean of L_ID on unpaired faces.
    """

    def __init__(
        self,
        network: DualStyleGAN,
        discriminator: DiscriminatorTrainer,
        perceptual: PerceptualNetwork,
        identity: FaceRecognition,
        portraits: Callable[[Tensor], Tensor],
        intrinsic_NLD: Tensor,
        extrinsic_NLD: Tensor,
        size: int,
        plan: StylePlan,
        masks: Masks = no_masks,
    ) -> None:
        optimiser = lazy_adam(train_extrinsic(network), plan.rate, plan.step_options.interval)
        super().__init__("network", network, optimiser, discriminator, plan.step_options)
        self.network = network
        self.generator = network.generator
        self.perceptual = perceptual
        self.identity = identity
        self.portraits, self.masks = portraits, masks
        self.intrinsic_NLD = intrinsic_NLD
        with torch.no_grad():
            self.extrinsic_NLD = self.generator.map(extrinsic_NLD)
        self.size = size
        self.plan = plan
        self.identity_factor = torch.ones((), device=self.device)
        self.identity_goal = torch.tensor(plan.identity_goal, device=self.device)
        self.identity_mean = self.identity_goal.clone()
        self.buffers = {
            **self.buffers,
            "factor": self.identity_factor,
            "goal": self.identity_goal,
            "person": self.identity_mean,
        }
        self._validation: Validation | None = None

    def kind(self, step: int) -> str:
        return "paired" if step % 2 else "unpaired"

    def make_pass(self, step: int, rng: torch.Generator) -> Pass:
        batch = self._paired_batch(rng) if step % 2 else self._unpaired_batch(rng)
        fake, terms, metrics = self._terms(batch, rng)
        return Pass(fake, self.portraits(self._draw_indices(len(fake), rng)), terms, metrics)

    def step(self, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        scalars = super().step(step, rng)
        if self.plan.identity_goal and self.kind(step) == "unpaired":
            self._update_factor(scalars["unpaired/person"])
        return scalars

    def _update_factor(self, identity_loss: Tensor) -> None:
        """Raise the factor of lambda_ID while the mean of L_ID exceeds its goal; lower it below.

        Unpaired faces are new in each step, so that their L_ID is that of unseen people. The weight
        of L_reg stays constant: raised likewise, it would remove all exaggeration of shapes before
        identity recovers.
        """
        self.identity_mean.lerp_(identity_loss, IDENTITY_MEAN_RATE)
        excess = (self.identity_mean / self.identity_goal - 1) / FACTOR_BAND
        rate = torch.where(excess > 0, RISE_RATE, FALL_RATE)
        change = rate * excess.clamp(-1, 1)
        self.identity_factor.mul_(change.exp()).clamp_(*FACTOR_RANGE)

    def _draw_indices(self, count: int, rng: torch.Generator) -> Tensor:
        return torch.randint(len(self.intrinsic_NLD), (count,), generator=rng)

    def _style_codes(self, index: Tensor, rng: torch.Generator) -> Tensor:
        """Return W+ codes of exemplars with jitter."""
        codes = self.extrinsic_NLD[index]
        return codes + self.plan.jitter * self.noise(*codes.shape, rng=rng)

    def _paired_batch(self, rng: torch.Generator) -> Batch:
        """Draw pairs (z_i+, z_e+) with random colour rows in z_i+: colours come from z_e+ alone."""
        index = self._draw_indices(self.plan.batch, rng)
        code = self.intrinsic_NLD[index].clone()
        rows = self.generator.structure_rows
        code[:, rows:] = self.noise(len(index), 1, code.shape[2], rng=rng)
        with torch.no_grad():
            intrinsic = self.generator.map(code)
        return self._batch(intrinsic, index, rng, paired=True)

    def _unpaired_batch(self, rng: torch.Generator) -> Batch:
        """Draw random faces, mixed from two codes with probability `mixing`, and exemplars."""
        g, n = self.generator, self.plan.batch
        index = self._draw_indices(n, rng)
        crossover = int(torch.randint(1, g.rows, (), generator=rng))
        mixed = float(torch.rand((), generator=rng)) < self.plan.mixing
        with torch.no_grad():
            w = g.truncate(g.map(self.noise(2, n, g.style_dim, rng=rng)), self.plan.truncation)
            intrinsic = g.mix(w[0], w[1], crossover if mixed else g.rows)
        return self._batch(intrinsic, index, rng, paired=False)

    def _batch(
        self, intrinsic_NLD: Tensor, index: Tensor, rng: torch.Generator, *, paired: bool
    ) -> Batch:
        """Return the batch of faces and of the exemplars at the indices."""
        codes, portraits = self._style_codes(index, rng), self.portraits(index)
        return Batch(intrinsic_NLD, codes, portraits, paired, self.masks(index))

    def _terms(
        self, batch: Batch, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Render a batch; return the images, the weighted loss terms and the metrics (means)."""
        plan = self.plan
        fake = self.network(
            batch.intrinsic_NLD, batch.extrinsic_NLD, space="w_plus", size=self.size
        )
        with torch.no_grad():
            # L_ID compares with g of the same code and the same noise.
            face = self.generator.synthesise(batch.intrinsic_NLD, size=self.size)
            face_identity = self.identity(face)
            target = self.perceptual.features(batch.portrait_NCHW, STAGES)
        mask, seen = batch.mask_N1HW, within(batch.mask_N1HW, fake, batch.portrait_NCHW)
        rendered = self.perceptual.features(seen, STAGES)
        cx = contextual(rendered[CONTEXTUAL_STAGE], target[CONTEXTUAL_STAGE], mask_N1HW=mask)
        fm = feature_matching(rendered[STYLE_STAGES], target[STYLE_STAGES], mask)
        # L_ID compares two generated faces, whole as they are.
        identity_loss = self.identity.distance(self.identity(fake), face_identity).mean()
        terms = {
            "adversarial": plan.adversarial * self.discriminator.generator_loss(seen, rng).mean(),
            "contextual": plan.contextual * cx.mean(),
            "matching": plan.matching * fm.mean(),
            "identity": self.identity_factor * plan.identity * identity_loss,
            "regular": plan.regular * weight_norms(self._regularised()),
        }
        if batch.paired:
            terms["perceptual"] = (
                plan.perceptual * perceptual(rendered, target, PERCEPTUAL_WEIGHTS).mean()
            )
        return seen, terms, {"person": identity_loss, "factor": self.identity_factor.clone()}

    def _regularised(self) -> list[torch.nn.Parameter]:
        """Return the weights whose norms L_reg penalises, so that G stays near g (section 3.3)."""
        if self.plan.regularise == "compatible":
            return list(self.network.res.parameters())
        return [p for block in self.network.mod_res for p in block.parameters()]

    def path_image(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        index = self._draw_indices(max(1, self.plan.batch // 2), rng)
        with torch.no_grad():
            z = self.noise(len(index), self.generator.style_dim, rng=rng)
            w = self.generator.to_w_plus(z, "z").contiguous()
        w.requires_grad_(True)
        image = self.network(w, self._style_codes(index, rng), space="w_plus", size=self.size)
        return image, w

    def check(self) -> dict[str, Tensor]:
        if self._validation is None:
            panel = Panel(self.plan.panel_faces, self.plan.panel_styles, self.plan.truncation)
            shown = torch.tensor(evenly_spaced(len(self.intrinsic_NLD), panel.styles))
            self._validation = Validation(
                self.network,
                self.perceptual,
                self.identity,
                self.portraits(shown),
                self.extrinsic_NLD[shown],
                self.size,
                panel,
                self.masks(shown),
            )
        measures = self._validation.measure()
        if self.plan.identity_goal:
            self._update_goal(measures["style"], measures["person"])
            measures["goal"] = self.identity_goal.clone()
        return measures

    def _update_goal(self, style: Tensor, identity: Tensor) -> None:
        """Raise the goal of L_ID while the style score is below the identity score.

        Styles that change colours and texture alone leave identity intact; styles with shapes of
        their own cost identity, and need a higher L_ID to reach the exemplars.
        """
        lag = ((identity - style) / GOAL_BAND).clamp(-1, 1).to(self.device)
        low, high = (share * self.plan.identity_goal for share in GOAL_RANGE)
        self.identity_goal.mul_((GOAL_RATE * lag).exp()).clamp_(low, high)

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Render exemplars, G(z_i+, z_e+, 1), a face, and the face in each style, row by row."""
        shown = torch.arange(min(GRID_COLUMNS, len(self.intrinsic_NLD)))
        g = self.generator
        rng = torch.Generator().manual_seed(GRID_SEED)
        w = g.truncate(g.map(self.noise(1, g.style_dim, rng=rng)), self.plan.truncation)
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

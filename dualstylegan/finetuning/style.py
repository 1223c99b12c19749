"""Style transfer on the target domain, stage 3 of progressive fine-tuning (section 3.3).

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.

    L     = lambda_adv L_adv + lambda_perc L_perc (paired steps only) + L_sty + L_con
    L_sty = lambda_CX L_CX + lambda_FM L_FM                        between G and the exemplar S
    L_con = lambda_ID L_ID + lambda_dist L_distinction + lambda_content L_content
            + lambda_tone L_tone + lambda_reg L_reg

Paired steps render an exemplar's own codes, G(z_i+, z_e+, 1), and reconstruct S; unpaired steps
render random faces in the style of a random exemplar.

L_con compares G with g in the paper. There every exaggeration is a loss of identity, and the two
pull against each other. Here it compares G with the exaggerated face (`exaggeration`): g's face,
moved by what the exemplar adds to a mean face's shape. L_content and L_tone see it without its
colours: what its parts look like, and where it is fair or dark. L_distinction sees what makes one
face different from another in the same style.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.codes.random_faces import draw_codes
from dualstylegan.codes.subsets import evenly_spaced
from dualstylegan.finetuning.discriminator import DiscriminatorTrainer, lazy_adam
from dualstylegan.finetuning.exaggeration import Exaggeration
from dualstylegan.finetuning.step import AdversarialTraining, Pass, StepOptions
from dualstylegan.finetuning.structure import train_extrinsic
from dualstylegan.finetuning.targets import KeptTargets
from dualstylegan.finetuning.validation import Panel, Validation
from dualstylegan.io.images import make_grid, tensor_to_image
from dualstylegan.losses import (
    content,
    contextual,
    distinction,
    feature_matching,
    perceptual,
    tone,
    weight_norms,
)
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.identity import FaceRecognition
from dualstylegan.networks.masks import Mask, Masks, no_masks, within
from dualstylegan.networks.threads import beside
from dualstylegan.networks.vgg import PerceptualNetwork

# Feature maps that are compared, and their weights in L_perc; L_CX and L_content take the last.
STAGES = 3
COMPARED = slice(1, STAGES)
PERCEPTUAL_WEIGHTS = (0.5, 1.0)
GRID_COLUMNS = 8
GRID_SEED = 13


@dataclass(frozen=True)
class StylePlan:
    """Settings of stage 3.

    Attributes:
        batch: images per pass.
        rate: learning rate of the extrinsic path.
        adversarial, perceptual, contextual, matching, identity, distinction, content, tone,
            regular: the lambdas of L_adv, L_perc, L_CX, L_FM, L_ID, L_distinction, L_content,
            L_tone and L_reg; 0 turns a term off.
        regularise: weights in L_reg: "mod_res" as in the paper, or "compatible" for ModRes and
            T_c as in the published code.
        variety: of the codes of unpaired faces, see `draw_codes`.
        mixing: probability that the faces of an unpaired pass are mixed from two codes.
        truncation: psi of unpaired faces; 1 does not truncate.
        jitter: standard deviation of the noise on style codes in W+; 0 adds none.
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
    distinction: float
    content: float
    tone: float
    regular: float
    regularise: str
    variety: float
    mixing: float
    truncation: float
    jitter: float
    panel_faces: int
    panel_styles: int
    step_options: StepOptions


@dataclass(frozen=True)
class Batch:
    """Inputs of one pass of stage 3.

    Attributes:
        intrinsic_NLD, extrinsic_NLD: codes of face and style in W+.
        portrait_NCHW: exemplars that the style codes belong to, in [-1, 1].
        index_N: their numbers in the set.
        paired: True if G must reconstruct the exemplars.
        mask_N1HW: of what lies inside of the exemplars' pictures.
    """

    intrinsic_NLD: Tensor
    extrinsic_NLD: Tensor
    portrait_NCHW: Tensor
    index_N: Tensor
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
        exaggeration: of the same exemplars; None compares with g's own face, as the paper does.
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
        exaggeration: Exaggeration | None = None,
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
        self.exaggeration = exaggeration
        self._features = KeptTargets(lambda index: self._compared(self.portraits(index)))
        self._identities = KeptTargets(self._own_identity)
        self._validation: Validation | None = None

    def kind(self, step: int) -> str:
        return "paired" if step % 2 else "unpaired"

    def make_pass(self, step: int, rng: torch.Generator) -> Pass:
        batch = self._paired_batch(rng) if step % 2 else self._unpaired_batch(rng)
        fake, terms, metrics = self._terms(batch, rng)
        return Pass(fake, self.portraits(self._draw_indices(len(fake), rng)), terms, metrics)

    def _draw_indices(self, count: int, rng: torch.Generator) -> Tensor:
        return torch.randint(len(self.intrinsic_NLD), (count,), generator=rng)

    def _style_codes(self, index: Tensor, rng: torch.Generator) -> Tensor:
        """Return W+ codes of exemplars with jitter."""
        codes = self.extrinsic_NLD[index]
        return codes + self.plan.jitter * self.noise(*codes.shape, rng=rng)

    def _paired_batch(self, rng: torch.Generator) -> Batch:
        """Draw pairs (z_i+, z_e+).

        Where G has no tone, the colour rows of z_i+ are random: colours come from z_e+ alone.
        """
        index = self._draw_indices(self.plan.batch, rng)
        code = self.intrinsic_NLD[index].clone()
        if not self.network.tone:
            rows = self.generator.structure_rows
            code[:, rows:] = self.noise(len(index), 1, code.shape[2], rng=rng)
        with torch.no_grad():
            intrinsic = self.generator.map(code)
        return self._batch(intrinsic, index, rng, paired=True)

    def _unpaired_batch(self, rng: torch.Generator) -> Batch:
        """Draw random faces, mixed from two codes with probability `mixing`, and exemplars.

        L_distinction compares people in one style: with it, all of them take one exemplar.
        """
        g, plan = self.generator, self.plan
        exemplars = 1 if plan.distinction else plan.batch
        index = self._draw_indices(exemplars, rng).expand(plan.batch)
        crossover = int(torch.randint(1, g.rows, (), generator=rng))
        mixed = float(torch.rand((), generator=rng)) < plan.mixing
        codes = draw_codes(g, 2 * plan.batch, rng, variety=plan.variety, psi=plan.truncation)
        first, second = codes.chunk(2)
        intrinsic = g.mix(first, second, crossover if mixed else g.rows)
        return self._batch(intrinsic, index, rng, paired=False)

    def _batch(
        self, intrinsic_NLD: Tensor, index: Tensor, rng: torch.Generator, *, paired: bool
    ) -> Batch:
        """Return the batch of faces and of the exemplars at the indices."""
        codes, portraits = self._style_codes(index, rng), self.portraits(index)
        return Batch(intrinsic_NLD, codes, portraits, index, paired, self.masks(index))

    def _terms(
        self, batch: Batch, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Render a batch; return the images, the weighted loss terms and the metrics (means)."""
        plan = self.plan
        fake, (person, person_identity) = beside(
            lambda: self._render(batch), lambda: self._person(batch), self.device
        )
        mask, portrait = batch.mask_N1HW, batch.portrait_NCHW
        seen = within(mask, fake, portrait)
        rendered, target = self._compared(seen), self._features(batch.index_N)
        cx = contextual(rendered[-1], target[-1], mask_N1HW=mask)
        fm = feature_matching(rendered, target, mask)
        # Faces are compared whole, beyond the exemplar's picture too.
        made_identity = self.identity(fake)
        identity_loss = self.identity.distance(made_identity, person_identity).mean()
        terms = {
            "adversarial": plan.adversarial * self.discriminator.generator_loss(seen, rng).mean(),
            "contextual": plan.contextual * cx.mean(),
            "matching": plan.matching * fm.mean(),
            "identity": plan.identity * identity_loss,
            "regular": plan.regular * weight_norms(self._regularised()),
        }
        if batch.paired:
            terms["perceptual"] = (
                plan.perceptual * perceptual(rendered, target, PERCEPTUAL_WEIGHTS).mean()
            )
        else:
            assert person is not None
            if plan.distinction:
                error = distinction(made_identity, person_identity)
                terms["distinction"] = plan.distinction * error
            terms |= self._content_terms(seen, rendered, within(mask, person, portrait))
        return seen, terms, {"person": identity_loss}

    def _render(self, batch: Batch) -> Tensor:
        """Render G(z_i+, z_e+, 1)."""
        codes = batch.intrinsic_NLD, batch.extrinsic_NLD
        image: Tensor = self.network(*codes, space="w_plus", size=self.size)
        return image

    def _compared(self, image_NCHW: Tensor) -> list[Tensor]:
        """Return the feature maps that are compared."""
        return self.perceptual.features(image_NCHW, STAGES)[COMPARED]

    @torch.no_grad()
    def _person(self, batch: Batch) -> tuple[Tensor | None, Tensor]:
        """Return the faces that L_con compares with and their identities (N, E).

        Of pairs whose codes are the same in every step there are the identities alone.
        """
        if batch.paired and self.network.tone:
            return None, self._identities(batch.index_N)[0]
        person = self._exaggerated(batch.intrinsic_NLD, batch.index_N)
        return person, self.identity(person)

    def _own_identity(self, index_N: Tensor) -> list[Tensor]:
        """Return the identities of the faces of exemplars' own codes z_i+."""
        intrinsic = self.generator.map(self.intrinsic_NLD[index_N])
        return [self.identity(self._exaggerated(intrinsic, index_N))]

    def _exaggerated(self, intrinsic_NLD: Tensor, index_N: Tensor) -> Tensor:
        """Render the exaggerated faces of codes in W+; g's own without exaggeration."""
        face = self.generator.synthesise(intrinsic_NLD, size=self.size)
        return face if self.exaggeration is None else self.exaggeration(face, index_N)

    def _content_terms(
        self, fake_NCHW: Tensor, rendered: Sequence[Tensor], person_NCHW: Tensor
    ) -> dict[str, Tensor]:
        """Return the weighted L_content and L_tone of unpaired faces, as far as they weigh."""
        plan, terms = self.plan, {}
        if plan.content:
            with torch.no_grad():
                wanted = self._compared(person_NCHW)[-1]
            terms["content"] = plan.content * content(rendered[-1], wanted).mean()
        if plan.tone:
            terms["tone"] = plan.tone * tone(fake_NCHW, person_NCHW).mean()
        return terms

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
                None if self.exaggeration is None else self.exaggeration.of(shown),
            )
        return self._validation.measure()

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

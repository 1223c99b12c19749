"""Fine-tune a generator on a portrait: python examples/hello_finetune_tiny.py MODEL PORTRAIT OUT.

Adaptation of g to g' (section 3.1) in its smallest form: one exemplar, no discriminator.
"""

from __future__ import annotations

import sys

import torch

from dualstylegan import PortraitModel
from dualstylegan.finetuning.adapt import relative_adam, synthesis_parameters
from dualstylegan.io.images import image_to_tensor, make_grid, read_image, tensor_to_image

STEPS = 20


def main(folder: str, portrait: str, output: str) -> None:
    """Train the synthesis network until it renders the portrait from the portrait's own code."""
    model = PortraitModel.from_pretrained(folder)
    g, face = model.generator, model.align(read_image(portrait))
    size = max(px for px in g.output_sizes if px <= 128)
    target = image_to_tensor(face.image, size)[None]
    w_NLD = g.map(torch.from_numpy(model.fit(face.image, frame=face.frame).code_LD)[None])
    before = g.synthesise(w_NLD, size=size)
    optimiser = relative_adam(synthesis_parameters(g), rate=0.002)
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = model.lpips()(g.synthesise(w_NLD, size=size), target).mean()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        images = (target, before, g.synthesise(w_NLD, size=size))
    make_grid([tensor_to_image(x[0].clamp(-1, 1)) for x in images], 3).save(output)


if __name__ == "__main__":
    main(*sys.argv[1:])

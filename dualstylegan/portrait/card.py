"""Model card: description, use, origin of weights and portraits, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dualstylegan.portrait.config import MAX_FIT_STEPS, PortraitConfig

_BODY = """\
# {name}

An exemplar-based portrait style transfer model: DualStyleGAN (Yang et al., "Pastiche Master",
CVPR 2022) on a {generator} generator. It redraws the face of a photo in the style of
one of {count} exemplar portraits, with one weight for shapes and one for colours.

## Use

```python
from PIL import Image
from dualstylegan import PortraitModel

model = PortraitModel.from_pretrained("THIS FOLDER")
model.transfer(Image.open("photo.jpg"), "{example}", structure={structure:g}).save("out.png")
```

or `dualstylegan transfer photo.jpg --model "THIS FOLDER" --style "{example}" -o out.png`.

| setting | range | default |
|---|---|---|
| structure | 0 to 1 | {structure:g} |
| color | 0 to 1 | {color:g} |
| truncation | 0 to 1 | {truncation:g} |
| fit_steps | 0 to {max_fit_steps} | {fit_steps} |
| size | 64 to {resolution} px | 256 px |

## Files

`config.json` holds the schema and the defaults, `model.safetensors` the generator and the extrinsic
style path, `encoder.safetensors` the encoder into Z+, `styles.safetensors` the extrinsic and
intrinsic code of each style in the order of `config.json`{sampler}; `faces/` the face detector, the
landmark model and LPIPS. The folder is all that `transfer` and `add-style` read. All weights are
float32; nothing in this folder is code or a pickle.

## Origin of the weights

{weights}

## Origin of the portraits

{portraits}

## Limits

- Faces that are turned away, small or occluded come out as the nearest face that the generator can
  render; hats, hands and backgrounds are redrawn.
- The generator was trained on photos from Flickr (FFHQ) and shares their biases. Its weights are
  for non-commercial research.
- The results are drawings of a likeness. Do not pass them off as photos, and do not restyle people
  without their consent.

## Styles

{styles}
"""


def model_card(
    config: PortraitConfig,
    resolution: int,
    weights: Sequence[Mapping[str, str]],
    portraits: Mapping[str, int],
) -> str:
    """Return the text of MODEL_CARD.md.

    Args:
        config: of the model.
        resolution: side of the generator's full output in pixels.
        weights: name, origin and licence of each weight file.
        portraits: number of portraits per origin.
    """
    table = ["| file | origin | licence |", "|---|---|---|"]
    table += [f"| {w['name']} | {w['origin']} | {w['licence']} |" for w in weights]
    names = {"mobilestylegan": "MobileStyleGAN", "stylegan2": "StyleGAN2"}
    return _BODY.format(
        name=config.name,
        generator=names[config.network.generator.kind],
        count=len(config.styles),
        example=config.styles[0],
        structure=config.defaults.structure,
        color=config.defaults.color,
        truncation=config.defaults.truncation,
        max_fit_steps=MAX_FIT_STEPS,
        fit_steps=config.defaults.fit_steps,
        resolution=resolution,
        sampler=", `sampler.safetensors` the sampler of new styles" if config.has_sampler else "",
        weights="\n".join(table),
        portraits="\n".join(f"- {count} x {origin}" for origin, count in portraits.items()),
        styles=", ".join(config.labels.get(name, name) for name in config.styles),
    )

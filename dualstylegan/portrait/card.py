"""The model card: what the model is, what it was made of, and what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dualstylegan.portrait.config import PortraitConfig

_BODY = """\
# {name}

An exemplar-based portrait style transfer model: DualStyleGAN (Yang et al., "Pastiche Master",
CVPR 2022) on a {generator} generator. It redraws the face of a photo after one of {count}
exemplar portraits, with one dial for shapes and one for colours.

## Use

```python
from PIL import Image
from dualstylegan.portrait.model import PortraitModel

model = PortraitModel.from_pretrained("THIS FOLDER")
model.transfer(Image.open("photo.jpg"), "{example}", structure={structure:g}).save("out.png")
```

or `dualstylegan transfer photo.jpg --model "THIS FOLDER" --style {example} -o out.png`.

| setting | range | default |
|---|---|---|
| structure | 0 to 1 | {structure:g} |
| color | 0 to 1 | {color:g} |
| truncation | 0 to 1 | {truncation:g} |
| size | 64 to {resolution} px | 256 px |

## Files

`config.json` holds the schema and the defaults, `model.safetensors` the generator and the extrinsic
style path, `encoder.safetensors` the encoder into Z+, `styles.safetensors` the extrinsic and
intrinsic code of each style in the order of `config.json`{sampler}. All weights are float32;
nothing in this folder is code or a pickle.

## Weights it was made from

{weights}

## Portraits it was made from

{portraits}

## Limits

- Faces that are turned far away, small or covered come out as the nearest face the generator knows;
  hats, hands and backgrounds are redrawn, not kept.
- The generator was trained on photos from Flickr (FFHQ) and shares their biases. Its weights are
  for non-commercial research.
- The results are drawings of a likeness. Do not pass them off as photos, and do not restyle people
  who would not want it.

## Styles

{styles}
"""


def model_card(
    config: PortraitConfig,
    resolution: int,
    weights: Sequence[Mapping[str, str]],
    portraits: Mapping[str, int],
) -> str:
    """MODEL_CARD.md.

    Args:
        resolution: pixels of the generator's full output.
        weights: name, origin and licence of each weight file.
        portraits: how many portraits come from each origin.
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
        resolution=resolution,
        sampler=", `sampler.safetensors` the sampler of new styles" if config.has_sampler else "",
        weights="\n".join(table),
        portraits="\n".join(f"- {count} x {origin}" for origin, count in portraits.items()),
        styles=", ".join(config.styles),
    )

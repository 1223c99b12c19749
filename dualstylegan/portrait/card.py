"""Model card: description, use, origin of weights and portraits, limits."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dualstylegan.errors import BETTER_PHOTO
from dualstylegan.networks.facenet import SAME_PERSON_COSINE
from dualstylegan.portrait.card_file import UNNAMED
from dualstylegan.portrait.config import (
    FITS_IMAGE,
    LOSSES_IMAGE,
    MAX_FIT_STEPS,
    PortraitConfig,
)

_BODY = """\
# {name}

**Research only, no commercial use: see [LICENSE.md](LICENSE.md).**

An exemplar-based portrait style transfer model: DualStyleGAN (Yang et al., "Pastiche Master",
CVPR 2022) on a {generator} generator. It redraws the face of a photo in the style of
one of {count} exemplar portraits, with one weight for shapes and one for colours.

## Use

```python
from PIL import Image
from dualstylegan import PortraitModel

model = PortraitModel.from_pretrained("{unnamed}")
model.transfer(Image.open("photo.jpg"), "{example}", structure={structure:g}).save("out.png")
```

or `dualstylegan transfer photo.jpg --model "{unnamed}" --style "{example}" -o out.png`.

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
landmark model, LPIPS and face recognition. The folder is all that `transfer` and `add-style` read.
{precision} nothing in this folder is code or a pickle.

## Origin of the weights

{weights}

## Origin of the portraits

{portraits}

## Limits

- `transfer` warns where the face that it fitted to a photo may not be recognised as the person.
  What helps: {better_photo}, or more `fit_steps`.
- Faces that are turned away, small or occluded come out as the nearest face that the generator can
  render; hats, hands and backgrounds are redrawn.
- The generator was trained on photos from Flickr (FFHQ) and shares their biases. Its weights are
  for non-commercial research.
- The results are drawings of a likeness. Do not pass them off as photos, and do not restyle people
  without their consent.

{fits}{losses}## Styles

{styles}
"""

_FULL = "All weights are float32;"
_HALF = "Weights are in half precision and are cast to float32 when they are loaded;"
_PACKED = "Weights are in half precision, and the landmark model is packed and rounded;"

# The section of files, up to the next heading.
_FILES = re.compile(r"^## Files\n.*?(?=^## )", re.MULTILINE | re.DOTALL)
_ONNX_FILES = """\
## Files

The ONNX form of the model. `onnx.json` says which graph takes and returns what, with the digest of
every file; `config.json` holds the defaults and the names of the styles, `styles.safetensors` the
extrinsic and intrinsic code of each in that order; `weights.bin` the weights that graphs share;
`faces/` the face detector and the landmark model. Weights are stored in {stored}; every graph
computes in float32. Nothing in this folder is code or a pickle.

"""

_FITS = """\
## Who is fitted badly

A photo is restyled from its code, and what the code does not hold of a person is lost before any
style. The table compares {faces} with the generator's image of its code, by the cosine of
FaceNet's descriptors (research only, used for evaluation only): two people are at about 0.05, two
photographs of one person above about {line:.2f}. The image shows the faces in the same order: the
photo above, the image of its code below.

![Faces above, the images of their codes below]({image})

| face | identity | |
|---|---|---|
{rows}

{verdict}

"""


_LOSSES = """\
## What is lost

How far what makes a person survives, over {faces} faces in {styles} styles, evenly spaced over all:
the correlation over the faces, within a style, of an attribute of the results with that of the
photos. 1 is kept, 0 is lost; g(code) is the generator's image of the code, before any style. The
attributes are read off landmarks and lightness: no figure reaches 1, and what painting itself takes
counts as lost. In brackets: 95 % bootstrap intervals.

| attribute | measured by | g(code) | results |
|---|---|---|---|
{rows}
{picture}
"""

_LOSSES_PICTURE = """
Where each attribute is lost the most, or comes in unasked, a row each in the order of the table:
the photo, the image of its code and the result, of two faces.

![Photo, image of its code, and result, where each attribute is lost the most]({image})
"""


@dataclass(frozen=True)
class Loss:
    """Attribute of a person, and how far it survives.

    Attributes:
        label, meaning: name and definition of the attribute, for people.
        code, result: its survival in g(code) and in the results, 1 kept to 0 lost; the code's is
            NaN where too few faces tell.
        low, high: bounds of the interval of the results'.
    """

    label: str
    meaning: str
    code: float
    result: float
    low: float
    high: float


@dataclass(frozen=True)
class Losses:
    """Attributes of the person that results lose.

    Attributes:
        faces, styles: numbers of faces and styles that were compared.
        attributes: the worst first; empty leaves the section out.
        pictured: LOSSES_IMAGE shows them.
    """

    faces: int = 0
    styles: int = 0
    attributes: tuple[Loss, ...] = ()
    pictured: bool = False


NO_LOSSES = Losses()


def model_card(
    config: PortraitConfig,
    resolution: int,
    weights: Sequence[Mapping[str, str]],
    portraits: Mapping[str, int],
    fits: Sequence[tuple[str, float]] = (),
    faces: int = 0,
    losses: Losses = NO_LOSSES,
) -> str:
    """Return the text of the card, README.md without its front matter.

    Args:
        config: of the model.
        resolution: side of the generator's full output in pixels.
        weights: name, origin and licence of each weight file.
        portraits: number of portraits per origin.
        fits: name of a face, and FaceNet's cosine of its photo and of the image of its code, in the
            order of FITS_IMAGE; empty leaves the section out.
        faces: number of faces that those of `fits` are the worst of; 0: there are no others.
        losses: attributes of the person and how far they survive, as LOSSES_IMAGE shows them.
    """
    table = ["| file | origin | licence |", "|---|---|---|"]
    table += [f"| {w['name']} | {w['origin']} | {w['licence']} |" for w in weights]
    names = {"mobilestylegan": "MobileStyleGAN", "stylegan2": "StyleGAN2"}
    return _BODY.format(
        precision=_FULL,
        unnamed=UNNAMED,
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
        better_photo=BETTER_PHOTO,
        fits=_fits(fits, faces) if fits else "",
        losses=_losses(losses) if losses.attributes else "",
        styles=", ".join(config.labels.get(name, name) for name in config.styles),
    )


def in_half_precision(card: str, packed: bool) -> str:
    """Return the card of a model folder as that of its form in half precision.

    Args:
        card: text of a card.
        packed: the form's landmark model is packed.
    """
    form = _PACKED if packed else _HALF
    return card.replace(_FULL, form).replace(_HALF, form)


def in_onnx_form(card: str, half: bool) -> str:
    """Return the card of a model folder as that of its ONNX form, in half precision or not."""
    stored = "float16, cast to float32 inside of the graphs" if half else "float32"
    return _FILES.sub(_ONNX_FILES.format(stored=stored), card, count=1)


def _cell(name: str) -> str:
    """Return a name as a cell of a table."""
    return name.replace("|", "\\|")


def _losses(losses: Losses) -> str:
    def row(loss: Loss) -> str:
        code = "" if math.isnan(loss.code) else f"{loss.code:.2f}"
        kept = f"{loss.result:.2f} ({loss.low:.2f} to {loss.high:.2f})"
        return f"| {loss.label} | {loss.meaning} | {code} | {kept} |"

    return _LOSSES.format(
        faces=losses.faces,
        styles=losses.styles,
        rows="\n".join(map(row, losses.attributes)),
        picture=_LOSSES_PICTURE.format(image=LOSSES_IMAGE) if losses.pictured else "",
    )


def _fits(fits: Sequence[tuple[str, float]], faces: int) -> str:
    def mark(identity: float) -> str:
        return "under the line" if identity <= SAME_PERSON_COSINE else "above the line"

    lost = [_cell(name) for name, identity in fits if identity <= SAME_PERSON_COSINE]
    verdict = "All of these faces are above the line."
    if lost:
        verdict = (
            f"Under the line, and so fitted badly: {', '.join(lost)}.\nWhat helps: {BETTER_PHOTO}, "
            "or more `fit_steps`."
        )
    fewer = faces > len(fits)
    return _FITS.format(
        faces=f"the {len(fits)} least similar of {faces} faces" if fewer else "each content face",
        line=SAME_PERSON_COSINE,
        image=FITS_IMAGE,
        rows="\n".join(f"| {_cell(name)} | {value:.2f} | {mark(value)} |" for name, value in fits),
        verdict=verdict,
    )

"""Stage `package`: one self-contained model folder from network, encoder, codes and sampler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from dualstylegan.codes.sampling import SAMPLER_FILE
from dualstylegan.codes.tables import CodeTable, read_codes
from dualstylegan.errors import DataError
from dualstylegan.io.files import read_json
from dualstylegan.io.images import (
    image_to_tensor,
    make_grid,
    read_image,
    tensor_to_image,
    thumbnail,
)
from dualstylegan.networks.facenet import cosine
from dualstylegan.networks.loading import load_facenet, load_trained_dualstylegan
from dualstylegan.portrait.card import model_card
from dualstylegan.portrait.config import PortraitConfig, TransferDefaults
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.styles import StyleLibrary
from tasks.shared.aligned import read_aligned
from tasks.shared.networks import open_networks
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, run_stage
from tasks.shared.settings import Settings

# Content faces in the card, the worst fitted ones, and the side of their images in pixels.
CARD_FACES, CARD_PX = 12, 128


def style_library(extrinsic: CodeTable, intrinsic: CodeTable) -> StyleLibrary:
    """Return the styles that have both codes, sorted by name.

    Raises:
        DataError: codes are not in Z+, or no style has both.
    """
    for table in (extrinsic, intrinsic):
        if table.space != "z_plus":
            raise DataError("style codes are not in Z+", value=table.space, limit="z_plus")
    names = sorted(set(extrinsic.names) & set(intrinsic.names))
    if not names:
        raise DataError("no style has both codes", fix="run destylize and refine anew")
    return StyleLibrary(tuple(names), extrinsic.select(names), intrinsic.select(names))


def weight_sources(records: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return name, origin and licence of each downloaded weight file, and of the project's own."""
    found = [
        {
            "name": name,
            "origin": f"{record['origin']} ({record['distribution']} on PyPI)",
            "licence": str(record["licence"]),
        }
        for name, record in sorted(records.items())
    ]
    own = "trained by this project on pictures of the generator alone, see data/base"
    licence = "as the generator: non-commercial research"
    return [*found, {"name": "encoder.safetensors", "origin": own, "licence": licence}]


def portrait_origins(path: Path) -> dict[str, int]:
    """Count the portraits per origin; a user's own are counted together."""
    import pandas as pd

    table = pd.read_parquet(path)
    return dict(sorted(Counter(str(o).split(":")[0] for o in table["origin"]).items()))


def style_labels(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the labels that users gave exemplars, by name, where the two differ."""
    import pandas as pd

    table = pd.read_parquet(path)
    if "label" not in table:
        return {}
    exemplars = table[table["kind"] == "style"] if "kind" in table else table
    pairs = zip(exemplars["name"], exemplars["label"], strict=True)
    return {str(n): str(label) for n, label in pairs if n in names and label and n != label}


def transfer_defaults(settings: Settings) -> TransferDefaults:
    """Return the model's defaults: faces are fitted as `invert` fits the content faces.

    The evaluation measures those codes, so what it measures is what every user of the model gets.
    """
    chosen, fit = settings.package, settings.invert
    return TransferDefaults(
        structure=chosen.structure,
        color=chosen.color,
        truncation=chosen.truncation,
        fit_steps=fit.content_steps,
        fit_passes=fit.passes,
        fit_rate=fit.rate,
        fit_pixel_weight=fit.pixel_weight,
        fit_identity_weight=fit.identity_weight,
        fit_px=settings.profile.working_size,
        crop_px=settings.align.size,
    )


def worst_fits(model: PortraitModel) -> tuple[list[tuple[str, float]], bytes, int]:
    """Compare content faces with the generator's images of their codes.

    Returns:
        Names and FaceNet's cosines of the faces that are least alike, the worst first; a JPEG strip
        with their photos above and the images of their codes below; and the number of all faces.
    """
    table = read_codes(Paths.content_codes)
    faces = read_aligned(Paths.faces, table.names)
    facenet = load_facenet(Paths.weights)
    size = min(model.config.defaults.crop_px, max(model.generator.output_sizes))
    measured = []
    for (name, photo), code_LD in zip(faces, table.codes_NLD, strict=True):
        rendered = tensor_to_image(model.render(code_LD[None], None, size=size)[0])
        images = [image_to_tensor(image, size)[None] for image in (photo, rendered)]
        with torch.no_grad():
            identity = float(cosine(*(facenet(image) for image in images)))
        measured.append((name, identity, photo, rendered))
    worst = sorted(measured, key=lambda fit: fit[1])[:CARD_FACES]
    first = worst[0][2].resize((CARD_PX, CARD_PX), Image.Resampling.LANCZOS)  # sets all sizes
    cells = [first, *(photo for *_, photo, _ in worst[1:]), *(image for *_, image in worst)]
    fits = [(name, identity) for name, identity, *_ in worst]
    labels = [*(name for name, _ in fits), *(f"{identity:.2f}" for _, identity in fits)]
    strip = make_grid(cells, len(worst), labels)
    return fits, thumbnail(strip, max(strip.size)), len(measured)


def package(settings: Settings) -> PortraitModel:
    """Assemble the model from the outputs of the stages before and write its folder.

    Raises:
        DataError: a stage's output is missing; CheckpointError: weights do not fit.
    """
    from dualstylegan.codes.sampling import StyleSampler

    network, network_config = load_trained_dualstylegan(Paths.finetuned)
    styles = style_library(read_codes(Paths.refined_codes), read_codes(Paths.intrinsic_codes))
    labels = style_labels(Paths.portraits_record, styles.names)
    config = PortraitConfig(
        name=settings.package.name,
        network=network_config,
        bfloat16=settings.profile.bfloat16,
        defaults=transfer_defaults(settings),
        styles=styles.names,
        labels=labels,
        has_sampler=True,
    )
    model = PortraitModel(
        config,
        network,
        open_networks(settings.profile).encoder(),
        replace(styles, labels=labels),
        sampler=StyleSampler.load(Paths.sampler / SAMPLER_FILE),
        thumbnails={
            name: thumbnail(
                read_image(Paths.exemplars / f"{name}.png"), settings.package.thumbnail_px
            )
            for name in styles.names
        },
        weights_dir=Paths.weights,
    )
    fits, model.card_image, faces = worst_fits(model)
    model.card = model_card(
        config,
        network.generator.resolution,
        weight_sources(read_json(Paths.weights_record)),
        portrait_origins(Paths.portraits_record),
        fits,
        faces,
    )
    model.save_pretrained(Paths.portrait)
    return model


def main() -> None:
    """Run `python -m tasks.package`."""
    settings = load_settings()
    run_stage("package", lambda: package(settings))


if __name__ == "__main__":
    main()

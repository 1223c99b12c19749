"""Stage `package`: one self-contained model folder from network, encoder, codes and sampler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from dualstylegan.codes.sampling import SAMPLER_FILE
from dualstylegan.codes.tables import CodeTable, read_codes, write_codes
from dualstylegan.errors import DataError
from dualstylegan.io.files import read_json, scratch_folder
from dualstylegan.io.images import read_image, thumbnail
from dualstylegan.networks.loading import load_trained_dualstylegan
from dualstylegan.portrait.card import model_card
from dualstylegan.portrait.config import (
    FITS_IMAGE,
    LOSSES_IMAGE,
    PortraitConfig,
    TransferDefaults,
)
from dualstylegan.portrait.half import write_half
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.styles import StyleLibrary
from tasks.shared.dataframes import read_dataframe
from tasks.shared.fits import coded_faces, fit_faces, worst_fits
from tasks.shared.licence import model_licence, weight_sources
from tasks.shared.losses import measure_losses
from tasks.shared.networks import open_networks
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, prepare, run_stage
from tasks.shared.settings import Settings


def style_library(extrinsic: CodeTable, intrinsic: CodeTable) -> StyleLibrary:
    """Return the styles that have both codes, sorted by name.

    Raises:
        DataError: codes are not in Z+, or no style has both.
    """
    for table in (extrinsic, intrinsic):
        if table.space != "z_plus":
            raise DataError(
                "style codes are not in Z+",
                value=table.space,
                limit="z_plus",
                fix="run the stage `refine` again",
            )
    names = sorted(set(extrinsic.names) & set(intrinsic.names))
    if not names:
        raise DataError("no style has both codes", fix="run destylize and refine anew")
    return StyleLibrary(tuple(names), extrinsic.select(names), intrinsic.select(names))


def portrait_origins(path: Path) -> dict[str, int]:
    """Count the portraits per origin; a user's own are counted together."""
    table = read_dataframe(path)
    return dict(sorted(Counter(str(o).split(":")[0] for o in table["origin"]).items()))


def style_labels(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the labels that users gave exemplars, by name, where the two differ."""
    table = read_dataframe(path)
    if "label" not in table:
        return {}
    exemplars = table[table["kind"] == "style"] if "kind" in table else table
    pairs = zip(exemplars["name"], exemplars["label"], strict=True)
    return {str(n): str(label) for n, label in pairs if n in names and label and n != label}


def transfer_defaults(settings: Settings) -> TransferDefaults:
    """Return the model's defaults, those of the pipeline's settings."""
    shared = set(TransferDefaults.model_fields) & set(type(settings.package).model_fields)
    return TransferDefaults(
        **settings.package.model_dump(include=shared),
        fit_px=settings.profile.working_size,
        crop_px=settings.align.size,
    )


def shuffled(names: Sequence[str]) -> tuple[str, ...]:
    """Return names in a fixed random order: neighbours in the alphabet often look alike."""
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(0))
    return tuple(names[index] for index in order.tolist())


def card(model: PortraitModel, table: CodeTable, shown: int) -> tuple[str, dict[str, bytes]]:
    """Return the model card and its images by file name.

    Args:
        model: the packaged model.
        table: codes of the content faces.
        shown: number of content faces that the card may name and show; 0: none, private photos.
    """
    faces = coded_faces(model, table)
    losses, strip = measure_losses(model, faces, pictured=shown > 0)
    images = {} if strip is None else {LOSSES_IMAGE: strip}
    fits: list[tuple[str, float]] = []
    if shown:
        fits, images[FITS_IMAGE] = worst_fits(model, faces, shown)
    text = model_card(
        model.config,
        model.generator.resolution,
        weight_sources(read_json(Paths.weights_record)),
        portrait_origins(Paths.portraits_record),
        fits,
        len(faces),
        losses,
    )
    return text, images


def package(settings: Settings) -> PortraitModel:
    """Assemble the model from the outputs of the stages before; write it and its fits of faces.

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
        fit_styles=shuffled(styles.names),
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
        licence=model_licence(read_json(Paths.weights_record)),
        weights_dir=Paths.weights,
    )
    device = prepare(settings.runtime)
    with scratch_folder() as scratch:
        model = in_halves(model, scratch / "rounded")
        table = fit_faces(model.to(device))
        model.card, model.card_images = card(model, table, settings.package.card_faces)
        in_halves(model.to("cpu"), Paths.portrait)
    write_codes(Paths.content_codes, table)
    return PortraitModel.from_pretrained(Paths.portrait)


def in_halves(model: PortraitModel, folder: Path) -> PortraitModel:
    """Write a model in half precision to a folder; return the model as it is loaded from there.

    All that measures the packaged model, and all of its other forms, then have the same weights.
    """
    with scratch_folder() as scratch:
        model.save_pretrained(whole := scratch / "whole")
        return PortraitModel.from_pretrained(write_half(whole, folder, pack=False))


def main() -> None:
    """Run `python -m tasks.package [SET]`."""
    settings = load_settings()
    run_stage("package", lambda: package(settings))


if __name__ == "__main__":
    main()

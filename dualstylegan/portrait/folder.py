"""Folder of a portrait model: safetensors, JSON and a card; atomic writing, checked reading."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from dualstylegan.codes.sampling import SAMPLER_FILE, StyleSampler
from dualstylegan.errors import CheckpointError
from dualstylegan.io.checkpoints import fill, load_tensors, save_tensors
from dualstylegan.io.files import (
    atomic_directory,
    read_generation,
    write_bytes,
    write_json,
    write_text,
)
from dualstylegan.networks.config import CONFIG_FILE, MODEL_FILE
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.listing import check_files, check_seals, write_listing
from dualstylegan.networks.loading import load_encoder
from dualstylegan.portrait.card_file import read_card, read_card_images, read_licence, write_card
from dualstylegan.portrait.config import (
    CARD_IMAGES,
    ENCODER_FILE,
    LICENCE_FILE,
    STYLES_FILE,
    THUMBNAILS,
    PortraitConfig,
    read_config,
    read_thumbnails,
    thumbnail_file,
)
from dualstylegan.portrait.face_weights import FOLDER, copy_weights
from dualstylegan.portrait.styles import StyleLibrary


@dataclass(frozen=True)
class FolderContent:
    """Content of a model folder, but for the third-party weights in `faces/`.

    Attributes:
        config: content of config.json.
        network, encoder: DualStyleGAN and E.
        styles: the named exemplars.
        sampler: sampler of new style codes; None where there is none.
        card, card_images: text of the card without its front matter, and the JPEG files in it by
            name.
        licence: text of LICENSE.md; empty: none.
        thumbnails: JPEG files by style name.
    """

    config: PortraitConfig
    network: DualStyleGAN
    encoder: nn.Module
    styles: StyleLibrary
    sampler: StyleSampler | None
    card: str
    card_images: dict[str, bytes]
    licence: str
    thumbnails: dict[str, bytes]


def write_folder(folder: Path, content: FolderContent, weights_dir: Path | None) -> None:
    """Write a model folder; it appears whole or not at all.

    Args:
        folder: path of the folder, which is replaced if it exists.
        content: all but the third-party weights.
        weights_dir: folder of third-party weights, copied into `faces/`; None copies none.
    """
    with atomic_directory(folder) as out:
        write_json(out / CONFIG_FILE, content.config.model_dump(mode="json"))
        save_tensors(out / MODEL_FILE, content.network.state_dict())
        save_tensors(out / ENCODER_FILE, content.encoder.state_dict())
        codes = {
            "extrinsic": content.styles.extrinsic_SLD,
            "intrinsic": content.styles.intrinsic_SLD.clone(),  # may be the same tensor
        }
        save_tensors(out / STYLES_FILE, codes)
        if content.sampler is not None:
            content.sampler.save(out / SAMPLER_FILE)
        write_card(out, content.config, content.card, content.thumbnails)
        if content.licence:
            write_text(out / LICENCE_FILE, content.licence)
        for name, data in content.card_images.items():
            write_bytes(out / name, data)
        copy_weights(weights_dir, out / FOLDER)
        (out / THUMBNAILS).mkdir()
        for name, data in content.thumbnails.items():
            write_bytes(out / THUMBNAILS / thumbnail_file(name), data)
        write_listing(out)


def read_folder(folder: Path) -> FolderContent:
    """Read a model folder, all of one generation where it is replaced meanwhile.

    Raises:
        CheckpointError: a file is missing, damaged, or does not fit the config.
    """
    return read_generation(folder, _read)


def _read(folder: Path) -> FolderContent:
    config = read_config(folder)
    check_seals(folder, MODEL_FILE, ENCODER_FILE, STYLES_FILE, SAMPLER_FILE)
    network = config.network.build()
    fill(network, load_tensors(folder / MODEL_FILE), folder / MODEL_FILE)
    encoder = load_encoder(config.network, folder / ENCODER_FILE)
    codes = load_tensors(folder / STYLES_FILE)
    if set(codes) != {"extrinsic", "intrinsic"}:
        raise CheckpointError(
            "not a table of style codes",
            file=folder / STYLES_FILE,
            value=sorted(codes),
            fix="package the model again",
        )
    tables = (codes["extrinsic"], codes["intrinsic"])
    styles = StyleLibrary(config.styles, *tables, config.labels)
    styles.check_shape(network.generator.rows, network.generator.style_dim)  # before any copy
    check_files(folder, LICENCE_FILE, *CARD_IMAGES)
    return FolderContent(
        config=config,
        network=network,
        encoder=encoder,
        styles=styles.to(torch.float32),
        sampler=StyleSampler.load(folder / SAMPLER_FILE) if config.has_sampler else None,
        card=read_card(folder),
        card_images=read_card_images(folder),
        licence=read_licence(folder),
        thumbnails=read_thumbnails(folder, config.styles),
    )

"""Stage `package`: network, encoder, style codes and sampler become one model folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualstylegan.codes.sampling import SAMPLER_FILE
from dualstylegan.codes.tables import CodeTable, read_codes
from dualstylegan.errors import DataError
from dualstylegan.io.files import read_json
from dualstylegan.io.images import read_image, thumbnail
from dualstylegan.networks.loading import NetworkSet, load_trained_dualstylegan
from dualstylegan.portrait.card import model_card
from dualstylegan.portrait.config import PortraitConfig, TransferDefaults
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.styles import StyleLibrary
from tasks.shared.networks import open_networks
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, run_stage


def style_library(extrinsic: CodeTable, intrinsic: CodeTable) -> StyleLibrary:
    """The styles whose extrinsic and intrinsic codes are both there, in the order of their names.

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
    """Name, origin and licence of each downloaded weight file, and of the project's own."""
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
    """How many portraits come from each origin; a user's own are counted together."""
    import pandas as pd

    table = pd.read_parquet(path)
    return dict(sorted(Counter(str(o).split(":")[0] for o in table["origin"]).items()))


def package(
    networks: NetworkSet, name: str, defaults: TransferDefaults, thumbnail_px: int
) -> PortraitModel:
    """Assemble the model from the outputs of the stages before and write its folder."""
    from dualstylegan.codes.sampling import StyleSampler

    network, network_config = load_trained_dualstylegan(Paths.finetuned)
    styles = style_library(read_codes(Paths.refined_codes), read_codes(Paths.intrinsic_codes))
    config = PortraitConfig(
        name=name,
        network=network_config,
        defaults=defaults,
        styles=styles.names,
        has_sampler=True,
    )
    card = model_card(
        config,
        network.generator.resolution,
        weight_sources(read_json(Paths.weights_record)),
        portrait_origins(Paths.portraits_record),
    )
    model = PortraitModel(
        config,
        network,
        networks.encoder(),
        styles,
        sampler=StyleSampler.load(Paths.sampler / SAMPLER_FILE),
        card=card,
        thumbnails={
            name: thumbnail(read_image(Paths.exemplars / f"{name}.png"), thumbnail_px)
            for name in styles.names
        },
    )
    model.save_pretrained(Paths.portrait)
    return model


def main() -> None:
    """`python -m tasks.package`."""
    settings = load_settings()
    chosen = settings.package
    networks = open_networks(settings.profile)
    defaults = TransferDefaults(
        structure=chosen.structure, color=chosen.color, truncation=chosen.truncation
    )
    run_stage("package", lambda: package(networks, chosen.name, defaults, chosen.thumbnail_px))


if __name__ == "__main__":
    main()

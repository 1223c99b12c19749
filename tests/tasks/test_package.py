"""Content of the model folder: styles with both codes, a card that names every origin."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from dualstylegan.codes.tables import CodeTable
from dualstylegan.errors import DataError
from dualstylegan.portrait.card import model_card
from dualstylegan.portrait.config import PortraitConfig, TransferDefaults
from tasks.package import portrait_origins, style_labels, style_library, weight_sources

RECORDS = {
    "generator.safetensors": {
        "origin": "StyleGAN2 on FFHQ",
        "distribution": "random_face==2021.7.21.1",
        "licence": "Apache-2.0",
    }
}


def table(names: tuple[str, ...], space: str = "z_plus", scale: float = 1.0) -> CodeTable:
    codes = scale * torch.arange(len(names), dtype=torch.float32)[:, None, None].expand(-1, 3, 2)
    return CodeTable(names, ("0" * 64,) * len(names), space, codes, "digest")  # type: ignore[arg-type]


def test_styles_are_those_with_both_codes_and_keep_them_together() -> None:
    library = style_library(table(("c", "a", "b")), table(("b", "c"), scale=10))
    assert library.names == ("b", "c")
    assert library.extrinsic_of(["c"])[0, 0, 0] == 0
    assert library.intrinsic_of(["c"])[0, 0, 0] == 10
    assert library.extrinsic_of(["b"])[0, 0, 0] == 2


def test_codes_of_another_space_are_refused() -> None:
    with pytest.raises(DataError, match=r"found: w_plus.*limit: z_plus"):
        style_library(table(("a",), "w_plus"), table(("a",)))
    with pytest.raises(DataError, match="no style has both codes"):
        style_library(table(("a",)), table(("b",)))


def test_card_names_weights_portraits_defaults_and_styles() -> None:
    config = PortraitConfig(
        name="demo",
        styles=("amber-fox", "stone"),
        defaults=TransferDefaults(structure=0.75),
        has_sampler=True,
    )
    card = model_card(config, 1024, weight_sources(RECORDS), {"generated faces": 24})
    for words in (
        "# demo",
        "one of 2",
        "random_face==2021.7.21.1",
        "Apache-2.0",
        "24 x generated faces",
        "| structure | 0 to 1 | 0.75 |",
        "64 to 1024 px",
        "amber-fox, stone",
        "sampler.safetensors",
        "non-commercial",
    ):
        assert words in card, words
    assert all(len(line) <= 200 for line in card.splitlines())


def test_origins_are_counted(tmp_path: Path) -> None:
    origins = ["generated", "NASA", "generated", "user: me.jpg", "user: you.png"]
    pd.DataFrame({"name": list("abcde"), "origin": origins}).to_parquet(tmp_path / "p.parquet")
    assert portrait_origins(tmp_path / "p.parquet") == {"NASA": 1, "generated": 2, "user": 2}


def test_labels_are_those_of_exemplars_whose_name_is_another(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "kind": ["style", "style", "style", "content"],
            "name": ["a", "b-1", "c-2", "d-3"],
            "label": ["a", "b#", "c?", "d%"],
        }
    )
    table.to_parquet(tmp_path / "p.parquet")
    assert style_labels(tmp_path / "p.parquet", ("a", "b-1", "d-3")) == {"b-1": "b#"}
    table.drop(columns="label").to_parquet(tmp_path / "p.parquet")
    assert style_labels(tmp_path / "p.parquet", ("b-1",)) == {}

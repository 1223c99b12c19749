"""Content of the model folder: styles with both codes, a card that names every origin."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from dualstylegan.codes.tables import CodeTable
from dualstylegan.errors import DataError
from dualstylegan.faces.align import align_face
from dualstylegan.io.arrays import Floats
from dualstylegan.io.images import image_to_tensor, read_image, tensor_to_image, write_png
from dualstylegan.portrait.add_style import with_style
from dualstylegan.portrait.card import Loss, Losses, model_card
from dualstylegan.portrait.config import FITS_IMAGE, PortraitConfig, TransferDefaults
from dualstylegan.portrait.half import write_half
from dualstylegan.portrait.model import PortraitModel
from tasks.package import (
    in_halves,
    portrait_origins,
    style_labels,
    style_library,
)
from tasks.shared.aligned import FRAME
from tasks.shared.dataframes import write_dataframe
from tasks.shared.fits import CARD_PX, CodedFace, coded_faces, worst_fits
from tasks.shared.licence import weight_sources
from tasks.shared.losses import measure_losses
from tasks.shared.paths import Paths
from tests.support.portrait_models import tiny_model

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


def test_card_says_who_is_fitted_badly() -> None:
    config = PortraitConfig(styles=("stone",))
    origins: dict[str, int] = {}
    given = config, 1024, weight_sources(RECORDS), origins
    card = model_card(*given, [("a|b", 0.31), ("cy", 0.7)], 5)
    for words in (
        "the 2 least similar of 5 faces",
        "](fits.jpg)",
        "| a\\|b | 0.31 | under the line |",
        "| cy | 0.70 | above the line |",
        "fitted badly: a\\|b.\nWhat helps: a sharper, more frontal",
    ):
        assert words in card, words
    assert "All of these faces are above" in model_card(*given, [("cy", 0.7)], 1)
    assert "fits.jpg" not in model_card(*given)
    assert all(len(line) <= 200 for line in card.splitlines())


def test_card_says_what_is_lost() -> None:
    config = PortraitConfig(styles=("stone",))
    origins: dict[str, int] = {}
    fits: list[tuple[str, float]] = []
    given = config, 1024, weight_sources(RECORDS), origins, fits, 0
    beard = Loss("facial hair", "texture of the chin", 0.9, 0.25, -0.1, 0.5)
    smile = Loss("smile", "width of the mouth", math.nan, 0.8, 0.7, 0.9)
    card = model_card(*given, Losses(12, 4, (beard, smile), pictured=True))
    for words in (
        "over 12 faces in 4 styles",
        "| facial hair | texture of the chin | 0.90 | 0.25 (-0.10 to 0.50) |\n| smile |",
        "| smile | width of the mouth |  | 0.80 (0.70 to 0.90) |",
        "](losses.jpg)",
    ):
        assert words in card, words
    private = model_card(*given, Losses(12, 4, (beard, smile)))
    assert "| facial hair |" in private
    assert "losses.jpg" not in private
    assert "What is lost" not in model_card(*given)
    assert all(len(line) <= 200 for line in card.splitlines())


class Echo(PortraitModel):
    """Model that renders photos by the first number of a code, and darkens them in a style."""

    photos: Sequence[Image.Image] = ()

    def render(
        self,
        intrinsic_NLD: Tensor | Floats,
        extrinsic_NLD: Tensor | Floats | None,
        *,
        size: int = 256,
        **_: object,
    ) -> Tensor:
        shown = [image_to_tensor(self.photos[int(code[0, 0])], size) for code in intrinsic_NLD]
        return torch.stack(shown) * (1 if extrinsic_NLD is None else 0.6)


def test_a_style_that_changes_all_faces_alike_loses_nothing(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check figures and picture, and that the picture can be left out."""
    monkeypatch.chdir(tmp_path)
    Paths.weights.parent.mkdir()
    Paths.weights.symlink_to(weights)
    aligned = [
        align_face(read_image(weights / name), 256, weights_dir=weights).image
        for name in ("astronaut.png", "grace_hopper.jpg")
    ]
    photos = [*aligned, *(ImageEnhance.Brightness(image).enhance(0.7) for image in aligned)]
    tiny = tiny_model(resolution=64)
    model = Echo(tiny.config, tiny.network, tiny.encoder, tiny.styles)
    model.photos = photos
    faces = [
        CodedFace(f"face{index}", photo, None, torch.full((2, 2), float(index)), photo)
        for index, photo in enumerate(photos)
    ]
    # the tiny generator's size shows no faces
    monkeypatch.setattr("tasks.shared.losses.card_size", lambda model: 256)
    losses, sheet = measure_losses(model, faces, pictured=True)
    assert (losses.faces, losses.styles) == (4, 4)
    found = {loss.label: loss for loss in losses.attributes}
    assert {"facial hair", "smile", "age", "skin tone"} <= set(found)
    assert all(loss.code == pytest.approx(1) for loss in losses.attributes)
    assert all(loss.result > 0.8 for loss in losses.attributes)
    assert [x.result for x in losses.attributes] == sorted(x.result for x in losses.attributes)
    assert sheet is not None
    with Image.open(io.BytesIO(sheet)) as image:
        rows = len(losses.attributes)
        assert image.width > 6 * CARD_PX
        assert image.height > rows * CARD_PX
    private, nothing = measure_losses(model, faces, pictured=False)
    assert nothing is None
    assert private.attributes == losses.attributes
    assert not private.pictured


def test_the_worst_fitted_faces_are_measured_and_shown(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check names, order and image: photos above, images of their codes below."""
    monkeypatch.chdir(tmp_path)
    Paths.weights.parent.mkdir()
    Paths.weights.symlink_to(weights)
    model = tiny_model(resolution=64)
    codes = torch.randn(3, model.generator.rows, 8, generator=torch.Generator().manual_seed(0))
    names = ("a", "b", "c")
    photo = read_image(weights / "astronaut.png").crop((140, 0, 320, 180))
    own = tensor_to_image(model.render(codes[1:2], None, size=64)[0])
    for name, image in zip(names, (photo, own, photo.rotate(180)), strict=True):
        write_png(Paths.faces / f"{name}.png", image)
    rows: list[dict[str, object]] = [{"kind": "content", "name": n, FRAME: []} for n in names]
    write_dataframe(Paths.manifest, pd.DataFrame(rows))
    table = CodeTable(names, ("0" * 64,) * 3, "z_plus", codes, "digest")
    faces = coded_faces(model, table)
    fits, strip = worst_fits(model, faces, 12)
    assert worst_fits(model, faces, 1)[0] == fits[:1]
    assert {name for name, _ in fits} == set(names)
    assert fits[-1][0] == "b"  # a photo that is its own rendering
    assert fits[-1][1] == pytest.approx(1, abs=0.02)
    assert [identity for _, identity in fits] == sorted(identity for _, identity in fits)
    with Image.open(io.BytesIO(strip)) as image:
        assert image.width > image.height > 2 * CARD_PX
    model.card_images = {FITS_IMAGE: strip}
    model.save_pretrained(tmp_path / "model")
    assert (tmp_path / "model" / "fits.jpg").read_bytes() == strip
    assert not (tmp_path / "model" / "losses.jpg").exists()
    again = PortraitModel.from_pretrained(tmp_path / "model")
    with_one_more = with_style(again, "new", codes[:1], codes[:1], photo)
    assert with_one_more.card_images == {FITS_IMAGE: strip}


def test_the_packaged_model_and_its_half_form_are_one_model(tmp_path: Path) -> None:
    tiny = tiny_model(resolution=64)
    packaged = in_halves(tiny, tmp_path / "model")
    half = PortraitModel.from_pretrained(write_half(tmp_path / "model", tmp_path / "half"))
    assert packaged.digest == half.digest != tiny.digest
    face = Image.radial_gradient("L").convert("RGB")
    pictures = [m.transfer(face, "stone", align=False, size=64) for m in (packaged, half)]
    assert pictures[0].tobytes() == pictures[1].tobytes()


def test_origins_are_counted(tmp_path: Path) -> None:
    origins = ["generated", "NASA", "generated", "user: me.jpg", "user: you.png"]
    write_dataframe(
        tmp_path / "p.parquet", pd.DataFrame({"name": list("abcde"), "origin": origins})
    )
    assert portrait_origins(tmp_path / "p.parquet") == {"NASA": 1, "generated": 2, "user": 2}


def test_labels_are_those_of_exemplars_whose_name_is_another(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "kind": ["style", "style", "style", "content"],
            "name": ["a", "b-1", "c-2", "d-3"],
            "label": ["a", "b#", "c?", "d%"],
        }
    )
    write_dataframe(tmp_path / "p.parquet", table)
    assert style_labels(tmp_path / "p.parquet", ("a", "b-1", "d-3")) == {"b-1": "b#"}
    write_dataframe(tmp_path / "p.parquet", table.drop(columns="label"))
    assert style_labels(tmp_path / "p.parquet", ("b-1",)) == {}

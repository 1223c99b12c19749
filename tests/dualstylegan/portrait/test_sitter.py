"""Sitter: a photo read once is restyled as `transfer` would, and keeps in a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from dualstylegan.errors import CheckpointError, FaceError, LikenessWarning, SettingsError
from dualstylegan.io.checkpoints import META_KEY
from dualstylegan.io.images import picture_digest, read_image
from dualstylegan.networks.loading import EMBEDDED_CONFIG
from dualstylegan.portrait.add_style import with_style
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.options import RestyleOptions
from dualstylegan.portrait.result import facts_of
from dualstylegan.portrait.sitter import Sitter
from dualstylegan.portrait.style_choice import choose_style
from tests.support.portrait_models import tiny_model, with_sampler

PX = 64


def square(seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((PX, PX), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def model() -> PortraitModel:
    return tiny_model(resolution=PX)


@pytest.fixture(scope="module")
def sitter(model: PortraitModel) -> Sitter:
    return model.read(square(), align=False)


@pytest.fixture(scope="module")
def finder(weights: Path) -> PortraitModel:
    """Model that finds faces and does not fit them."""
    made = tiny_model(resolution=PX)
    made.weights_dir = weights
    update = {"crop_px": PX, "fit_likeness_line": 0.0}
    defaults = made.config.defaults.model_copy(update=update)
    made.config = made.config.model_copy(update={"defaults": defaults})
    return made


@pytest.fixture(scope="module")
def pair(weights: Path) -> Image.Image:
    """Photo of a large face on the right and a small one on the left."""
    face = read_image(weights / "astronaut.png").crop((100, 0, 356, 300))
    canvas = Image.new("RGB", (620, 360), (96, 110, 120))
    canvas.paste(face.resize((171, 200), Image.Resampling.LANCZOS), (40, 60))
    canvas.paste(face, (340, 30))
    return canvas


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"structure": 0.5, "color": 0.25, "truncation": 0.7},
        {"preserve_color": True},
        {"weights": [0.5] * 10},
        {"style": {"stone": 1.0, "blue-heron": 2.0}},
    ],
)
def test_read_and_restyle_are_transfer(
    model: PortraitModel, sitter: Sitter, options: dict[str, Any]
) -> None:
    asked: dict[str, Any] = {"style": "stone", "size": PX} | options
    result = model.restyle(sitter, **asked)
    expected = model.transfer(square(), align=False, **asked)
    assert result.tobytes() == expected.tobytes()
    assert facts_of(result) == facts_of(expected)


def test_a_saved_sitter_restyles_to_the_same_bytes(
    model: PortraitModel, sitter: Sitter, tmp_path: Path
) -> None:
    sitter.save(tmp_path / "sitter.safetensors")
    again = Sitter.load(tmp_path / "sitter.safetensors")
    results = [model.restyle(x, "stone", size=PX) for x in (sitter, again)]
    assert results[0].tobytes() == results[1].tobytes()
    assert results[0].info == results[1].info
    again.save(tmp_path / "again.safetensors")
    data = [(tmp_path / f"{name}.safetensors").read_bytes() for name in ("sitter", "again")]
    assert data[0] == data[1]


def test_a_sitter_of_a_photo_keeps_every_face(
    finder: PortraitModel, pair: Image.Image, tmp_path: Path
) -> None:
    read = finder.read(pair, faces="all")
    read.save(tmp_path / "sitter.safetensors")
    again = Sitter.load(tmp_path / "sitter.safetensors")
    assert (again.photo_size, again.photo_digest) == (pair.size, picture_digest(pair))
    assert len(again.faces) == len(read.faces) == 2
    assert again.asked == "all"
    for one, other in zip(again.faces, read.faces, strict=True):
        assert np.array_equal(one.fit.code_LD, other.fit.code_LD)
        assert replace(one.fit, code_LD=other.fit.code_LD) == other.fit
        assert one.flags == other.flags
        for name in ("quad_Q2", "landmarks_K2", "frame_Q2"):
            np.testing.assert_equal(getattr(one, name), getattr(other, name))


def test_faces_come_by_size_and_what_is_left_is_told(
    finder: PortraitModel, pair: Image.Image
) -> None:
    every = finder.read(pair, faces="all")
    centres = [face.quad_Q2[:, 0].mean() for face in every.faces if face.quad_Q2 is not None]
    assert centres[0] > 340 > centres[1]
    assert every.left_out == ()
    largest = finder.read(pair)
    assert np.array_equal(largest.faces[0].fit.code_LD, every.faces[0].fit.code_LD)
    (left,) = largest.left_out
    assert left.box[2] < 340
    assert len(finder.read(pair, faces=1).faces) == 1
    assert len(finder.read(pair, faces=9).faces) == 2
    with pytest.raises(FaceError, match="no face"):
        finder.read(Image.new("RGB", (64, 64)), faces="all")


def test_every_face_is_put_back_into_the_photo(finder: PortraitModel, pair: Image.Image) -> None:
    read = finder.read(pair, faces="all")
    pasted = finder.restyle(read, "stone", size=PX, paste=True, photo=pair)
    changed = (np.asarray(pasted) != np.asarray(pair)).any((0, 2))
    assert pasted.size == pair.size
    assert changed[:300].any()
    assert changed[360:].any()
    assert pasted.info["dualstylegan:pasted"] == "2"
    assert pasted.info["dualstylegan:faces"] == "all"
    again = finder.transfer(pair, "stone", size=PX, paste=True, faces="all")
    assert again.tobytes() == pasted.tobytes()
    assert facts_of(again) == facts_of(pasted)
    other = pair.copy()
    other.putpixel((0, 0), (1, 2, 3))
    with pytest.raises(SettingsError, match="not the photo that was read"):
        finder.restyle(read, "stone", size=PX, paste=True, photo=other)
    with pytest.raises(SettingsError, match="needs the photo"):
        finder.restyle(read, "stone", size=PX, paste=True)


def test_each_face_is_restyled_by_its_own_code(model: PortraitModel, sitter: Sitter) -> None:
    (face,) = sitter.faces
    other = replace(face.fit, code_LD=torch.randn(face.fit.code_LD.shape).numpy())
    two = replace(sitter, faces=(face, replace(face, fit=other)))
    first, second = (model.restyle(two, "stone", size=PX, face=index) for index in (0, 1))
    assert first.tobytes() == model.restyle(sitter, "stone", size=PX).tobytes()
    assert second.tobytes() != first.tobytes()
    assert second.info["dualstylegan:face"] == "1"
    assert "dualstylegan:face" not in first.info


def test_a_photo_read_without_alignment_is_not_pasted(model: PortraitModel, sitter: Sitter) -> None:
    with pytest.raises(SettingsError, match="needs the alignment"):
        model.restyle(sitter, "stone", size=PX, paste=True, photo=square())
    with pytest.raises(SettingsError, match="need the alignment"):
        model.read(square(), align=False, faces="all")
    with pytest.raises(SettingsError, match="shown in their photo"):
        model.transfer(square(), "stone", faces=2)
    with pytest.raises(SettingsError, match="faces; found: some"):
        model.read(square(), faces="some")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="0 to 0"):
        model.restyle(sitter, "stone", size=PX, face=1)


def test_progress_counts_the_steps_of_all_faces(weights: Path) -> None:
    model = tiny_model(resolution=PX)
    model.weights_dir = weights
    told: list[tuple[int, int]] = []
    with pytest.warns(LikenessWarning):
        model.read(square(), align=False, fit_steps=2, progress=lambda *x: told.append(x))
    assert told == [(1, 2), (2, 2)]


def test_a_sitter_belongs_to_the_networks_that_read_it(
    model: PortraitModel, sitter: Sitter
) -> None:
    code = torch.randn(1, *sitter.faces[0].fit.code_LD.shape)
    more = with_style(model, "new", code, code, square())
    assert more.digest == model.digest
    more.restyle(sitter, "new", size=PX)
    with pytest.raises(CheckpointError, match="read by another model"):
        tiny_model(seed=1, resolution=PX).restyle(sitter, "stone", size=PX)
    precise = tiny_model(resolution=PX)
    precise.config = precise.config.model_copy(update={"bfloat16": True})
    assert precise.digest != model.digest


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.pop("faces"),
        lambda about: about.update(faces=[]),
        lambda about: about.update(model_digest="../../x"),
        lambda about: about.update(photo_size=[0, 5]),
        lambda about: about.update(asked="some"),
        lambda about: about.update(command="os.system"),
        lambda about: about["faces"][0].update(quad=[[0, 0]]),
        lambda about: about["faces"].append(about["faces"][0]),
    ],
)
def test_a_file_that_is_no_sitter_is_refused(
    sitter: Sitter, tmp_path: Path, change: Change
) -> None:
    path = tmp_path / "sitter.safetensors"
    sitter.save(path)
    codes = load_file(path)
    about = json.loads(_header(path)[META_KEY])
    change(about)
    save_file(codes, path, {META_KEY: json.dumps(about)})
    with pytest.raises(CheckpointError, match=r"sitter\.safetensors: .*read the photo again"):
        Sitter.load(path)


def _header(path: Path) -> Mapping[str, str]:
    data = path.read_bytes()
    header: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    found: dict[str, str] = header["__metadata__"]
    return found


@pytest.mark.parametrize("spoil", ["missing", "half", "codes", "type"])
def test_damaged_sitters_are_refused(sitter: Sitter, tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "sitter.safetensors"
    if spoil != "missing":
        sitter.save(path)
        codes, meta = load_file(path)["codes"], dict(_header(path))
        if spoil == "half":
            path.write_bytes(path.read_bytes()[:-9])
        elif spoil == "codes":
            save_file({"codes": torch.full_like(codes, float("nan"))}, path, meta)
        else:
            save_file({"codes": codes.half()}, path, meta)
    with pytest.raises(CheckpointError, match=r"sitter\.safetensors: .*read the photo again"):
        Sitter.load(path)


def test_a_mix_lies_between_its_styles(model: PortraitModel, sitter: Sitter) -> None:
    def code(style: str | dict[str, float]) -> torch.Tensor:
        return torch.from_numpy(choose_style(model, style, None, RestyleOptions(size=PX)).code_LD)

    one, other = code("stone"), code("blue-heron")
    torch.testing.assert_close(code({"stone": 3, "blue-heron": 1}), 0.75 * one + 0.25 * other)
    assert torch.equal(code({"stone": 0.2}), one)
    assert torch.equal(code({"stone": 0.2, "blue-heron": 0}), one)
    ends = [model.restyle(sitter, style, size=PX) for style in ("stone", {"stone": 2.0})]
    assert ends[0].info == ends[1].info


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"style": {"stone": -1.0, "blue-heron": 2.0}}, "stone:-1.*0 or more"),
        ({"style": {"stone": float("nan")}}, "0 or more"),
        ({"style": {"stone": 0.0}}, "all 0"),
        ({"style": {}}, "all 0"),
        ({"style": {"stone": 1.0, "ston": 1.0}}, "did you mean stone"),
        ({}, "either a style or a seed"),
        ({"seed": 2**63}, "seed is out of bounds"),
        ({"style": "stone", "seed": 1}, "either a style or a seed"),
        ({"style": "stone", "weights": [1.0] * 9}, "found: 9; limit: 10"),
        ({"style": "stone", "weights": [1.0] * 9 + [1.1]}, "found: 1.1"),
        ({"style": "stone", "weights": [1.0] * 10, "color": 0.5}, "exclude"),
    ],
)
def test_requests_that_mean_nothing_are_refused(
    model: PortraitModel, sitter: Sitter, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        model.restyle(sitter, size=PX, **asked)
    with pytest.raises(SettingsError, match=said):
        model.transfer(square(), align=False, size=PX, **asked)


def test_weights_per_row_hold_structure_and_colour(model: PortraitModel, sitter: Sitter) -> None:
    rows, structure_rows = model.generator.rows, model.generator.structure_rows
    weights = [0.5] * structure_rows + [0.25] * (rows - structure_rows)
    pair = model.restyle(sitter, "stone", structure=0.5, color=0.25, size=PX)
    each = model.restyle(sitter, "stone", weights=weights, size=PX)
    assert each.tobytes() == pair.tobytes()
    assert "dualstylegan:structure" not in each.info
    assert each.info["dualstylegan:weights"].split(",") == [f"{w:g}" for w in weights]


def test_configs_know_the_rows_of_their_generators() -> None:
    for resolution in (32, 64, 256):
        made = tiny_model(resolution=resolution)
        assert made.config.network.generator.rows == made.generator.rows
    embedded = EMBEDDED_CONFIG.generator
    assert embedded.rows == embedded.build().rows == 16


def test_a_seed_draws_a_style(model: PortraitModel, sitter: Sitter) -> None:
    with pytest.raises(CheckpointError, match="sampler"):
        model.restyle(sitter, seed=1, size=PX)
    drawn = with_sampler(tiny_model(resolution=PX))
    first, second = (drawn.restyle(sitter, seed=seed, size=PX) for seed in (1, 2))
    assert first.tobytes() != second.tobytes()
    assert first.info["dualstylegan:seed"] == "1"
    code = drawn.restyle(sitter, drawn.sample_style(1), size=PX)
    assert code.tobytes() == first.tobytes()
    assert code.info["dualstylegan:style_digest"] == first.info["dualstylegan:style_digest"]


def test_what_was_left_out_and_a_restyled_background_are_told(
    finder: PortraitModel, pair: Image.Image
) -> None:
    sitter = finder.read(pair)
    asked: dict[str, Any] = {"style": "stone", "size": PX, "paste": True, "photo": pair}
    kept, styled = (
        finder.restyle(sitter, **asked, background=background) for background in ("keep", "style")
    )
    facts = facts_of(styled)
    assert facts["dualstylegan:background"] == "style"
    assert facts["dualstylegan:left_out"].endswith("smaller than those asked for")
    changed = [(np.asarray(x) != np.asarray(pair)).any(2).mean() for x in (kept, styled)]
    assert changed[0] < 0.5 < changed[1]
    with pytest.raises(SettingsError, match="keep or style"):
        finder.restyle(sitter, **asked, background="blur")  # type: ignore[arg-type]

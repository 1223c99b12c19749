"""Portrait model: inputs, outputs, and a folder that restores the same bits."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualstylegan.cli import build_app
from dualstylegan.errors import (
    CheckpointError,
    FaceError,
    LikenessWarning,
    SettingsError,
    WeightsError,
)
from dualstylegan.networks.listing import LISTING_FILE
from dualstylegan.networks.loading import EMBEDDED_CONFIG, EmbeddedNetworks
from dualstylegan.portrait.config import PortraitConfig
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.result import encode_result, facts_of, png_text
from dualstylegan.portrait.sizes import centre_square, render_size
from dualstylegan.portrait.styles import StyleLibrary
from tests.conftest import ROOT
from tests.support.portrait_models import STYLE_NAMES, tiny_model


@pytest.fixture(scope="module")
def model() -> PortraitModel:
    return tiny_model()


@pytest.fixture(scope="module")
def folder(model: PortraitModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "portrait"
    model.save_pretrained(path)
    return path


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "portrait"))


def photo(seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((320, 240), Image.Resampling.BICUBIC)


def codes(model: PortraitModel, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(2, model.generator.rows, model.generator.style_dim, generator=draw)


def test_round_trip_keeps_every_bit(model: PortraitModel, folder: Path, tmp_path: Path) -> None:
    loaded = PortraitModel.from_pretrained(folder)
    assert loaded.config == model.config
    assert loaded.card == model.card
    assert loaded.thumbnails == model.thumbnails
    face, style = codes(model), model.styles.extrinsic_of(["stone", "amber-owl"])
    assert torch.equal(loaded.render(face, style, size=32), model.render(face, style, size=32))
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    assert torch.equal(loaded.encode(x), model.encode(x))
    loaded.save_pretrained(tmp_path / "again")
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert len(files) == 7
    for name in files:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_same_codes_for_both_paths_can_be_saved(model: PortraitModel, tmp_path: Path) -> None:
    both = replace(model.styles, intrinsic_SLD=model.styles.extrinsic_SLD)
    PortraitModel(model.config, model.network, model.encoder, both).save_pretrained(tmp_path / "m")
    loaded = PortraitModel.from_pretrained(tmp_path / "m")
    assert torch.equal(loaded.styles.intrinsic_SLD, loaded.styles.extrinsic_SLD)


def test_zero_weights_give_the_plain_face(model: PortraitModel) -> None:
    face, style = codes(model), model.styles.extrinsic_SLD[:2]
    plain = model.render(face, None, size=32)
    assert torch.allclose(model.render(face, style, structure=0, color=0, size=32), plain)
    full = model.render(face, style, structure=1, color=1, size=32)
    for partial in ({"structure": 1, "color": 0}, {"structure": 0, "color": 1}):
        shown = model.render(face, style, size=32, **partial)
        assert not torch.allclose(shown, plain)
        assert not torch.allclose(shown, full)


def test_full_truncation_gives_the_mean_face(model: PortraitModel) -> None:
    shown = model.render(codes(model), None, truncation=0, size=32)
    assert torch.allclose(shown[0], shown[1])


def test_preserved_colour_keeps_structure_and_takes_the_photo_colour_rows(
    model: PortraitModel,
) -> None:
    rows = model.generator.structure_rows
    code = model.encode(torch.rand(1, 3, 64, 64))[0]
    kept = torch.cat((model.styles.extrinsic_SLD[0, :rows], code[rows:]))
    other = torch.cat((model.styles.extrinsic_SLD[0, :rows], model.styles.extrinsic_SLD[1, rows:]))
    first = model.render(code[None], kept[None], size=32)
    assert not torch.allclose(first, model.render(code[None], other[None], size=32))


def test_transfer_gives_a_picture_of_the_size_asked_for(
    model: PortraitModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualstylegan.portrait.config.SIZE_LIMITS", (8, 1024))
    plain = model.transfer(photo(), "stone", align=False, size=32)
    small = model.transfer(photo(), "stone", align=False, size=16)
    assert plain.size == (32, 32)
    assert small.size == (16, 16)
    kept = model.transfer(photo(), "stone", align=False, size=32, preserve_color=True)
    assert kept.tobytes() != plain.tobytes()
    code = model.styles.extrinsic_of(["stone"])[0]
    assert model.transfer(photo(), code, align=False, size=32).tobytes() == plain.tobytes()


def test_transfer_that_preserves_colour_takes_the_colour_rows_of_the_photo() -> None:
    """Expect the rendering of the exemplar's structure rows and the face's own colour rows."""
    small = tiny_model(resolution=64)
    rows = small.generator.structure_rows
    face = torch.from_numpy(small.fit(centre_square(photo())).code_LD)
    mixed = torch.cat((small.styles.extrinsic_of(["stone"])[0, :rows], face[rows:]))
    with torch.no_grad():
        expected = small.network(
            face[None],
            small.generator.map(mixed[None]),
            small.network.weights(1.0, 1.0),
            space="z_plus",
            size=64,
        )
    kept = small.transfer(photo(), "stone", align=False, size=64, preserve_color=True)
    levels = ((expected[0].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    assert np.array_equal(np.asarray(kept), levels.permute(1, 2, 0).numpy())


def test_unknown_style_lists_the_close_ones(model: PortraitModel) -> None:
    with pytest.raises(SettingsError, match=r"unknown style.*amber-fxo.*amber-fox"):
        model.transfer(photo(), "amber-fxo", align=False)
    with pytest.raises(SettingsError, match="dualstylegan styles"):
        model.styles.index("qqqq")


def test_a_label_stands_for_its_style(model: PortraitModel) -> None:
    styles = replace(model.styles, labels={"stone": "Stein № 1"})
    assert styles.index("Stein № 1") == styles.index("stone") == STYLE_NAMES.index("stone")
    with pytest.raises(SettingsError, match="did you mean Stein № 1"):
        styles.index("Stein № 2")


@pytest.mark.parametrize(
    ("option", "value"),
    [("structure", 1.1), ("color", -0.1), ("truncation", 2), ("size", 4000), ("fit_steps", -1)],
)
def test_values_out_of_bounds_are_named(model: PortraitModel, option: str, value: float) -> None:
    with pytest.raises(SettingsError, match=rf"{option} is out of bounds.*limit"):
        model.transfer(photo(), "stone", align=False, **{option: value})  # type: ignore[arg-type]


def test_size_beyond_the_generator_is_refused(model: PortraitModel) -> None:
    assert render_size(model.generator.output_sizes, 20) == 32
    with pytest.raises(SettingsError, match=r"33 px.*32 px"):
        render_size(model.generator.output_sizes, 33)


def test_a_folder_without_weights_says_what_to_do(
    folder: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Load a folder made before models held their weights."""
    monkeypatch.delenv("DUALSTYLEGAN_WEIGHTS", raising=False)
    loaded = PortraitModel.from_pretrained(folder)
    with pytest.raises(WeightsError, match=r"no faces/.*DUALSTYLEGAN_WEIGHTS"):
        loaded.align(photo())
    with pytest.raises(WeightsError, match="no faces/"):
        loaded.fit(photo(), 1)
    assert loaded.fit(photo(), 0).code_LD.shape == loaded.styles.extrinsic_SLD[0].shape
    monkeypatch.setenv("DUALSTYLEGAN_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match=r"lpips_vgg16\.safetensors"):
        loaded.fit(photo(), 1)
    monkeypatch.setenv("DUALSTYLEGAN_WEIGHTS", str(weights))
    with pytest.raises(FaceError):
        loaded.align(Image.new("RGB", (64, 64)))


def test_the_defaults_of_the_config_are_those_of_transfer(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(resolution=64)
    model.weights_dir = weights
    asked = model.transfer(photo(), "stone", align=False, size=64, fit_steps=2)
    assert asked.tobytes() != model.transfer(photo(), "stone", align=False, size=64).tobytes()
    defaults = model.config.defaults.model_copy(update={"fit_steps": 2})
    model.config = model.config.model_copy(update={"defaults": defaults})
    assert model.transfer(photo(), "stone", align=False, size=64).tobytes() == asked.tobytes()


def with_defaults(model: PortraitModel, **values: object) -> PortraitModel:
    """Give a model other defaults; return it."""
    defaults = model.config.defaults.model_copy(update=values)
    model.config = model.config.model_copy(update={"defaults": defaults})
    return model


def test_a_face_that_is_badly_fitted_is_warned_about(weights: Path) -> None:
    """Restyle noise with random networks, which nobody can recognise."""
    model = with_defaults(tiny_model(resolution=64), fit_likeness_line=0.9)
    model.weights_dir = weights
    for steps in (0, 2):
        with pytest.warns(LikenessWarning, match=rf"limit: 0\.9; fix: .*\({steps} were") as told:
            result = model.transfer(photo(), "stone", align=False, size=64, fit_steps=steps)
        (warning,) = [one.message for one in told if isinstance(one.message, LikenessWarning)]
        fitted = model.fit(centre_square(photo()), steps)
        assert fitted.likeness == warning.likeness < warning.line == 0.9
        assert str(pickle.loads(pickle.dumps(warning))) == str(warning)
        assert result.info["dualstylegan:likeness"] == f"{fitted.likeness:.3f}"
        assert result.info["dualstylegan:warning"] == str(warning)
        assert result.info["dualstylegan:fit_steps"] == str(steps)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for quiet in (0.0, fitted.likeness):
            with_defaults(model, fit_likeness_line=quiet)
            quietly = model.transfer(photo(), "stone", align=False, size=64, fit_steps=2)
            assert quietly.tobytes() == result.tobytes()
            assert "dualstylegan:warning" not in quietly.info


def test_facts_of_a_result_are_those_of_its_making(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DUALSTYLEGAN_WEIGHTS", raising=False)
    model = with_defaults(tiny_model(resolution=64), color=0.25)
    model.styles = replace(model.styles, labels={"stone": "Stein № 1"})
    asked = {"structure": 0.5, "preserve_color": True}
    result = model.transfer(photo(), "Stein № 1", align=False, size=64, **asked)  # type: ignore[arg-type]
    result.save(tmp_path / "out.png", pnginfo=png_text(result))
    with Image.open(tmp_path / "out.png") as read:
        facts = facts_of(read)
    digests = ("model_digest", "photo", "style_digest")
    assert all(len(facts.pop(f"dualstylegan:{name}")) == 16 for name in digests)
    assert facts == {
        "dualstylegan:model": "portrait",
        "dualstylegan:style": "stone",
        "dualstylegan:structure": "0.5",
        "dualstylegan:color": "0.25",
        "dualstylegan:truncation": "1",
        "dualstylegan:preserve_color": "true",
        "dualstylegan:size": "64",
        "dualstylegan:align": "false",
        "dualstylegan:fit_steps": "0",
    }


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_file_of_any_format_holds_the_facts(suffix: str, tmp_path: Path) -> None:
    model = tiny_model(resolution=64)
    mix = {"stone": 3.0, "blue-heron": 1.0}
    result = model.transfer(photo(), mix, align=False, size=64)
    (tmp_path / f"out{suffix}").write_bytes(encode_result(result, suffix))
    with Image.open(tmp_path / f"out{suffix}") as read:
        assert facts_of(read) == facts_of(result)
    assert facts_of(result)["dualstylegan:style"] == "stone:0.75 blue-heron:0.25"


def test_facts_are_not_taken_from_what_others_wrote(tmp_path: Path) -> None:
    for comment in (b"", b"ASCII\0\0\0holiday", b"ASCII\0\0\0[1]", b"\xff" * 9):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9286] = comment
        photo().save(tmp_path / "photo.jpg", exif=exif)
        with Image.open(tmp_path / "photo.jpg") as read:
            assert facts_of(read) == {}


def test_folders_made_before_faces_had_an_identity_work_as_before(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Load a folder without face recognition, whose config does not know the identity term."""
    monkeypatch.delenv("DUALSTYLEGAN_WEIGHTS", raising=False)
    made = tiny_model(resolution=64)
    made.weights_dir = weights
    made.save_pretrained(tmp_path / "model")
    config = json.loads((tmp_path / "model/config.json").read_text())
    for key in ("fit_identity_weight", "fit_likeness_line", "fit_passes", "fit_restyled_weight"):
        del config["defaults"][key]
    (tmp_path / "model/config.json").write_text(json.dumps(config))
    (tmp_path / "model" / LISTING_FILE).unlink()
    recognition = tmp_path / "model/faces/identity.safetensors"
    with_recognition = PortraitModel.from_pretrained(tmp_path / "model").fit(photo(), 2)
    recognition.unlink()
    old = PortraitModel.from_pretrained(tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = old.transfer(photo(), "stone", align=False, size=64, fit_steps=2)
    assert "dualstylegan:likeness" not in result.info
    assert np.array_equal(old.fit(photo(), 2).code_LD, with_recognition.code_LD)
    assert with_recognition.likeness is not None
    with_defaults(old, fit_identity_weight=0.5)
    assert old.fit(photo(), 0).likeness is None
    with pytest.raises(WeightsError, match=r"faces: weights are missing; found: identity\.safet"):
        old.fit(photo(), 2)


def test_a_code_gives_the_same_bits_in_any_batch(weights: Path) -> None:
    """Render with the embedded networks in bfloat16, whose modulations depend on the batch."""
    networks = EmbeddedNetworks(weights, ROOT / "data/base")
    shape = (3, 16, 512)
    styles = StyleLibrary(("a", "b", "c"), torch.randn(shape), torch.randn(shape))
    config = PortraitConfig(network=EMBEDDED_CONFIG, bfloat16=True, styles=styles.names)
    model = PortraitModel(config, networks.dualstylegan(), networks.encoder(), styles)
    faces = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    together = model.render(faces, styles.extrinsic_SLD, size=128)
    alone = [
        model.render(faces[i : i + 1], styles.extrinsic_SLD[i : i + 1], size=128) for i in range(3)
    ]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("resolution", [64, 256])
def test_the_encoder_takes_passes_over_renderings_of_any_size(
    weights: Path, resolution: int
) -> None:
    """Fit with generators that cannot render the encoder's 128 px."""
    model = tiny_model(resolution=resolution)
    model.weights_dir = weights
    once = model.fit(centre_square(photo())).code_LD
    twice = with_defaults(model, fit_passes=2).fit(centre_square(photo())).code_LD
    assert twice.shape == once.shape
    assert not np.array_equal(twice, once)


def test_pasting_needs_the_alignment(model: PortraitModel) -> None:
    with pytest.raises(SettingsError, match="pasting"):
        model.transfer(photo(), "stone", align=False, paste=True)


def test_centre_square() -> None:
    assert centre_square(Image.new("RGB", (50, 30))).size == (30, 30)


def test_model_without_sampler_says_so(model: PortraitModel) -> None:
    with pytest.raises(CheckpointError, match="sampler"):
        model.sample_style(0)


def test_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere.*no portrait model"):
        PortraitModel.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["model.safetensors", "encoder.safetensors", "styles.safetensors"])
def test_damaged_weights_are_named(copied: Path, name: str) -> None:
    data = (copied / name).read_bytes()
    (copied / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=name):
        PortraitModel.from_pretrained(copied)
    (copied / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        PortraitModel.from_pretrained(copied)


def test_config_is_closed(copied: Path) -> None:
    (copied / LISTING_FILE).unlink()
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "class": "os.system"}))
    with pytest.raises(CheckpointError, match=r"config.json.*class"):
        PortraitModel.from_pretrained(copied)


def test_config_of_another_network_does_not_load(copied: Path) -> None:
    (copied / LISTING_FILE).unlink()
    text = (copied / "config.json").read_text()
    (copied / "config.json").write_text(text.replace('"res_hidden": 4', '"res_hidden": 5'))
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        PortraitModel.from_pretrained(copied)


def run(*arguments: str) -> tuple[int, str]:
    from typer.testing import CliRunner

    found = CliRunner().invoke(build_app(), list(arguments))
    return found.exit_code, found.output


def test_cli_lists_styles(folder: Path) -> None:
    assert run("styles", str(folder)) == (0, "\n".join(STYLE_NAMES) + "\n")


def test_cli_restyles_a_photo(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALSTYLEGAN_WEIGHTS", str(weights))
    model = with_defaults(tiny_model(resolution=256), fit_likeness_line=1.0)
    model.save_pretrained(tmp_path / "model")
    photo().save(tmp_path / "photo.png")
    out = tmp_path / "new" / "out.png"
    given = ("transfer", str(tmp_path / "photo.png"), "-m", str(tmp_path / "model"), "--no-align")
    asked = ("--style", "stone", "--structure", "0.5", "--fit-steps", "2")
    status, output = run(*given, *asked, "-o", str(out))
    assert status == 0, output
    assert str(out) in output
    assert output.count("warning: the face fitted to the photo may not be recognised") == 1
    with Image.open(out) as shown:
        assert shown.size == (256, 256)
    status, output = run(*given, "--style", "stoned", "-o", str(out.with_name("other.png")))
    assert status == 2
    assert "did you mean stone?" in output
    assert [p.name for p in out.parent.iterdir()] == ["out.png"]


def test_cli_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from dualstylegan.cli import build_app; build_app();"
        "print([m for m in ('torch', 'pandas', 'numpy', 'PIL', 'mlflow') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"

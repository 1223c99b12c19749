"""Import of published files and export back, equal to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from dualstylegan.errors import CheckpointError
from dualstylegan.io.checkpoints import load_tensors
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.psp import PublishedEncoder
from dualstylegan.portrait.config import read_config
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.published.adapter import import_published
from dualstylegan.published.exporting import export_published
from tests.support.published_files import (
    NAMES,
    NETWORK,
    ROWS,
    codes_file,
    encoder_state,
    equal,
    generator_file,
    state_of,
)


def test_round_trip_is_equal_to_the_bit(tmp_path: Path) -> None:
    generator = generator_file(tmp_path / "generator.pt")
    codes = codes_file(tmp_path / "exstyle_code.npy")
    files = [tmp_path / "generator.pt", tmp_path / "exstyle_code.npy"]
    lines = import_published(files, tmp_path / "model")
    assert "generator.pt: DualStyleGAN" in lines
    assert any("lacks a Z+ encoder" in line for line in lines)
    export_published(tmp_path / "model", tmp_path / "back")
    back = torch.load(tmp_path / "back/generator.pt", weights_only=False)
    assert equal(back, generator)
    found = np.load(tmp_path / "back/exstyle_code.npy", allow_pickle=True).item()
    assert equal(found, codes)


def test_imported_networks_are_the_published_ones(tmp_path: Path) -> None:
    content = generator_file(tmp_path / "generator.pt")
    import_published([tmp_path / "generator.pt"], tmp_path / "model")
    tensors = load_tensors(tmp_path / "model/model.safetensors")
    network = NETWORK.build()
    network.load_state_dict(tensors)
    assert equal(state_of(network), content["g_ema"])
    network.generator.measure_mean_w(16_384)
    torch.testing.assert_close(tensors["generator.mean_w"], network.generator.mean_w)
    discriminator = Discriminator(32, channels=(8, 8, 8, 8))
    discriminator.load_state_dict(load_tensors(tmp_path / "model/discriminator.safetensors"))


def test_a_whole_model_can_be_built(tmp_path: Path) -> None:
    """Encoder and codes too. Heads of 16 channels, to be small, do not fit the encoder's pyramid:
    the encoder is read and written here, and runs in test_golden."""
    generator_file(tmp_path / "generator.pt")
    names = tuple(reversed(NAMES))
    codes = codes_file(tmp_path / "exstyle_code.npy")
    refined = codes_file(tmp_path / "refined_exstyle_code.npy", seed=1)
    intrinsic = codes_file(tmp_path / "instyle_code.npy", names=names, seed=2)
    state = encoder_state()
    content = {"state_dict": state, "latent_avg": torch.ones(16), "opts": {"device": "cuda:0"}}
    torch.save(content, tmp_path / "encoder.pt")
    files = [
        tmp_path / name
        for name in (
            "generator.pt",
            "encoder.pt",
            "exstyle_code.npy",
            "refined_exstyle_code.npy",
            "instyle_code.npy",
        )
    ]
    model = tmp_path / "model"
    import_published(files, model, name="cartoon")
    read = read_config(model)
    assert read.styles == NAMES
    assert read.network.encoder == "psp"
    table = load_tensors(model / "styles.safetensors")
    assert torch.equal(table["extrinsic"][1], torch.from_numpy(refined[NAMES[1]][0]))
    assert torch.equal(table["intrinsic"][1], torch.from_numpy(intrinsic[NAMES[1]][0]))
    portrait = PortraitModel.from_pretrained(model)
    assert isinstance(portrait.encoder, PublishedEncoder)
    assert equal(
        portrait.encoder.encoder.state_dict(),
        {k.removeprefix("encoder."): v for k, v in state.items()},
    )
    assert not portrait.encoder.latent_avg.any()  # its options do not say it starts from the mean
    styled = portrait.render(
        torch.zeros(1, ROWS, 16), portrait.styles.extrinsic_of([NAMES[0]]), size=32
    )
    assert styled.shape == (1, 3, 32, 32)
    export_published(model, tmp_path / "back")
    back = torch.load(tmp_path / "back/encoder.pt", weights_only=True)
    assert equal(back, content)
    kept = np.load(tmp_path / "back/exstyle_code.npy", allow_pickle=True).item()
    assert equal(kept, codes)


def faulty(tmp_path: Path, files: Sequence[Path], *words: str) -> None:
    """Check that the import is refused with a reason and writes nothing."""
    with pytest.raises(CheckpointError) as caught:
        import_published(files, tmp_path / "model")
    for word in words:
        assert word in str(caught.value)
    assert not list(tmp_path.glob("*model*"))


def test_missing_unexpected_and_misshapen_keys_are_listed(tmp_path: Path) -> None:
    network = NETWORK.build()
    state = state_of(network)
    missing = ("style.1.bias", "res.5.norm.style.bias", "generator.noises.noise_3")
    for key in missing:
        del state[key]
    state["generator.conv1.activate.bias"] = torch.zeros(9)
    state["latent"] = torch.zeros(2)
    torch.save({"g_ema": state}, tmp_path / "generator.pt")
    faulty(
        tmp_path,
        [tmp_path / "generator.pt"],
        *missing,
        "unexpected: latent",
        "misshapen: generator.conv1.activate.bias (9,) for (8,)",
    )


def test_unknown_parts_and_files_are_refused(tmp_path: Path) -> None:
    generator_file(tmp_path / "generator.pt", surprise=1)
    faulty(tmp_path, [tmp_path / "generator.pt"], "unexpected: surprise")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    faulty(tmp_path, [tmp_path / "other.pt"], "no published file that is known")
    torch.save([1, 2], tmp_path / "list.pt")
    faulty(tmp_path, [tmp_path / "list.pt"], "no published file that is known")
    faulty(tmp_path, [], "no files")


def test_two_files_of_a_kind_are_refused(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        generator_file(tmp_path / name)
    faulty(tmp_path, [tmp_path / "a.pt", tmp_path / "b.pt"], "two files of the same kind", "a.pt")


def test_codes_that_are_not_finite_or_misshapen_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "exstyle_code.npy"
    for code in (np.full((1, 8, 16), np.nan, np.float32), np.zeros((8, 16), np.float32)):
        np.save(path, {"a.jpg": code}, allow_pickle=True)  # type: ignore[arg-type]
        faulty(tmp_path, [path], "a.jpg")
    np.save(tmp_path / "codes.npy", {"a.jpg": code}, allow_pickle=True)  # type: ignore[arg-type]
    faulty(tmp_path, [tmp_path / "codes.npy"], "kind is not known")


def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    generator_file(tmp_path / "generator.pt")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/precious.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="no imported model"):
        import_published([tmp_path / "generator.pt"], tmp_path / "model")
    assert (tmp_path / "model/precious.txt").read_text() == "mine"


def test_command_line(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from dualstylegan.cli import build_app

    runner = CliRunner()
    generator_file(tmp_path / "generator.pt")
    arguments = ["import-published", str(tmp_path / "generator.pt"), "-o", str(tmp_path / "model")]
    done = runner.invoke(build_app(), arguments)
    assert done.exit_code == 0, done.output
    assert "generator.pt: DualStyleGAN" in done.output
    arguments = ["export-published", str(tmp_path / "model"), "-o", str(tmp_path / "back")]
    done = runner.invoke(build_app(), arguments)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "back/generator.pt").is_file()
    (tmp_path / "bad.pt").write_bytes(b"not a checkpoint")
    done = runner.invoke(build_app(), ["import-published", str(tmp_path / "bad.pt"), "-o", "x"])
    assert done.exit_code == 2
    assert "bad.pt" in done.stderr

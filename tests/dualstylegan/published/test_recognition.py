"""Recognition of published files, in every form that people save them in."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dualstylegan.errors import CheckpointError, SettingsError
from dualstylegan.io.checkpoints import load_tensors
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.ir_se50 import IRSE50
from dualstylegan.portrait.config import read_config
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.published.adapter import import_published
from dualstylegan.published.exporting import export_published
from dualstylegan.published.layout import ADAPTED_FILE, GENERATOR_FILE, State
from tests.support.published_files import (
    ROWS,
    codes_file,
    dualstylegan_state,
    encoder_state,
    equal,
    sample,
    sampler_file,
    state_of,
    stylegan2_state,
)


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def imported(tmp_path: Path, *files: Path, **said: Any) -> tuple[list[str], set[str]]:
    """Import files; return the remarks and the names of the network files."""
    lines = import_published(files, tmp_path / "model", **said)
    return lines, {path.name for path in (tmp_path / "model").glob("*.safetensors")}


def discriminator_state() -> State:
    return state_of(Discriminator(32, channels=(8, 8, 8, 8)))


@pytest.fixture(scope="module")
def g() -> State:
    return stylegan2_state()


@pytest.fixture(scope="module")
def adapted(g: State) -> State:
    """Weights of g', which differ from g in one layer."""
    return {k: v + 0.01 if k == "to_rgb1.bias" else v for k, v in g.items()}


REFERENCES: dict[str, Callable[[State], dict[str, State]]] = {
    "DualStyleGAN": lambda g: {"g_ema": dualstylegan_state(g)},
    "decoder of an encoder": lambda g: {
        "state_dict": {**encoder_state(), **{f"decoder.{k}": v for k, v in g.items()}}
    },
}


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("order", [1, -1])
def test_the_weights_and_not_the_keys_tell_g_from_its_adaptation(
    tmp_path: Path, g: State, adapted: State, reference: str, order: int
) -> None:
    """g_ema alone may be g; a training checkpoint with g and d may be g'."""
    other = saved(tmp_path / "other.pt", REFERENCES[reference](g))
    source = saved(tmp_path / "stylegan2.pt", {"g_ema": g})
    tuned = saved(
        tmp_path / "tuned.pt", {"g": adapted, "d": discriminator_state(), "g_ema": adapted}
    )
    lines, files = imported(tmp_path, *[other, source, tuned][::order])
    assert {GENERATOR_FILE, ADAPTED_FILE} <= files
    assert "stylegan2.pt: StyleGAN2" in lines
    assert "tuned.pt: StyleGAN2 adapted to a style" in lines
    for file, state in ((GENERATOR_FILE, g), (ADAPTED_FILE, adapted)):
        found = load_tensors(tmp_path / "model" / file)
        assert torch.equal(found["to_rgb1.bias"], state["to_rgb1.bias"])


def test_the_published_pair_is_told_apart_without_others(
    tmp_path: Path, g: State, adapted: State
) -> None:
    """stylegan2-ffhq-config-f.pt holds a discriminator, finetune-000600.pt does not."""
    ffhq = saved(tmp_path / "ffhq.pt", {"g": g, "d": discriminator_state(), "g_ema": g})
    tuned = saved(tmp_path / "finetune.pt", {"g_ema": adapted})
    lines, _ = imported(tmp_path, tuned, ffhq)
    assert "ffhq.pt: StyleGAN2" in lines
    assert "finetune.pt: StyleGAN2 adapted to a style" in lines


@pytest.mark.parametrize("bare", [True, False])
def test_a_lone_generator_is_what_the_user_says(tmp_path: Path, g: State, bare: bool) -> None:
    file = saved(tmp_path / "stylegan2.pt", g if bare else {"g_ema": g})
    with pytest.raises(CheckpointError, match=r"--source stylegan2\.pt or --adapted") as caught:
        imported(tmp_path, file)
    assert "cannot tell" in str(caught.value)
    assert not (tmp_path / "model").exists()
    assert imported(tmp_path, file, source=file)[1] == {GENERATOR_FILE}
    assert imported(tmp_path, adapted=file)[1] == {ADAPTED_FILE}


def test_what_the_user_says_counts_more_than_the_weights(
    tmp_path: Path, g: State, adapted: State
) -> None:
    other = saved(tmp_path / "generator.pt", {"g_ema": dualstylegan_state(g)})
    file = saved(tmp_path / "tuned.pt", {"g_ema": adapted})
    assert GENERATOR_FILE in imported(tmp_path, other, file, source=file)[1]
    with pytest.raises(CheckpointError, match="not a StyleGAN2"):
        imported(tmp_path, file, other, source=other)


def test_one_role_decides_the_other(tmp_path: Path, g: State, adapted: State) -> None:
    files = [saved(tmp_path / f"{n}.pt", {"g_ema": s}) for n, s in (("a", g), ("b", adapted))]
    lines, _ = imported(tmp_path, *files, adapted=files[1])
    assert "a.pt: StyleGAN2" in lines
    lines, _ = imported(tmp_path, *files, source=files[0])
    assert "b.pt: StyleGAN2 adapted to a style" in lines
    with pytest.raises(CheckpointError, match="two files of the same kind"):
        imported(tmp_path, files[0], saved(tmp_path / "c.pt", {"g_ema": g}), source=files[0])


Wrap = Callable[[State], State]


def parallel(state: State) -> State:
    return {f"module.{k}": v for k, v in state.items()}


def both(content: dict[str, Any], wrap: Wrap) -> dict[str, Any]:
    """Wrap every state dict of a content."""
    if all(isinstance(value, torch.Tensor) for value in content.values()):
        return wrap(content)
    return {k: both(v, wrap) if isinstance(v, dict) else v for k, v in content.items()}


CONTENTS: dict[str, Callable[[State], dict[str, Any]]] = {
    "generator": lambda g: {"g_ema": dualstylegan_state(g), "d": discriminator_state()},
    "discriminator": lambda g: discriminator_state(),
    "encoder": lambda g: {"state_dict": encoder_state(), "opts": {}},
}
WRAPS: dict[str, Wrap] = {
    "parallel twice": lambda state: parallel(parallel(state)),
    "another prefix": lambda state: {f"net.{k}": v for k, v in state.items()},
}


@pytest.mark.parametrize(
    ("name", "wrap"),
    [*((name, "parallel") for name in CONTENTS), *(("discriminator", wrap) for wrap in WRAPS)],
)
def test_prefixes_of_wrappers_are_understood_and_come_back(
    tmp_path: Path, g: State, name: str, wrap: str
) -> None:
    content = CONTENTS[name](g)
    wrapped = both(content, WRAPS.get(wrap, parallel))
    plain, other = tmp_path / "plain", tmp_path / "wrapped"
    import_published([saved(tmp_path / "file.pt", content)], plain)
    import_published([saved(tmp_path / "file.pt", wrapped)], other)
    for file in plain.glob("*.safetensors"):
        assert equal(load_tensors(other / file.name), load_tensors(file)), file.name
    export_published(other, tmp_path / "back")
    assert equal(torch.load(tmp_path / "back/file.pt", weights_only=True), wrapped)


@pytest.mark.parametrize(
    ("outer", "name"),
    [
        *((outer, "DualStyleGAN") for outer in ("state_dict", "params_ema", "params", "model")),
        ("params", "identity"),
        ("model_state_dict", "pSp"),
        ("state_dict", "encoder alone"),
    ],
)
def test_bare_state_dicts_and_outer_keys_are_understood(
    tmp_path: Path, g: State, outer: str, name: str
) -> None:
    encoder = encoder_state()
    state = {
        "DualStyleGAN": lambda: dualstylegan_state(g),
        "identity": lambda: state_of(IRSE50()),
        "pSp": lambda: encoder,
        "encoder alone": lambda: {k.removeprefix("encoder."): v for k, v in encoder.items()},
    }[name]()
    import_published([saved(tmp_path / "file.pt", state)], tmp_path / "plain")
    content = {outer: state, "epoch": 3}
    lines = import_published([saved(tmp_path / "file.pt", content)], tmp_path / "wrapped")
    assert "file.pt: kept, not used: epoch" in lines
    for file in (tmp_path / "plain").glob("*.safetensors"):
        assert equal(load_tensors(tmp_path / "wrapped" / file.name), load_tensors(file))
    export_published(tmp_path / "wrapped", tmp_path / "back")
    assert equal(torch.load(tmp_path / "back/file.pt", weights_only=True), content)


def test_an_unknown_file_says_what_it_holds_and_what_is_understood(tmp_path: Path) -> None:
    file = saved(tmp_path / "x.pt", {"net": {"layer.weight": torch.zeros(1)}, "a\ud800\x1b": 1})
    with pytest.raises(CheckpointError) as caught:
        imported(tmp_path, file)
    message = str(caught.value)
    assert "net, a\\ud800\\x1b" in message
    assert "IR-SE50" in message
    message.encode()


def whole_model(
    tmp_path: Path, g: State, **changes: int
) -> tuple[dict[str, nn.ModuleDict], list[Path]]:
    """Write the files of a complete model with a sampler."""
    nets = sampler_file(tmp_path / "sampler.pt", **changes)
    codes_file(tmp_path / "exstyle_code.npy")
    saved(tmp_path / "generator.pt", {"g_ema": dualstylegan_state(g)})
    saved(tmp_path / "encoder.pt", {"state_dict": encoder_state()})
    names = ("generator.pt", "encoder.pt", "exstyle_code.npy", "sampler.pt")
    return nets, [tmp_path / name for name in names]


def test_the_sampler_draws_the_styles_that_its_networks_describe(tmp_path: Path, g: State) -> None:
    nets, files = whole_model(tmp_path, g)
    import_published(files, tmp_path / "model")
    assert read_config(tmp_path / "model").has_sampler
    model = PortraitModel.from_pretrained(tmp_path / "model")
    code = model.sample_style(5)
    noise = torch.randn(1, 2, 128, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        structure, color = (
            sample(nets["structure"], noise[:, 0]),
            sample(nets["color"], noise[:, 1]),
        )
    assert torch.equal(code[:7], structure.view(7, 16))
    assert torch.equal(code[7:], color.view(1, 16))
    assert model.sampler is not None
    many = model.sampler.sample(4, 5)
    torch.testing.assert_close(many[0], code)
    assert torch.equal(model.sample_style(5), code)
    original = torch.load(tmp_path / "sampler.pt", weights_only=True)
    export_published(tmp_path / "model", tmp_path / "back")
    assert equal(torch.load(tmp_path / "back/sampler.pt", weights_only=True), original)
    model.save_pretrained(tmp_path / "again")
    assert torch.equal(PortraitModel.from_pretrained(tmp_path / "again").sample_style(5), code)


@pytest.mark.parametrize("names", ["main.{}", "module.net.{}", "{}"])
def test_a_sampler_is_known_by_its_layers_and_not_their_names(tmp_path: Path, names: str) -> None:
    """nn.Sequential counts its ReLUs too."""
    nets = sampler_file(tmp_path / "plain.pt")
    numbers = {"lin1": 0, "bn1": 1, "lin2": 3, "bn2": 4, "lin_out": 6}
    content = {
        part: {
            names.format(f"{numbers[key.split('.')[0]]}.{key.split('.')[1]}"): value
            for key, value in net.state_dict().items()
        }
        for part, net in nets.items()
    }
    saved(tmp_path / "sampler.pt", content)
    for name in ("plain", "sampler"):
        import_published([tmp_path / f"{name}.pt"], tmp_path / f"model-{name}")
    found = [
        load_tensors(tmp_path / f"model-{n}/sampler.safetensors") for n in ("plain", "sampler")
    ]
    assert equal(found[0], found[1])


def test_a_sampler_of_another_layout_or_size_is_refused(tmp_path: Path, g: State) -> None:
    nets, files = whole_model(tmp_path, g, rows=ROWS + 2)
    with pytest.raises(CheckpointError, match=r"the sampler does not fit .* \(10, 16\)"):
        imported(tmp_path, *files)
    states = {part: net.state_dict() for part, net in nets.items()}
    for part, key, change in (
        ("color", "bn1.running_var", lambda v: v * torch.nan),
        ("structure", "lin2.weight", lambda v: v[:5]),
        ("color", "bn2.running_mean", None),
        ("structure", "lin_out.weight", lambda v: v[:100]),
    ):
        broken = {name: dict(state) for name, state in states.items()}
        value = broken[part].pop(key)
        if change is not None:
            broken[part][key] = change(value)  # type: ignore[no-untyped-call]
        with pytest.raises(CheckpointError, match="sampler"):
            imported(tmp_path, saved(tmp_path / "sampler.pt", broken))


ODD = ("../up.jpg", "a/b.jpg", ".hidden", "", "a\x00b", "c:d", "50 %", "x#1", "\ud800", "con", 5)


def test_odd_names_of_styles_are_mapped_and_come_back(tmp_path: Path, g: State) -> None:
    names = ("fine.jpg", *ODD)
    _, files = whole_model(tmp_path, g)
    codes = codes_file(tmp_path / "exstyle_code.npy", names=names)
    import_published(files, tmp_path / "model")
    config = read_config(tmp_path / "model")
    styles = config.styles
    assert config.labels[styles[1]] == "../up.jpg"
    "\n".join(config.labels.values()).encode()  # people can read them
    assert styles[0] == "fine.jpg"
    assert styles[-1] == "5"
    assert len(set(styles)) == len(names)
    for style in styles:
        (tmp_path / "model/thumbnails" / f"{style}.jpg").write_bytes(b"")
    model = PortraitModel.from_pretrained(tmp_path / "model")
    code = model.styles.extrinsic_of([styles[1]])[0]
    assert torch.equal(code, torch.from_numpy(codes["../up.jpg"][0]))
    export_published(tmp_path / "model", tmp_path / "back")
    back = np.load(tmp_path / "back/exstyle_code.npy", allow_pickle=True).item()
    assert equal(back, codes)


def test_two_names_for_one_style_are_refused(tmp_path: Path) -> None:
    codes_file(tmp_path / "exstyle_code.npy", names=("M\u00fcller", "Mu\u0308ller"))
    with pytest.raises(CheckpointError, match="two styles of the same name"):
        imported(tmp_path, tmp_path / "exstyle_code.npy")


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_a_models_name_is_checked_before_files_are_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"not a name for a model.*--name"):
        imported(tmp_path, tmp_path / "of-gigabytes.pt", name=name)


def mutated(value: Any, rng: random.Random) -> Any:
    """Return a content with one value replaced by an unsuitable one."""
    if isinstance(value, dict) and value and (len(value) < 4 or rng.random() < 0.5):
        key = rng.choice(list(value))
        return {k: mutated(v, rng) if k == key else v for k, v in value.items()}
    if isinstance(value, dict) and value:
        tensors = [k for k in value if isinstance(value[k], torch.Tensor)]
        # What sizes are read off comes first in a state dict.
        key = rng.choice([k for k in tensors if value[k].ndim > 1] or list(value))
        return {k: mutated(v, rng) if k == key else v for k, v in value.items()}
    shapes = [(), (0,), (0, 3), (7,), (1, 0, 4, 4), (3, 5, 1, 1), (2, 2, 3, 3), (1, 9, 9, 3, 3)]
    others: list[Any] = [None, -1, "x", [], {}, (1, 2), {"a": torch.zeros(2)}, 2**70 % 2**63]
    wide = torch.zeros(0).expand(0).reshape(0, 1 << 40) if rng.random() < 0.2 else torch.zeros(())
    choices = [torch.zeros(rng.choice(shapes)), torch.zeros(2, dtype=torch.int64), wide]
    return rng.choice([*choices, *choices, rng.choice(others)])


@pytest.mark.parametrize("seed", range(2))
def test_whatever_a_file_holds_the_error_is_typed(tmp_path: Path, g: State, seed: int) -> None:
    rng = random.Random(seed)
    sampler_file(tmp_path / "sampler.pt")
    small = [
        {"g_ema": g, "d": discriminator_state(), "latent_avg": torch.zeros(16)},
        {"g_ema": dualstylegan_state(g)},
        {"params_ema": discriminator_state()},
        torch.load(tmp_path / "sampler.pt", weights_only=True),
    ]
    encoder = {"state_dict": encoder_state(), "latent_avg": torch.zeros(16), "opts": {"a": 1}}
    for number in range(12):
        content = mutated(rng.choice(small) if number else encoder, rng)
        file = saved(tmp_path / f"{number}.pt", content)
        try:
            imported(tmp_path, file, source=None)
        except CheckpointError as error:
            str(error).encode()

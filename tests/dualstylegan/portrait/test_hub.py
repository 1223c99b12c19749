"""Models on a hub, against a server of its interface on loopback."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import HfApi, constants
from huggingface_hub.utils.tqdm import disable_progress_bars
from PIL import Image

from dualstylegan.errors import CheckpointError, DataError, HubError, SettingsError
from dualstylegan.portrait import hub
from dualstylegan.portrait.config import LICENCE_FILE
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.stores import find_model
from tests.support.command import run
from tests.support.hub_server import READER, TOKEN, Hub, serving
from tests.support.portrait_models import STYLE_NAMES, tiny_model

NAME = "someone/portraits"


@pytest.fixture(scope="module")
def model() -> PortraitModel:
    model = tiny_model(resolution=64)
    model.card = 'A card.\n\nfrom_pretrained("THIS FOLDER")\n'
    model.licence = "Research only.\n"
    return model


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Serve an empty hub, and let the client know it alone."""
    with serving() as running:
        _connect(monkeypatch, running.address, tmp_path / "cache")
        yield running


def _connect(monkeypatch: pytest.MonkeyPatch, address: str, cache: Path) -> None:
    disable_progress_bars()
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    # uploads by LFS, which the server speaks, in place of Xet
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def _pixels(model: PortraitModel) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    face = Image.radial_gradient("L").convert("RGB")
    return np.asarray(model.transfer(face, "stone", align=False, size=64))


def test_a_pushed_model_restyles_as_before(server: Hub, model: PortraitModel) -> None:
    address = model.push_to_hub(NAME, message="First")
    assert address.startswith(f"{server.address}/{NAME}/commit/")
    assert server.repositories[NAME].messages[-1] == "First"
    loaded = PortraitModel.from_pretrained(NAME)
    assert np.array_equal(_pixels(loaded), _pixels(model))
    assert loaded.licence == model.licence
    assert loaded.thumbnails == model.thumbnails


def test_the_page_of_a_repository_tells_what_it_is(server: Hub, model: PortraitModel) -> None:
    model.push_to_hub(NAME)
    tree = server.repositories[NAME].tree
    _, matter, body = tree["README.md"].decode().split("---\n", 2)
    facts = yaml.safe_load(matter)
    assert facts["license"] == "other"
    assert facts["license_name"] == "research-only"
    assert facts["license_link"] in tree
    assert facts["pipeline_tag"] == "image-to-image"
    assert facts["thumbnail"] == f"{server.address}/{NAME}/resolve/main/thumbnails/stone.jpg"
    (picture,) = facts["widget"]
    assert picture["text"] == "stone"
    assert picture["output"]["url"] in tree
    assert f'from_pretrained("{NAME}")' in body
    found = HfApi(server.address).get_safetensors_metadata(NAME)
    numbers = sum(p.numel() for p in model.network.state_dict().values())
    assert sum(found.parameter_count.values()) == numbers
    assert found.files_metadata["model.safetensors"].metadata["format"] == "pt"


def test_a_second_push_removes_what_the_model_lacks(server: Hub, model: PortraitModel) -> None:
    model.push_to_hub(NAME)
    repository = server.repositories[NAME]
    more = {"notes.md": b"mine", "thumbnails/gone.jpg": b"x", "sampler.safetensors": b"x"}
    repository.commit("main", {**repository.tree, **more}, "by hand")
    uploads = [r for r in server.requests if r.startswith("PUT")]
    model.push_to_hub(NAME)
    assert more.keys() & repository.tree.keys() == {"notes.md"}
    assert [r for r in server.requests if r.startswith("PUT")] == uploads


def test_a_revision_is_that_of_its_time(server: Hub, model: PortraitModel) -> None:
    model.push_to_hub(NAME)
    first = server.repositories[NAME].branches["main"]
    tiny_model(1, 64).save_pretrained(folder := Path(constants.HF_HUB_CACHE) / "other")
    (folder / LICENCE_FILE).write_text("Research only.\n")
    assert run("push", folder, NAME, "--half").status == 0
    before = _pixels(PortraitModel.from_pretrained(NAME, revision=first))
    assert np.array_equal(before, _pixels(model))
    assert find_model(f"{NAME}@{first}") == find_model(NAME, first)
    half = PortraitModel.from_pretrained(NAME)
    assert "half precision" not in half.card  # it has no card to say so
    assert not np.array_equal(_pixels(half), before)
    with pytest.raises(HubError, match=r"portraits@v9: the repository has no such revision.*404"):
        find_model(f"{NAME}@v9")


def test_the_command_line_takes_repositories(server: Hub, model: PortraitModel) -> None:
    model.push_to_hub(NAME)
    done = run("styles", NAME)
    assert (done.status, done.stdout.split()) == (0, list(STYLE_NAMES))
    missing = run("styles", "someone/else")
    assert missing.status == 2
    assert "someone/else: no such repository on the hub" in missing.stderr


def test_a_read_only_cache_of_links_is_loaded_and_pushed_on(
    server: Hub, model: PortraitModel
) -> None:
    model.push_to_hub(NAME)
    folder = find_model(NAME)
    assert (folder / "model.safetensors").is_symlink()
    cached = [folder, *folder.rglob("*"), *(folder.parents[1] / "blobs").iterdir()]
    for path in cached:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    try:
        loaded = PortraitModel.from_pretrained(folder)
        assert np.array_equal(_pixels(loaded), _pixels(model))
        hub.push(folder, "someone/copy")
    finally:
        for path in cached:
            path.chmod(path.stat().st_mode | stat.S_IWUSR)
    copied = server.repositories["someone/copy"].tree
    assert copied["model.safetensors"] == server.repositories[NAME].tree["model.safetensors"]


def test_without_a_network_the_cache_serves(
    server: Hub, model: PortraitModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.push_to_hub(NAME)
    folder = find_model(NAME)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # taken, and nobody listens
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
        assert find_model(NAME) == folder
        with pytest.raises(HubError, match=r"new: the hub cannot be reached.*refused.*HF_ENDPOINT"):
            find_model("someone/new")
        with pytest.raises(HubError, match=r"new: the hub cannot be reached.*refused"):
            model.push_to_hub("someone/new")


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("", "with a token alone.*hf auth login"),
        (READER, "the token does not allow this.*403.*may write"),
        ("hf_false", "does not accept the token.*401"),
    ],
)
def test_who_may_not_write_is_told(
    server: Hub, model: PortraitModel, monkeypatch: pytest.MonkeyPatch, token: str, said: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=said):
        model.push_to_hub(NAME)
    assert not server.repositories


def test_a_private_model_needs_a_token(
    server: Hub, model: PortraitModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.push_to_hub(NAME, private=True)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=r"no such repository on the hub, or a private one.*401"):
        find_model(NAME)
    monkeypatch.setenv("HF_TOKEN", READER)
    assert find_model(NAME).is_dir()


def test_a_model_without_a_licence_is_not_pushed(server: Hub, tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "model")
    with pytest.raises(DataError, match=r"LICENSE\.md: a model without a licence"):
        hub.push(tmp_path / "model", NAME)
    with pytest.raises(CheckpointError, match="no portrait model in this folder"):
        hub.push(tmp_path, NAME)
    assert server.requests == []


def test_a_repository_without_a_model_is_no_model(server: Hub, model: PortraitModel) -> None:
    model.push_to_hub(NAME)
    repository = server.repositories[NAME]
    repository.commit("main", {"README.md": b"# Something else\n", "x.bin": b"pickle"}, "other")
    with pytest.raises(CheckpointError, match="no portrait model in this folder"):
        PortraitModel.from_pretrained(NAME)
    assert not any("x.bin" in request for request in server.requests)


def test_folders_are_not_looked_for_on_a_hub(server: Hub) -> None:
    for name in ("./models/portrait", "a/b/c", "../x/y", "/no/folder", "a\\b", "models:/x@y"):
        assert not hub.is_repository(name)
        with pytest.raises(CheckpointError):
            find_model(name)
    with pytest.raises(SettingsError, match="only models of a hub have revisions"):
        find_model("data/sets/demo/models/portrait", "v1")
    assert server.requests == []


class Stalled(dict[str, bytes]):
    """Large files that a server begins to send, and never does."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__(objects)
        self.asked, self.ended = threading.Event(), threading.Event()

    def __getitem__(self, digest: str) -> bytes:
        self.asked.set()
        self.ended.wait(60)
        return super().__getitem__(digest)


def test_an_interrupt_does_not_wait_for_a_stalled_server(
    server: Hub, model: PortraitModel, tmp_path: Path
) -> None:
    model.push_to_hub(NAME)
    server.objects = stalled = Stalled(server.objects)
    code = "from dualstylegan.cli import main; main()"
    command = [sys.executable, "-c", code, "styles", NAME]
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "other")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert stalled.asked.wait(60)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=5)
        finally:
            process.kill()
            stalled.ended.set()
    assert (process.returncode, said) == (130, "stopped\n")


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", None)
    with pytest.raises(HubError, match=r"need its client.*dualstylegan\[hub\]"):
        find_model(NAME)


def test_the_client_is_imported_only_when_used() -> None:
    code = (
        "import sys, dualstylegan.portrait.stores, dualstylegan.cli;"
        "sys.exit('huggingface_hub' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0

"""The troubleshooting page shows errors as they are: each is raised, or found in the code."""

from __future__ import annotations

import ast
import re
import shutil
import socket
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
import yaml
from PIL import Image

from dualstylegan.errors import DualStyleGANError, LikenessWarning
from dualstylegan.studio.server import listen
from tasks.portraits import all_items, check_strays
from tasks.shared.sets import load
from tasks.shared.sources import kind_folders
from tests.conftest import ROOT
from tests.support import command as cli
from tests.support.desk import copy_model, docs_model, lay_out

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
ENTRY = re.compile(r"^### (.+?)\n\n```text\n(.+?)\n```$", re.DOTALL | re.MULTILINE)
SHOWN = dict(ENTRY.findall(PAGE))
# Errors that a test cannot have at will: the sentence and the fix are found in the code.
IN_THE_CODE = {
    "pip could not fetch it": "tasks/weights/downloads.py",
    "the fetched file is not the pinned one": "tasks/weights/downloads.py",
    "training diverged": "dualstylegan/finetuning/trainer.py",
    "not enough space": "dualstylegan/io/files.py",
    "the style set is not fit for training": "tasks/diagnose.py",
    "the saved state belongs to other inputs or settings": "dualstylegan/finetuning/trainer.py",
    "the studio needs further packages": "dualstylegan/studio/command.py",
    "videos need PyAV, which is not installed": "dualstylegan/io/video_reading.py",
    "no such GPU": "dualstylegan/networks/device.py",
    "HEIC is not read here": "dualstylegan/io/images.py",
}


def refused(*arguments: str) -> str:
    """Return the line of a command that is refused."""
    done = cli.run(*arguments)
    assert done.status in (1, 2), done.stdout
    return done.stderr.splitlines()[0]


def told_by(stage: str, work: Callable[[], object]) -> str:
    """Return the line that a stage ends with."""
    with pytest.raises(DualStyleGANError) as raised:
        work()
    return f"{stage}: {type(raised.value).__name__}: {raised.value}"


def write_params(section: str, name: str, value: object) -> None:
    """Write params.yaml with one setting that is otherwise; None leaves it out."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content[section][name] = value
    if value is None:
        del content[section][name]
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def of_settings(section: str, name: str, value: object) -> str:
    """Return what a stage says of a setting."""
    write_params(section, name, value)
    return told_by("settings", load)


def of_portraits(files: list[str], work: Callable[[Path], object]) -> str:
    """Return what the stage says of a folder of portraits that holds some files."""
    for name in files:
        path = Path("portraits/mine", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("photo.jpg", path)
    return told_by("portraits", lambda: work(Path("portraits/mine")))


def taken_port() -> str:
    """Return what the studio says of a port that is in use."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        with pytest.raises(DualStyleGANError) as raised, listen("127.0.0.1", port):
            pass
    return f"error: {raised.value}".replace(str(port), "7860")


def portraits_without_images() -> str:
    """Return what the stage says of a folder that has no images."""
    Path("portraits/mine/style").mkdir(parents=True)
    shipped = load(ROOT / "params.yaml").portraits
    settings = shipped.model_copy(update={"source": "portraits/mine"})
    return told_by("portraits", lambda: all_items(settings))


def blank(size: tuple[int, int]) -> None:
    """Write a photo without a face."""
    Image.new("RGB", size, (120, 140, 160)).save("landscape.jpg")


def of_landscape() -> str:
    """Return what the command says of a photo without a face."""
    blank((800, 600))
    return refused("transfer", "landscape.jpg", "--style", "A", "-o", "out.png")


def of_small_face() -> str:
    """Return what the command says of a face of few pixels."""
    with Image.open("photo.jpg") as photo:
        photo.resize((72, 72), Image.Resampling.LANCZOS).save("small.png")
    return refused("transfer", "small.png", "--style", "A", "-o", "out.png")


def of_text() -> str:
    """Return what the command says of a file that is no image."""
    Path("notes.jpg").write_text("no image")
    return refused("transfer", "notes.jpg", "--style", "A", "-o", "out.png")


def of_half_an_image() -> str:
    """Return what the command says of a file that ends early."""
    data = Path("photo.jpg").read_bytes()
    Path("half.jpg").write_bytes(data[: len(data) // 2])
    return refused("transfer", "half.jpg", "--style", "A", "-o", "out.png")


def of_existing_model() -> str:
    """Return what the command says of a folder that is there."""
    Path("data/models/mine").mkdir()
    return refused("add-style", "painting.jpg", "--name", "mine", "-o", "data/models/mine")


def warned() -> str:
    """Return the warning of a fit that may not be recognised."""
    return f"warning: {LikenessWarning(0.412, 0.64, 12)}"


ONE_STYLE = ("transfer", "photo.jpg", "--style", "A")
RAISED: dict[str, Callable[[], str]] = {
    "no face found": of_landscape,
    "the face is too small": of_small_face,
    "not an image in a format that is read": of_text,
    "a damaged image": of_half_an_image,
    "no such image file": lambda: refused("transfer", "foto.jpg", "--style", "A", "-o", "out.png"),
    "the face fitted to the photo may not be recognised": warned,
    "unknown style": lambda: refused("transfer", "photo.jpg", "--style", "NAMES", "-o", "out.png"),
    "give either --style or --seed": lambda: refused("transfer", "photo.jpg", "-o", "out.png"),
    "several photos need a folder": lambda: refused(
        "transfer", "photo.jpg", "more.jpg", "--style", "A", "-o", "out.png"
    ),
    "not a format for results": lambda: refused(*ONE_STYLE, "-o", "out.gif"),
    "the size exceeds the model's resolution": lambda: refused(
        *ONE_STYLE, "--size", "1024", "-o", "out.png"
    ),
    "no portrait model of this name": lambda: refused(*ONE_STYLE, "-m", "mymodel", "-o", "out.png"),
    "a style of this name exists": lambda: refused(
        "add-style", "painting.jpg", "--name", "A", "-o", "data/models/mine"
    ),
    "the folder exists already": of_existing_model,
    "the studio cannot listen": taken_port,
    "setting is refused": lambda: of_settings("finetune", "rate", 1),
    "unknown setting": lambda: of_settings("finetune", "speed", 1),
    "setting is missing": lambda: of_settings("refine", "steps", None),
    "no images in the folder": portraits_without_images,
    "a folder of portraits under another name": lambda: of_portraits(
        ["styles/red-hat.jpg"], kind_folders
    ),
    "images outside of `style` and `content`": lambda: of_portraits(
        ["red-hat.jpg"], lambda source: check_strays(source, ())
    ),
}


@pytest.fixture(scope="module")
def desk(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with photos and a model."""
    folder = tmp_path_factory.mktemp("desk")
    lay_out(folder, weights)
    model = docs_model(weights)
    model.weights_dir = None
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DUALSTYLEGAN_WEIGHTS", raising=False)
        model.save_pretrained(folder / "model")
    return folder


@pytest.mark.parametrize("title", RAISED)
def test_an_error_is_shown_as_it_is(
    title: str, desk: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    shutil.copytree(desk, folder, ignore=shutil.ignore_patterns("model"))
    copy_model(desk / "model", folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DUALSTYLEGAN_WEIGHTS", str(weights))
    told = RAISED[title]()
    assert re.fullmatch(re.escape(SHOWN[title]).replace(re.escape("..."), ".*"), told), told


@cache
def sentences(path: str) -> frozenset[str]:
    """Return the texts in a module; the parts that are computed are dots."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        if isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else "..." for p in node.values)
            found.add("".join(map(str, parts)))
    return frozenset(found)


@pytest.mark.parametrize("title", IN_THE_CODE)
def test_a_rare_error_is_in_the_code(title: str) -> None:
    known = sentences(IN_THE_CODE[title])
    head, _, facts = SHOWN[title].partition("; ")
    problem = head[head.index(title) :]
    fix = facts.partition("fix: ")[2]
    for sentence in (problem, fix):
        assert sentence in known, sentence


def test_every_error_of_the_page_is_held() -> None:
    assert {*SHOWN} == {*RAISED, *IN_THE_CODE}
    assert PAGE.count("\n### ") == len(SHOWN)

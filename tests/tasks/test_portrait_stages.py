"""Stages portraits and align on a user's own folder: cached per portrait, refused by name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dualstylegan.errors import DataError, ImageError, OutputError, SettingsError
from dualstylegan.faces.align import align_face
from dualstylegan.io.images import read_image
from tasks import align as align_stage
from tasks import portraits as portrait_stage
from tasks.align import align, hold_out
from tasks.portraits import all_items, write_portraits
from tasks.shared.aligned import read_frames
from tasks.shared.dataframes import write_dataframe
from tasks.shared.feasibility import check_feasible
from tasks.shared.paths import KINDS, Paths
from tasks.shared.sources import kind_of
from tasks.shared.tensors import read_portraits
from tests.support.settings import ROOT, shipped


@pytest.fixture
def project(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with weights, and a folder `mine` of one face in three sizes."""
    photo = read_image(weights / "astronaut.png")
    for name, size in (("style/one", 512), ("content/one", 400), ("content/two", 300)):
        path = tmp_path / "mine" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo.resize((size, size)).save(path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/weights").symlink_to(weights.resolve())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def portraits(source: str = "portraits", styles: int = 1, contents: int = 1) -> int:
    """Write data/sets/demo/portraits from a source; return the number of portraits."""
    chosen = shipped().portraits
    changes = {"source": source, "styles": styles, "contents": contents}
    items = all_items(chosen.model_copy(update=changes))
    write_portraits(items)
    return len(items)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_own_portraits_are_aligned_and_recorded(project: Path) -> None:
    assert portraits(source="mine") == 3
    assert align(size=64, held_out=0, min_exemplars=10) == {}
    table = pd.read_parquet("data/sets/demo/aligned/manifest.parquet")
    assert list(zip(table["kind"], table["name"], strict=True)) == [
        ("content", "one"),
        ("content", "two"),
        ("style", "one"),
    ]
    assert read_image("data/sets/demo/aligned/style/one.png").size == (64, 64)
    origins = pd.read_parquet("data/sets/demo/portraits/provenance.parquet")["origin"]
    assert list(origins) == ["user: one.jpg", "user: two.jpg", "user: one.jpg"]


def test_frames_are_recorded_and_read_back(project: Path) -> None:
    """To the bit: a photo has the same code by the pipeline as by the model."""
    photo = read_image("mine/style/one.jpg")
    photo.crop((150, 60, 420, 400)).save("mine/style/close.png")
    portraits(source="mine")
    align(size=64, held_out=0, min_exemplars=10)
    frames = read_frames(Paths.exemplars, ["close", "one"])
    direct = align_face(
        read_image(Paths.portraits / "style/close.png"), 64, weights_dir="data/weights"
    )
    assert frames["one"] is None
    assert frames["close"] is not None
    assert direct.frame_Q2 is not None
    assert np.array_equal(frames["close"], direct.frame_Q2)
    portraits_read = read_portraits(Paths.exemplars, 32)
    mask = portraits_read.masks([0, 1])
    assert mask is not None
    assert not bool(mask[0].all())
    assert bool(mask[1].all())
    # a picture that covers its crop has the key that it had before there were frames
    assert portraits_read.digests[1] == portraits_read.sha256[1]
    assert portraits_read.digests[0] != portraits_read.sha256[0]


def test_a_record_without_frames_is_refused(project: Path) -> None:
    portraits(source="mine")
    align(size=64, held_out=0, min_exemplars=10)
    with pytest.raises(DataError, match="nobody"):
        read_frames(Paths.exemplars, ["nobody"])
    table = pd.read_parquet(Paths.manifest)
    write_dataframe(Paths.manifest, table.drop(columns="frame"))
    with pytest.raises(DataError, match=r"has no frames.*align"):
        read_portraits(Paths.exemplars, 32)
    Paths.manifest.unlink()
    with pytest.raises(DataError, match="no such file"):
        read_portraits(Paths.exemplars, 32)


def test_one_more_portrait_is_one_more_crop(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    portraits(source="mine")
    align(size=64, held_out=0, min_exemplars=10)
    before = contents(Path("data/sets/demo/aligned"))
    made: list[str] = []
    real = align_face

    def counted(photo: Image.Image, *args: object, **kwargs: object) -> object:
        made.append("x")
        return real(photo, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(align_stage, "align_face", counted)
    read_image("mine/style/one.jpg").rotate(5).save("mine/style/two.png")
    portraits(source="mine")
    align(size=64, held_out=0, min_exemplars=10)
    after = contents(Path("data/sets/demo/aligned"))
    assert made == ["x"]
    assert set(after) - set(before) == {"style/two.png"}
    assert all(after[k] == before[k] for k in before if k.endswith(".png"))


def test_a_portrait_without_a_face_is_left_out_by_name(project: Path) -> None:
    Image.new("RGB", (200, 200), (10, 90, 160)).save("mine/style/sky.png")
    portraits(source="mine")
    assert list(align(size=64, held_out=0, min_exemplars=10)) == ["style/sky.png"]
    table = pd.read_parquet("data/sets/demo/aligned/manifest.parquet").set_index(["kind", "name"])
    refused: Any = table.loc[("style", "sky"), "refused"]
    assert "no face" in refused
    assert not Path("data/sets/demo/aligned/style/sky.png").exists()


def test_exemplars_are_held_out_by_content_and_never_too_many() -> None:
    hashes = {f"portrait-{i}": f"{(37 * i) % 101:03d}" for i in range(24)}
    chosen = hold_out(hashes, 3, 10)
    assert chosen == {"portrait-0", "portrait-11", "portrait-22"}
    for one in range(100):  # one more portrait moves one other at most
        assert len(chosen - hold_out({**hashes, "new": f"{one:03d}"}, 3, 10)) <= 1
    for usable, wanted, held in ((24, 0, 0), (24, 50, 12), (12, 3, 2), (10, 3, 0), (1, 3, 0)):
        few = dict(list(hashes.items())[:usable])
        assert len(hold_out(few, wanted, 10)) == held


def test_held_out_exemplars_lie_where_no_training_looks(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = read_image("mine/style/one.jpg")
    for degrees in (2, 4, 6):
        photo.rotate(degrees).save(f"mine/style/turned{degrees}.png")
    portraits(source="mine")
    align(size=64, held_out=3, min_exemplars=1)
    assert "2 exemplars held out, not 3" in capsys.readouterr().out
    held = {path.stem for path in Path("data/sets/demo/aligned/held_out").iterdir()}
    left = {path.stem for path in Path("data/sets/demo/aligned/style").iterdir()}
    assert len(held) == len(left) == 2
    assert held | left == {"one", "turned2", "turned4", "turned6"}
    table = pd.read_parquet("data/sets/demo/aligned/manifest.parquet")
    assert set(table[table["held_out"]]["name"]) == held
    align(size=64, held_out=0, min_exemplars=10)
    assert not Path("data/sets/demo/aligned/held_out").exists()


def test_bad_folders_leave_nothing_half_written(project: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        portraits(source="absent")
    Path("mine/style/text.png").write_text("no image")
    with pytest.raises(ImageError, match=r"text\.png"):
        portraits(source="mine")
    assert not Path("data/sets/demo/portraits").exists()
    for path in Path("mine/style").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="no images"):
        portraits(source="mine")


def test_what_a_folder_does_not_have_is_generated(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Own exemplars go with generated faces, and the other way round."""
    asked: list[tuple[int | None, int]] = []
    photo = read_image("mine/style/one.jpg")

    def generated(styles: int | None, contents: int) -> list[portrait_stage.Item]:
        asked.append((styles, contents))
        return [portrait_stage.Item(k, f"new_{k}", k, k, lambda: (photo, {})) for k in KINDS]

    def made() -> list[str]:
        return sorted(
            str(p.relative_to("data/sets/demo/portraits")) for p in Paths.portraits.rglob("*.png")
        )

    monkeypatch.setattr(portrait_stage, "generated_items", generated)
    Path("portraits").mkdir()
    Path("portraits/README.md").write_text("nothing yet")
    assert portraits(styles=3, contents=2) == 2
    assert asked == [(3, 2)]
    assert made() == ["content/new_content.png", "style/new_style.png"]
    shutil.rmtree("mine/content")
    portraits(source="mine")
    assert made() == ["content/new_content.png", "style/one.png"]


def test_names_are_mapped_once_and_kept_as_labels(project: Path) -> None:
    Path("mine/style/one.jpg").rename("mine/style/Zoë #1.jpg")
    portraits(source="mine")
    table = pd.read_parquet("data/sets/demo/portraits/provenance.parquet").set_index("kind")
    name: Any = table.loc["style", "name"]
    assert "#" not in name
    assert table.loc["style", "label"] == "Zoë #1"
    assert Path(f"data/sets/demo/portraits/style/{name}.png").is_file()
    read_image("mine/style/Zoë #1.jpg").save("mine/style/Zoë #1.png")
    with pytest.raises(DataError, match=r"Zoë #1\.jpg and Zoë #1\.png"):
        portraits(source="mine")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Style", "style"),
        ("styles", "style"),
        ("sytle", "style"),
        ("Exemplars", "style"),
        ("contents", "content"),
        ("Contnet", "content"),
        ("faces", "content"),
    ],
)
def test_a_folder_that_is_nearly_of_a_kind_is_refused(project: Path, name: str, kind: str) -> None:
    Path("mine", kind).rename(f"mine/{name}")
    with pytest.raises(DataError, match=f"{name}.*rename it to `{kind}`"):
        portraits(source="mine")


def test_other_folders_are_of_no_kind() -> None:
    assert [kind_of(name) for name in ("notes", "backup", "2024", "old")] == [None] * 4


def test_everything_that_is_not_taken_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = read_image("mine/style/one.jpg")
    photo.save("mine/loose.png")
    Path("mine/README.md").write_text("the project's own")
    for folder in ("mine/backup", "mine/style/more"):
        Path(folder).mkdir()
    Path("mine/style/clip.mp4").write_bytes(b"film")
    assert portraits(source="mine") == 3
    told = capsys.readouterr().out
    for name in ("mine/loose.png", "mine/backup", "mine/style/more", "mine/style/clip.mp4"):
        assert f"not taken: {name}: " in told
    assert "README" not in told
    for kind in KINDS:
        shutil.rmtree(f"mine/{kind}")
    with pytest.raises(DataError, match=r"loose\.png.*move exemplars"):
        portraits(source="mine")


def test_a_zip_archive_is_a_source(project: Path) -> None:
    portraits(source="mine")
    before = contents(Paths.portraits)
    shutil.make_archive("mine", "zip", ".", "mine")
    shutil.rmtree("mine")
    portraits(source="mine.zip")
    assert contents(Paths.portraits) == before
    Path("mine.zip").write_bytes(Path("mine.zip").read_bytes()[:-4000])
    with pytest.raises(DataError, match=r"mine\.zip"):
        portraits(source="mine.zip")


def test_a_single_face_is_filled_up_with_a_generated_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine/content/two.jpg").unlink()
    assert portraits(source="mine") == 3
    assert sorted(path.stem for path in Path("data/sets/demo/portraits/content").iterdir()) == [
        "face00",
        "one",
    ]
    assert "content faces: 1" in capsys.readouterr().out
    assert align(size=64, held_out=0, min_exemplars=10) == {}


def test_a_linked_folder_is_refused_since_dvc_does_not_follow_it(project: Path) -> None:
    """DVC sees changes behind links to files and a source that is a link, but not these."""
    Path("mine/style").rename("elsewhere")
    Path("mine/style").symlink_to(project / "elsewhere")
    with pytest.raises(DataError, match=r"link.*`source` in params"):
        portraits(source="mine")
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    Path("portraits").mkdir()
    Path("portraits/demo").symlink_to(project / "mine")
    told = subprocess.run(
        [sys.executable, "-m", "tasks.shared.sources"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 2
    assert "a link to a folder" in told.stderr
    assert told.stderr.count("\n") == 1
    Path("mine/style").unlink()
    Path("mine/style").mkdir()
    Path("mine/style/one.jpg").symlink_to(project / "elsewhere/one.jpg")
    Path("link").symlink_to("mine")
    assert portraits(source="link") == 3


def test_what_later_stages_refuse_is_refused_before_training(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("data/base").symlink_to(ROOT / "data/base")
    settings = shipped()
    check_feasible(settings, 2, 2)
    for faces, exemplars in ((1, 9), (9, 1), (0, 0)):
        with pytest.raises(DataError, match="at least 2 content faces and 2 exemplars"):
            check_feasible(settings, faces, exemplars)
    runtime = settings.runtime.model_copy(update={"device": "cuda:99"})
    with pytest.raises(SettingsError, match="cuda:99"):
        check_feasible(settings.model_copy(update={"runtime": runtime}), 2, 2)
    full = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(OutputError, match="not enough space"):
        check_feasible(settings, 2, 2)

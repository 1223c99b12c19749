"""`dualstylegan transfer` into a folder: nothing is lost, nothing is made twice."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualstylegan.cli import main
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.result import facts_of
from tests.support.command import Done, run
from tests.support.portrait_models import STYLE_NAMES, tiny_model, with_sampler


def photo(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (10, 10, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((70, 90), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "portrait"
    with_sampler(tiny_model(resolution=256)).save_pretrained(folder)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.jpg")):
        photo(seed).save(folder / name)
    return folder


def restyle(model: Path, *arguments: object) -> Done:
    return run("transfer", "-m", model, "--no-align", "--fit-steps", 0, *arguments)


def test_every_photo_is_restyled_in_every_style(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = restyle(model, photos, "-o", out, "--style", "stone,blue-heron")
    assert done.status == 0, done.stderr
    names = [f"{stem}_{style}.png" for stem in "ab" for style in ("stone", "blue-heron")]
    assert sorted(p.name for p in out.iterdir()) == sorted([*names, "contact-sheet.jpg"])
    assert [line.split()[0] for line in done.stdout.splitlines()] == [str(out / n) for n in names]
    assert "2 photos: 4 made, 0 kept, 0 failed" in done.stderr
    expected = PortraitModel.from_pretrained(model).transfer(photo(0), "stone", align=False)
    with Image.open(out / "a_stone.png") as made:
        assert made.tobytes() == expected.tobytes()
        assert facts_of(made) == facts_of(expected)
    with Image.open(out / "contact-sheet.jpg") as sheet:
        assert sheet.width > 3 * 128
        assert sheet.height > 2 * 128


def test_results_that_are_there_are_kept_and_others_made(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    asked = (photos, "-o", out, "--style", "all")
    assert restyle(model, *asked).status == 0
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert len(before) == 2 * len(STYLE_NAMES)

    def remade(*more: object) -> set[str]:
        done = restyle(model, *asked, *more)
        assert done.status == 0, done.stderr
        return {p.name for p, mtime in before.items() if p.stat().st_mtime_ns != mtime}

    assert remade() == set()
    (out / "a_stone.png").write_bytes((out / "a_stone.png").read_bytes()[:400])
    (out / "b_stone.png").unlink()
    photo(5).save(out / "b_blue-heron.png")
    (photos / "c.png").write_bytes((photos / "a.png").read_bytes())
    assert remade() == {"a_stone.png", "b_stone.png", "b_blue-heron.png"}
    assert (out / "c_stone.png").is_file()
    assert remade("--structure", 0.5) == {path.name for path in before}


@pytest.mark.parametrize("change", ["photo", "model"])
def test_another_photo_or_model_makes_results_anew(
    model: Path, photos: Path, tmp_path: Path, change: str
) -> None:
    out = tmp_path / "out"
    assert restyle(model, photos, "-o", out, "--style", "stone").status == 0
    if change == "photo":
        photo(7).save(photos / "a.png")
        made = 1
    else:
        shutil.copytree(model, tmp_path / "other")
        tiny_model(seed=1, resolution=256).save_pretrained(tmp_path / "other")
        model, made = tmp_path / "other", 2
    done = restyle(model, photos, "-o", out, "--style", "stone", "--json")
    assert json.loads(done.stdout)["made"] == made


def test_a_photo_that_fails_is_named_and_the_others_go_on(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (photos / "aa.jpg").write_text("no picture")
    missing = tmp_path / "missing.png"
    done = restyle(model, missing, photos, "-o", out, "--style", "stone", "--json")
    assert done.status == 1
    told = json.loads(done.stdout)
    assert (told["made"], told["kept"], told["failed"]) == (2, 0, 2)
    assert told["sheet"] == str(out / "contact-sheet.jpg")
    failed = {r["photo"]: r["error"] for r in told["results"] if r["status"] == "failed"}
    assert set(failed) == {str(missing), str(photos / "aa.jpg")}
    for path, error in failed.items():
        assert error.startswith(path)
        assert f"error: {error}" in done.stderr.splitlines()
    made = [Path(r["output"]) for r in told["results"] if r["status"] == "made"]
    assert all(path.is_file() for path in made)
    assert told["results"][1]["facts"]["style"] == "stone"


def test_a_result_that_cannot_be_written_fails_alone(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "a_stone.png").mkdir(parents=True)
    done = restyle(model, photos, "-o", out, "--style", "stone")
    assert done.status == 1
    assert "a_stone.png: cannot be written" in done.stderr
    assert (out / "b_stone.png").is_file()


def test_photos_of_one_name_have_results_of_their_own(model: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "x" / "p.png", tmp_path / "y" / "p.png"]
    for seed, path in enumerate(paths):
        path.parent.mkdir()
        photo(seed).save(path)
    out = tmp_path / "out"
    assert restyle(model, *paths, "-o", out, "--style", "stone").status == 0
    assert {p.name for p in out.glob("*.png")} == {"x_p.png_stone.png", "y_p.png_stone.png"}
    done = restyle(model, paths[0], paths[0], "-o", out, "--style", "stone")
    assert done.status == 2
    assert "given twice" in done.stderr


def test_mixes_and_drawn_styles_have_names_of_their_own(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    mix = ("--style", "stone:3", "--style", "blue-heron:1")
    assert restyle(model, photos / "a.png", "-o", out, *mix).status == 0
    (made,) = out.glob("a_stone*.png")
    with Image.open(made) as image:
        assert facts_of(image)["dualstylegan:style"] == "stone:0.75 blue-heron:0.25"
    assert restyle(model, photos / "a.png", "-o", out, "--seed", 7).status == 0
    with Image.open(out / "a_seed-7.png") as image:
        assert facts_of(image)["dualstylegan:seed"] == "7"
    assert restyle(model, photos / "a.png", "-o", tmp_path / "one.webp", *mix).status == 0
    with Image.open(tmp_path / "one.webp") as one, Image.open(made) as other:
        assert facts_of(one) == facts_of(other)


def test_loudness(model: Path, photos: Path, tmp_path: Path) -> None:
    asked = (photos / "a.png", "-o", tmp_path / "out", "--style", "stone")
    quiet = restyle(model, *asked, "-q")
    assert (quiet.status, quiet.stdout, quiet.stderr) == (0, "", "")
    assert "kept" in restyle(model, *asked, "-v").stderr
    done = run("-q", "transfer", tmp_path / "none.png", "-m", model, "-o", "x.png", "--style", "q")
    assert done.status == 2
    assert done.stderr.startswith("error: ")


def test_one_photo_as_json(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.jpg"
    done = restyle(model, photos / "a.png", "-o", out, "--style", "stone", "--json")
    told = json.loads(done.stdout)
    assert told["made"] == 1
    assert told["results"][0]["output"] == str(out)


def test_a_folder_without_photos_is_named(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = restyle(model, tmp_path / "empty", "-o", tmp_path / "out", "--style", "stone")
    assert done.status == 2
    assert "empty: no photos" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["sheet.png", "sheet.jpg"])
def test_styles_are_shown_on_a_sheet(model: Path, tmp_path: Path, name: str) -> None:
    assert run("styles", model, "--sheet", tmp_path / name).status == 0
    with Image.open(tmp_path / name) as sheet:
        pixels = np.asarray(sheet.convert("L"))
    assert sheet.width > len(STYLE_NAMES) * 128
    assert len(np.unique(pixels[4:132, 4 + 3 * 132 : 3 * 132 + 130])) > 100  # the one thumbnail
    done = run("styles", model, "--sheet", tmp_path)
    assert done.status == 2
    assert "name a file" in done.stderr


def test_the_shell_completes_names_of_styles(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("_DUALSTYLEGAN_COMPLETE", "complete_bash")
    monkeypatch.setattr(sys, "argv", ["dualstylegan"])
    # the name under which the shell asks, also where a module has started this process
    monkeypatch.setattr(sys.modules["__main__"], "__package__", None)

    def completed(folder: Path, begun: str) -> list[str]:
        words = ["dualstylegan", "transfer", "a.png", "-m", str(folder), "--style", begun]
        monkeypatch.setenv("COMP_WORDS", " ".join(words))
        monkeypatch.setenv("COMP_CWORD", "6")
        capsys.readouterr()
        with pytest.raises(SystemExit):
            main()
        return capsys.readouterr().out.split()

    assert completed(model, "am") == ["amber-fox", "amber-owl"]
    assert completed(model, "stone,b") == ["stone,blue-heron"]
    assert completed(tmp_path, "a") == []

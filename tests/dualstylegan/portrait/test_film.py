"""Film: it begins and ends on what `restyle` shows, moves smoothly, and plays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualstylegan.errors import SettingsError
from dualstylegan.portrait.film import (
    FilmPlan,
    KeyFrame,
    ease,
    encode_film,
    film_facts,
    film_frames,
    key_frames,
    write_film,
)
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.options import RestyleOptions
from dualstylegan.portrait.result import facts_of
from dualstylegan.portrait.sitter import Sitter
from dualstylegan.portrait.style_choice import ChosenStyle, choose_style
from tests.support.command import run
from tests.support.portrait_models import tiny_model

PX = 64
OPTIONS = RestyleOptions(size=PX)
PLAN = FilmPlan(seconds=1, fps=4)


@pytest.fixture(scope="module")
def model() -> PortraitModel:
    return tiny_model(resolution=PX)


@pytest.fixture(scope="module")
def sitters(model: PortraitModel) -> list[Sitter]:
    """Two sitters whose codes differ."""
    first = model.read(Image.linear_gradient("L").convert("RGB"), align=False)
    (face,) = first.faces
    torch.manual_seed(0)
    fit = replace(face.fit, code_LD=torch.randn(face.fit.code_LD.shape).numpy())
    return [first, replace(first, faces=(replace(face, fit=fit),))]


@pytest.fixture(scope="module")
def styles(model: PortraitModel) -> list[ChosenStyle]:
    return [choose_style(model, name, None, OPTIONS) for name in ("stone", "blue-heron")]


def frames_of(
    model: PortraitModel, keys: list[KeyFrame], plan: FilmPlan = PLAN
) -> list[Image.Image]:
    frames = list(film_frames(model, keys, plan, OPTIONS))
    assert len(frames) == plan.frames(len(keys))
    return frames


def milliseconds(film: Image.Image) -> int:
    """Return the length of an animation, whose equal frames are one longer frame."""
    total = 0
    for index in range(film.n_frames):  # type: ignore[attr-defined]
        film.seek(index)
        film.load()
        total += film.info["duration"]
    return total


def test_key_frames_change_either_face_or_style(
    model: PortraitModel, sitters: list[Sitter], styles: list[ChosenStyle]
) -> None:
    keys = key_frames(model, sitters, styles)
    assert [key.style.name for key in keys] == ["stone", "blue-heron", "blue-heron", "stone"]
    assert np.array_equal(keys[0].face_LD, keys[1].face_LD)
    assert not np.array_equal(keys[1].face_LD, keys[2].face_LD)


def test_a_film_shows_its_key_frames_as_restyle_does(
    model: PortraitModel, sitters: list[Sitter], styles: list[ChosenStyle]
) -> None:
    frames = frames_of(model, key_frames(model, sitters, styles))
    shown = [frames[index].tobytes() for index in (0, 4, 8, 12)]
    asked = [(0, "stone"), (0, "blue-heron"), (1, "blue-heron"), (1, "stone")]
    expected = [model.restyle(sitters[i], name, size=PX).tobytes() for i, name in asked]
    assert shown == expected
    half = model.restyle(sitters[0], {"stone": 0.5, "blue-heron": 0.5}, size=PX)
    difference = np.asarray(frames[2]).astype(int) - np.asarray(half)
    assert np.abs(difference).max() <= 1  # the same mix, rounded otherwise


def test_a_loop_leads_back_to_its_start(
    model: PortraitModel, sitters: list[Sitter], styles: list[ChosenStyle]
) -> None:
    keys = key_frames(model, sitters[:1], styles)
    frames = frames_of(model, keys, FilmPlan(1, 4, loop=True))
    there, back = frames[1:4], frames[5:8]
    for one, other in zip(there, reversed(back), strict=True):
        difference = np.asarray(one).astype(int) - np.asarray(other)
        assert np.abs(difference).max() <= 1


def test_motion_is_eased() -> None:
    shares = [ease(i / 100) for i in range(101)]
    steps = np.diff(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert (steps > 0).all()
    assert max(steps[0], steps[-1]) < 0.02 * steps[50] * 2
    np.testing.assert_allclose(steps, steps[::-1], atol=1e-12)


@pytest.mark.parametrize("loop", [False, True])
def test_a_film_plays(
    model: PortraitModel,
    sitters: list[Sitter],
    styles: list[ChosenStyle],
    loop: bool,
    tmp_path: Path,
) -> None:
    plan = FilmPlan(seconds=0.5, fps=8, loop=loop)
    keys = key_frames(model, sitters[:1], styles)
    told: list[tuple[int, int]] = []
    count = plan.frames(len(keys))
    facts = film_facts(model, sitters[:1], styles, OPTIONS)
    data = encode_film(
        film_frames(model, keys, plan, OPTIONS),
        count,
        plan,
        facts,
        lambda *x: told.append(x),
    )
    (tmp_path / "film.webp").write_bytes(data)
    with Image.open(tmp_path / "film.webp") as film:
        assert told[-1] == (count, count)
        assert film.info["loop"] == (0 if loop else 1)
        assert facts_of(film) == facts
        assert milliseconds(film) == count * 125


@pytest.mark.parametrize(
    ("plan", "keys", "size", "said"),
    [
        (FilmPlan(), 1, 64, "two key frames"),
        (FilmPlan(seconds=0), 2, 64, "seconds"),
        (FilmPlan(seconds=float("nan")), 2, 64, "seconds"),
        (FilmPlan(fps=0), 2, 64, "fps"),
        (FilmPlan(seconds=60, fps=60), 20, 1024, "too many frames"),
    ],
)
def test_films_without_sense_are_refused(plan: FilmPlan, keys: int, size: int, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        plan.check(keys, size)


def test_the_command_films_styles_and_faces(tmp_path: Path) -> None:
    tiny_model(resolution=256).save_pretrained(tmp_path / "model")
    for name, image in (("a", Image.linear_gradient("L")), ("b", Image.radial_gradient("L"))):
        image.convert("RGB").save(tmp_path / f"{name}.png")
    photos = [tmp_path / "a.png", tmp_path / "b.png"]
    given = ("film", *photos, "-m", tmp_path / "model", "--no-align", "--fit-steps", 0)
    timing = ("--seconds", 0.5, "--fps", 4)
    out = tmp_path / "film.webp"
    done = run(*given, "--style", "stone", "--style", "blue-heron", "-o", out, *timing)
    assert done.status == 0, done.stderr
    assert "7 frames" in done.stdout
    with Image.open(out) as film:
        assert milliseconds(film) == 7 * 250
    for asked, said in (
        (("--style", "stone", "-o", tmp_path / "film.gif"), "not a format for"),
        (("--style", "stone", "-o", tmp_path), "not a format for films"),
        (("--style", "stoned", "-o", out), "did you mean stone"),
    ):
        refused = run(*given, *asked)
        assert refused.status == 2
        assert said in refused.stderr
    alone = run(*given[:2], *given[3:], "--style", "stone", "-o", out)
    assert (alone.status, "two key frames" in alone.stderr) == (2, True)


def test_a_film_is_written_as_a_video_too(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="videos need the extra [video]")
    from dualstylegan.io.video_reading import Picture, open_video

    shades = [Image.new("RGB", (64, 64), (40 * i, 90, 120)) for i in range(5)]
    write_film(tmp_path / "film.mp4", shades, 5, FilmPlan(fps=8), {"dualstylegan:model": "m"})
    with open_video(tmp_path / "film.mp4") as reader:
        pictures = [part for part in reader.parts() if isinstance(part, Picture)]
    assert [p.seconds for p in pictures] == [i / 8 for i in range(5)]
    for picture, shade in zip(pictures, shades, strict=True):
        assert np.abs(np.asarray(picture.image, float) - np.asarray(shade, float)).max() < 4

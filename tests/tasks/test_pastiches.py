"""Stage pastiches: faces painted by the exemplars' own recipes, cached; none of a user's set."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dualstylegan.errors import FaceError
from dualstylegan.faces.align import align_face
from dualstylegan.io.images import read_image, write_png
from tasks import pastiches as stage
from tasks.demo.recipes import STRENGTH_SHARES, recipes, strongest
from tasks.shared.dataframes import write_dataframe
from tasks.shared.pastiches import read_pastiches
from tasks.shared.paths import Paths
from tests.support.settings import shipped

SIZE = 128
FIRST, SECOND, THIRD = recipes(3)


@pytest.fixture
def project(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one aligned face, an empty picture, and exemplars of two recipes."""
    monkeypatch.chdir(tmp_path)
    Paths.data.mkdir()
    Paths.weights.symlink_to(weights.resolve())
    photo = read_image(weights / "astronaut.png")
    write_png(Paths.faces / "ada.png", align_face(photo, SIZE, weights_dir=weights).image)
    write_png(Paths.faces / "sky.png", Image.new("RGB", (SIZE, SIZE), (10, 90, 160)))
    for name in (FIRST.name, SECOND.name, "mine"):
        write_png(Paths.exemplars / f"{name}.png", Image.new("RGB", (8, 8)))
    rows = [{"kind": "style", "name": r.name, **vars(r)} for r in (FIRST, SECOND, THIRD)]
    rows += [{"kind": "style", "name": "mine"}, {"kind": "content", "name": "ada", "seed": 1}]
    Paths.portraits.mkdir()
    write_dataframe(Paths.portraits_record, pd.DataFrame(rows))
    return tmp_path


def run(styles: int = 3) -> None:
    changes = {"contents": None, "styles": styles}
    stage.run(shipped().pastiches.model_copy(update=changes))


def test_faces_are_painted_by_the_recipes_of_the_exemplars_the_same_every_time(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    made = read_pastiches()
    assert set(made) == {("ada", FIRST.name), ("ada", SECOND.name)}
    face = np.asarray(read_image(Paths.faces / "ada.png"), float)
    pictures = [np.asarray(image, float) for image in made.values()]
    assert [picture.shape for picture in pictures] == [(SIZE, SIZE, 3)] * 2
    for picture in pictures:
        # the same picture, light and dark, in other colours
        assert np.corrcoef(picture.mean(2).ravel(), face.mean(2).ravel())[0, 1] > 0.6
        assert np.abs(picture - face).mean() > 15
    assert f"left out sky in {FIRST.name}: no face found" in capsys.readouterr().out
    table = pd.read_parquet(Paths.pastiches_record)
    assert set(table[table["refused"] == ""]["strength"]) == {FIRST.strength, SECOND.strength}
    before = {pair: image.tobytes() for pair, image in made.items()}
    shutil.rmtree(Paths.cache / stage.STAGE)
    run(styles=1)
    again = read_pastiches()
    assert {pair: image.tobytes() for pair, image in again.items()} == {
        pair: before[pair] for pair in again
    }
    assert len(again) == 1


def test_nothing_is_painted_twice(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    painted: list[str] = []

    def paint(image: Image.Image, points: object, recipe: object, *others: object) -> Image.Image:
        painted.append(str(recipe))
        return image

    monkeypatch.setattr(stage, "paint_face", paint)
    run()
    assert len(painted) == 2
    run()
    assert len(painted) == 2


@pytest.mark.parametrize("columns", [[], ["character", "palette", "brush", "strength", "seed"]])
def test_a_users_set_has_none(project: Path, columns: list[str]) -> None:
    """Exemplars without recipes, whether or not the content faces are the demo's."""
    rows = [{"kind": "style", "name": "mine", "origin": "user: mine.jpg"}]
    write_dataframe(Paths.portraits_record, pd.DataFrame(rows, columns=[*rows[0], *columns]))
    run()
    assert read_pastiches() == {}
    assert list(pd.read_parquet(Paths.pastiches_record)) == list(stage.COLUMNS)


def test_a_lower_strength_is_tried_where_no_face_is_found() -> None:
    picture, tried = Image.new("RGB", (8, 8)), []

    def paint(strength: float) -> Image.Image:
        tried.append(strength)
        if strength > 0.7 * FIRST.strength:
            raise FaceError("no face found")
        return picture

    assert strongest(FIRST, paint) == (picture, round(0.6 * FIRST.strength, 3))
    assert tried == [FIRST.strength * share for share in STRENGTH_SHARES]
    with pytest.raises(FaceError, match=SECOND.name):
        strongest(SECOND, lambda strength: paint(9.0))

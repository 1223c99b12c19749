"""Equality of all entry points to the bit, for one photo, one style and one model.

Commands run in processes of their own whose working folder is empty, so that nothing but the model
can be read: a small one, registered in a project that lies in a temporary folder. The evaluation is
compared on the embedded networks, in its own precision and batch.
"""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from dualstylegan.errors import LikenessWarning
from dualstylegan.evaluation.eval_set import dualstylegan
from dualstylegan.evaluation.rendering import build_eval_set
from dualstylegan.faces.align import align_face
from dualstylegan.io.files import write_json
from dualstylegan.io.images import png_bytes, read_image, write_png
from dualstylegan.networks.loading import EMBEDDED_CONFIG, EmbeddedNetworks
from dualstylegan.networks.precision import compute_dtype, dtype_of
from dualstylegan.portrait.config import PortraitConfig
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.result import PREFIX, facts_of
from dualstylegan.portrait.styles import StyleLibrary
from tasks.package import transfer_defaults
from tasks.register import register
from tasks.shared.aligned import FRAME, read_aligned
from tasks.shared.dataframes import write_dataframe
from tasks.shared.fits import fit_faces
from tasks.shared.paths import Paths
from tasks.shared.renderings import to_image
from tasks.shared.results import plan_of
from tasks.shared.sets import load
from tasks.shared.settings import Settings
from tests.support.portrait_models import tiny_model
from tests.support.settings import ROOT, write_params

STYLE = "stone"
STEPS = {"package": {"fit_steps": 2}}
TRANSFERS = """
import sys
from dualstylegan.cli import main
photo, style, *models = sys.argv[1:]
for number, model in enumerate(models):
    sys.argv[1:] = ["transfer", photo, "-m", model, "--style", style, "-o", f"{number}.png"]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, ended.code
"""
PREDICT = """
import json, mlflow, pandas
model = mlflow.pyfunc.load_model("models:/dualstylegan-demo@champion")
(row,) = model.predict(pandas.DataFrame(json.load(open('row.json')))).to_dict("records")
print(json.dumps(row))
"""


def make_project(root: Path, weights: Path) -> Settings:
    """Link weights and base models into a project with few steps; return its settings."""
    (root / "data").mkdir()
    (root / "data/weights").symlink_to(weights)
    (root / "data/base").symlink_to(ROOT / "data/base")
    return load(write_params(root, STEPS))


@dataclass(frozen=True)
class Built:
    """Project with a registered model, a photo and the image that Python makes of it."""

    root: Path
    photo: Path
    expected: Image.Image

    def run(self, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
        """Run Python in an empty folder with this project's registry."""
        environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.root / 'mlflow.db'}",
            "PYTHONPATH": str(ROOT),
        }
        environment.pop("DUALSTYLEGAN_WEIGHTS", None)
        done = subprocess.run(
            [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done

    def check(self, image: Image.Image) -> None:
        """Check that a PNG has the pixels and the facts of the expected image."""
        assert np.array_equal(np.asarray(image), np.asarray(self.expected))
        facts = facts_of(image)
        assert facts == facts_of(self.expected)
        assert {f"{PREFIX}likeness", f"{PREFIX}warning"} <= set(facts)


@pytest.fixture(scope="module")
def built(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        settings = make_project(root, weights)
        model = tiny_model(resolution=256)
        defaults = transfer_defaults(settings)
        model.config = model.config.model_copy(update={"bfloat16": True, "defaults": defaults})
        model.weights_dir = weights
        model.save_pretrained(Paths.portrait)
        measured = {"style_distance": 0.1, "identity_same": 0.5}
        write_json(
            Paths.metrics, {k: {"value": v, "low": v, "high": v} for k, v in measured.items()}
        )
        register(settings)
        with pytest.warns(LikenessWarning, match="more fit steps"):
            expected = PortraitModel.from_pretrained(Paths.portrait).transfer(
                read_image(weights / "astronaut.png"), STYLE
            )
        yield Built(root, weights / "astronaut.png", expected)


def test_the_command_in_an_empty_folder(built: Built, tmp_path: Path) -> None:
    """A registered model, and a folder: one after the other, which saves an import of torch."""
    models = ("models:/dualstylegan-demo@champion", str(built.root / Paths.portrait))
    done = built.run(tmp_path, "-c", TRANSFERS, str(built.photo), STYLE, *models)
    for number in range(len(models)):
        built.check(Image.open(tmp_path / f"{number}.png"))
    lines = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert lines == [f"warning: {built.expected.info[f'{PREFIX}warning']}"] * len(models)


def test_the_served_model_in_an_empty_folder(built: Built, tmp_path: Path) -> None:
    image = base64.b64encode(built.photo.read_bytes()).decode()
    row = json.dumps([{"image": image, "style": STYLE}])
    (tmp_path / "row.json").write_text(row)
    done = built.run(tmp_path, "-c", PREDICT)
    answer = json.loads(done.stdout.splitlines()[-1])
    result = Image.open(io.BytesIO(base64.b64decode(answer["image"])))
    built.check(result)
    facts = {key.removeprefix(PREFIX): text for key, text in facts_of(result).items()}
    likeness = f"{answer['likeness'][0]:.3f}"
    assert facts == answer["recipe"] | {"likeness": likeness, "warning": answer["warning"]}


def test_the_evaluation_renders_what_transfer_returns(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fit a content face as the stage `package` does; restyle it in batches of several styles.

    Its crop reaches beyond the photo: both fits leave out what lies outside.
    """
    monkeypatch.chdir(tmp_path)
    settings = make_project(tmp_path, weights)
    networks = EmbeddedNetworks(weights, ROOT / "data/base")
    network = networks.dualstylegan()
    styles = ("a", "b", "c", "d", "e")
    shape = (len(styles), network.generator.rows, network.generator.style_dim)
    torch.manual_seed(0)
    config = PortraitConfig(
        network=EMBEDDED_CONFIG,
        bfloat16=settings.profile.bfloat16,
        defaults=transfer_defaults(settings),
        styles=styles,
    )
    library = StyleLibrary(styles, torch.randn(shape), torch.randn(shape))
    model = PortraitModel(config, network, networks.encoder(), library, weights_dir=weights)
    photo = read_image(weights / "astronaut.png").crop((150, 60, 420, 400))
    face = align_face(photo, settings.align.size, weights_dir=weights)
    assert face.frame is not None
    write_png(Paths.faces / "astronaut.png", face.image)
    row = {"kind": "content", "name": "astronaut", FRAME: face.frame.reshape(-1)}
    write_dataframe(Paths.manifest, pd.DataFrame([row]))

    table = fit_faces(model)
    fitted = torch.from_numpy(model.fit(face.image, frame=face.frame).code_LD)
    assert torch.equal(fitted, table.codes_NLD[0])
    assert set(table.losses) == {"likeness"}

    plan = plan_of(settings)
    assert 1 < plan.batch < len(styles)
    codes = dict(zip(table.names, table.codes_NLD, strict=True))
    exemplars = [(name, face.image) for name in styles]
    eval_set = build_eval_set(model, read_aligned(Paths.faces), codes, exemplars, plan)
    with torch.no_grad(), compute_dtype(model.generator, dtype_of(plan.bfloat16, model.device)):
        results = eval_set.restyle(dualstylegan(model, plan.size), lambda *_: None)
    for index in (1, 4):  # of a full batch, and alone in the last one
        expected = model.transfer(photo, styles[index])
        assert png_bytes(to_image(results[0, index])) == png_bytes(expected)

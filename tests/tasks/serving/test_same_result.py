"""Equality of all entry points to the bit, for one photo, one style and one model.

The model is packaged as the pipeline does it, from the embedded networks with two styles of random
codes, in a project that lies in a temporary folder. Commands run in processes of their own whose
working folder is empty, so that nothing but the model can be read.
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
import pytest
import torch
from PIL import Image

from dualstylegan.evaluation.eval_set import dualstylegan
from dualstylegan.evaluation.run import build_eval_set
from dualstylegan.faces.align import align_face
from dualstylegan.io.files import write_json
from dualstylegan.io.images import png_bytes, read_image, thumbnail, write_png
from dualstylegan.networks.loading import EMBEDDED_CONFIG, EmbeddedNetworks
from dualstylegan.networks.precision import compute_dtype, dtype_of
from dualstylegan.portrait.config import PortraitConfig
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.styles import StyleLibrary
from tasks.evaluate import plan_of
from tasks.invert import Inverter
from tasks.package import transfer_defaults
from tasks.register import register
from tasks.shared.aligned import read_aligned
from tasks.shared.paths import Paths
from tasks.shared.settings import Settings, load
from tests.support.settings import ROOT, write_params

STYLES = ("first", "second")
PREDICT = """
import json, mlflow, pandas
model = mlflow.pyfunc.load_model("models:/dualstylegan@champion")
(text,) = model.predict(pandas.DataFrame(json.load(open('row.json'))))
print(text)
"""


@dataclass(frozen=True)
class Built:
    """Project with a registered model, its settings, a photo and the image that Python makes."""

    root: Path
    settings: Settings
    photo: Path
    expected: Image.Image

    def run(self, folder: Path, *command: str) -> str:
        """Run Python in an empty folder with this project's registry; return what it prints."""
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
        return done.stdout


@pytest.fixture(scope="module")
def built(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        (root / "data").mkdir()
        (root / "data/weights").symlink_to(weights)
        (root / "data/base").symlink_to(ROOT / "data/base")
        # images of one batch are rounded together: transfer renders one at a time
        changes = {"invert": {"content_steps": 2}, "runtime": {"render_batch": 1}}
        settings = load(write_params(root, changes))
        networks = EmbeddedNetworks(weights, ROOT / "data/base")
        network = networks.dualstylegan()
        torch.manual_seed(0)
        shape = (len(STYLES), network.generator.rows, network.generator.style_dim)
        config = PortraitConfig(
            network=EMBEDDED_CONFIG,
            bfloat16=settings.profile.bfloat16,
            defaults=transfer_defaults(settings),
            styles=STYLES,
        )
        photo = read_image(weights / "astronaut.png")
        model = PortraitModel(
            config,
            network,
            networks.encoder(),
            StyleLibrary(STYLES, torch.randn(shape), torch.randn(shape)),
            thumbnails={name: thumbnail(photo, 128) for name in STYLES},
            weights_dir=weights,
        )
        model.save_pretrained(Paths.portrait)
        measured = {"kid_results": 0.1, "identity_same": 0.5}
        write_json(
            Paths.metrics, {k: {"value": v, "low": v, "high": v} for k, v in measured.items()}
        )
        register(settings)
        expected = PortraitModel.from_pretrained(Paths.portrait).transfer(photo, STYLES[1])
        yield Built(root, settings, weights / "astronaut.png", expected)


def same(first: Image.Image, second: Image.Image) -> bool:
    return bool(np.array_equal(np.asarray(first.convert("RGB")), np.asarray(second)))


@pytest.mark.parametrize("registered", [False, True])
def test_the_command_in_an_empty_folder(built: Built, tmp_path: Path, registered: bool) -> None:
    model = "models:/dualstylegan@champion" if registered else str(built.root / Paths.portrait)
    built.run(
        tmp_path,
        *(
            "-c",
            "from dualstylegan.cli import main; main()",
            "transfer",
            str(built.photo),
            "-m",
            model,
        ),
        *("--style", STYLES[1], "-o", "out.png"),
    )
    assert same(Image.open(tmp_path / "out.png"), built.expected)


def test_the_served_model_in_an_empty_folder(built: Built, tmp_path: Path) -> None:
    image = base64.b64encode(built.photo.read_bytes()).decode()
    row = json.dumps([{"image": image, "style": STYLES[1]}])
    (tmp_path / "row.json").write_text(row)
    text = built.run(tmp_path, "-c", PREDICT).splitlines()[-1]
    assert same(Image.open(io.BytesIO(base64.b64decode(text))), built.expected)


def test_the_evaluation_renders_it(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(built.root)
    face = align_face(read_image(built.photo), built.settings.align.size, weights_dir=Paths.weights)
    aligned = Paths.faces
    write_png(aligned / "astronaut.png", face.image)
    table = Inverter(built.settings).codes(aligned, built.settings.invert.content_steps)
    model = PortraitModel.from_pretrained(Paths.portrait)
    assert torch.equal(model.fit(face.image), table.codes_NLD[0])
    plan = plan_of(built.settings)
    exemplars = [(name, face.image) for name in STYLES]
    codes = dict(zip(table.names, table.codes_NLD, strict=True))
    eval_set = build_eval_set(model, read_aligned(aligned), codes, exemplars, plan)
    with torch.no_grad(), compute_dtype(model.generator, dtype_of(plan.bfloat16)):
        results = eval_set.restyle(dualstylegan(model, plan.size), lambda *_: None)
    rendered = Image.fromarray(results[0, 1].permute(1, 2, 0).contiguous().numpy())
    assert png_bytes(rendered) == png_bytes(built.expected)

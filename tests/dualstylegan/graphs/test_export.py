"""Export to ONNX: the graphs compute what torch does, and the folder says what they take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from dualstylegan.codes.inversion import resize_images
from dualstylegan.errors import CheckpointError, DataError, SettingsError
from dualstylegan.graphs.exporting import SharedWeights, export_graph, measure
from dualstylegan.graphs.manifest import WEIGHTS_FILE, GraphRecord, Manifest, read_manifest
from dualstylegan.graphs.modules import mapping_plan
from dualstylegan.graphs.sessions import Graph
from dualstylegan.io.files import sha256_file
from dualstylegan.networks.config import GeneratorConfig
from dualstylegan.networks.encoder import EncoderPass, PortraitEncoder
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.onnx_folder import ExportPlan, export_onnx
from tests.support.command import run
from tests.support.exported_models import PX, exported_pair
from tests.support.tracing import exports_untraced


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return exported_pair(tmp_path_factory)


@pytest.fixture(scope="module")
def model(folders: tuple[Path, Path]) -> PortraitModel:
    return PortraitModel.from_pretrained(folders[0])


@pytest.fixture(scope="module")
def manifest(folders: tuple[Path, Path]) -> Manifest:
    return read_manifest(folders[1])


def difference(found: object, wanted: torch.Tensor) -> float:
    return float(np.abs(np.asarray(found) - wanted.numpy()).max())


@torch.no_grad()
def test_the_encoder_is_torchs_in_every_pass(
    folders: tuple[Path, Path], model: PortraitModel, manifest: Manifest
) -> None:
    encoder, graph = model.encoder, Graph(folders[1], manifest.encoder)
    assert isinstance(encoder, PortraitEncoder)
    rng = torch.Generator().manual_seed(3)
    side = manifest.face_px
    photo, rendering = torch.rand(2, 1, 3, side, side, generator=rng).mul(2).sub(1).unbind()
    wanted, reached = torch.randn(2, 1, 128, generator=rng).unbind()
    first = encoder(photo)
    assert difference(graph(photo=photo), first) < 5e-5
    # whatever else a caller hands over does not count in the first pass
    assert difference(graph(photo=photo, rendering=rendering, code=first, step=0), first) < 5e-5
    given = EncoderPass(first, rendering, wanted, reached)
    second = encoder(photo, given)
    found = graph(
        photo=photo, code=first, rendering=rendering, wanted=wanted, reached=reached, step=1
    )
    assert difference(found, second) < 5e-5
    assert difference(first, second) > 0.01


@torch.no_grad()
@pytest.mark.parametrize("psi", [1.0, 0.6])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.4, 0.7), (0.0, 1.0), (0.0, 0.0)])
def test_the_generator_is_torchs_at_any_weight(
    folders: tuple[Path, Path],
    model: PortraitModel,
    manifest: Manifest,
    weights: tuple[float, float],
    psi: float,
) -> None:
    network, graph = model.network, Graph(folders[1], manifest.dualstylegan[PX])
    face, style = torch.randn(2, 1, network.generator.rows, 8).unbind()
    w = network.weights(*weights)
    found = graph(face=face, style=style, weights=w, truncation=psi)
    wanted = network(face, style, w, space="w_plus", size=PX, truncation=psi)
    assert difference(found, wanted) < 1e-4
    if not any(weights):
        bypassed = network(face, None, space="w_plus", size=PX, truncation=psi)
        assert difference(found, bypassed) < 1e-4
        bare = Graph(folders[1], manifest.generator[PX])
        wanted = network.generator(face, "w_plus", size=PX)
        assert difference(bare(face=face), wanted) < 1e-4


@torch.no_grad()
def test_mapping_and_recognition_are_torchs(
    folders: tuple[Path, Path], model: PortraitModel, manifest: Manifest
) -> None:
    code = torch.randn(1, model.generator.rows, 8)
    mapping = Graph(folders[1], manifest.mapping)
    assert difference(mapping(code=code), model.generator.map(code)) < 5e-5
    image = torch.rand(1, 3, 256, 256) * 2 - 1
    for side, record in manifest.recognition.items():
        face = resize_images(image, side)
        found = Graph(folders[1], record)(face=face)
        assert difference(found, model.identity()(face)) < 5e-5


def test_the_folder_is_whole_and_names_no_path(
    folders: tuple[Path, Path], manifest: Manifest
) -> None:
    found = {p.relative_to(folders[1]).as_posix() for p in folders[1].rglob("*") if p.is_file()}
    assert found == {*manifest.files, "onnx.json", "README.md"}
    for name, record in manifest.files.items():
        assert sha256_file(folders[1] / name) == record.sha256
    for path in folders[1].glob("*.onnx"):
        onnx.checker.check_model(str(path))
        assert b".py" not in path.read_bytes()
    # the weights of G at all its sizes, and of g, are there once
    inside = onnx.load(folders[1] / f"generator-{PX}.onnx", load_external_data=False)
    external = [t for t in inside.graph.initializer if t.external_data]
    assert external
    held = sum(int(e.value) for t in external for e in t.external_data if e.key == "length")
    assert held == (folders[1] / WEIGHTS_FILE).stat().st_size


def test_half_precision_stores_half_the_bytes_and_computes_in_float32(tmp_path: Path) -> None:
    generator = GeneratorConfig(
        kind="stylegan2", resolution=32, style_dim=128, mapping_layers=2, channels=(8,) * 4
    ).build()
    plan = mapping_plan(generator, torch.randn(1, generator.rows, 128))
    sizes = []
    for half in (False, True):
        folder = tmp_path / str(half)
        with exports_untraced():
            record = export_graph(plan, folder, SharedWeights(half))
        error = measure(plan, record, Graph(folder, record), half)
        sizes.append((folder / record.file).stat().st_size)
        assert (1e-5 < error < 5e-3) if half else (error < 5e-5)
    assert sizes[1] < 0.55 * sizes[0]


def test_a_graph_that_computes_something_else_is_refused(
    folders: tuple[Path, Path], manifest: Manifest, model: PortraitModel
) -> None:
    plan = mapping_plan(model.generator, torch.randn(1, model.generator.rows, 8))

    def grey(**inputs: object) -> object:
        return np.zeros((1, model.generator.rows, 8), np.float32)

    with pytest.raises(CheckpointError, match=r"something else than torch.*a difference of"):
        measure(plan, manifest.mapping, grey, False)


def test_what_cannot_be_exported_is_refused_before_the_work(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=r"--size; found: 48; limit: 64; fix: other sizes"):
        export_onnx(folders[0], tmp_path / "new", ExportPlan((48,)))
    with pytest.raises(DataError, match=r"exists already"):
        export_onnx(*folders, ExportPlan())
    done = run("export-onnx", "-m", folders[0], "-o", folders[1])
    assert (done.status, "exists already" in done.stderr) == (2, True)
    assert not (tmp_path / "new").exists()


def test_damage_is_told(folders: tuple[Path, Path], manifest: Manifest, tmp_path: Path) -> None:
    record = manifest.mapping
    with pytest.raises(CheckpointError, match=r"no such file.*export the model anew"):
        Graph(tmp_path, record)(code=0)
    (tmp_path / record.file).write_bytes((folders[1] / record.file).read_bytes()[:500])
    with pytest.raises(CheckpointError, match=r"not a whole graph"):
        Graph(tmp_path, record)(code=0)
    assert isinstance(record, GraphRecord)

"""The stages of the method one after the other, on small networks in the published formats."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

from dualstylegan.codes.fitting import fit
from dualstylegan.codes.tables import CodeTable, read_codes, write_codes
from dualstylegan.errors import CheckpointError
from dualstylegan.finetuning import exaggeration
from dualstylegan.finetuning.ablations import ABLATIONS
from dualstylegan.io.files import read_json
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.ir_se50 import IRSE50
from dualstylegan.networks.loading import load_trained_dualstylegan
from dualstylegan.networks.stylegan2 import StyleGAN2
from dualstylegan.networks.vgg19 import VGG19
from dualstylegan.published.adapter import import_published
from dualstylegan.published.networks import ImportedFolder
from tasks import ablate, adapt, destylize, diagnose, finetune, invert, refine, sampler
from tasks.report import board
from tasks.shared.dataframes import write_dataframe
from tasks.shared.paths import Paths
from tasks.shared.sets import load
from tasks.shared.settings import Settings
from tasks.shared.tensors import read_portraits
from tests.support.settings import ROOT, write_params

SIZE, ROWS, DIM = 64, 10, 8
SETTINGS: dict[str, dict[str, Any]] = {
    "profile": {"networks": "data/published", "working_size": SIZE, "bfloat16": False},
    "invert": {"style_steps": 1},
    "adapt": {"steps": 2, "batch": 2, "anchored": 1, "accumulation": 2, "path_weight": 2.0},
    "destylize": {"steps": 1},
    "finetune": {"steps": 3, "batch": 2, "path_weight": 2.0},
    "refine": {"steps": 1},
    "sampler": {"epochs": 1, "pool": 8, "batch": 4},
}


class Encoder(nn.Module):
    """In place of pSp, which cannot be small."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.head = nn.Linear(3 * 16, ROWS * DIM)

    def forward(self, image_NCHW: Tensor) -> Tensor:
        pooled = nn.functional.adaptive_avg_pool2d(image_NCHW, 4)
        codes: Tensor = self.head(pooled.flatten(1)).view(-1, ROWS, DIM)
        return codes


def state(module: nn.Module) -> dict[str, Tensor]:
    return {k: v for k, v in module.state_dict().items() if not k.endswith("mean_w")}


def write_portrait(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(path)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of small networks, imported once from files in the published formats."""
    folder = tmp_path_factory.mktemp("published")
    files = folder / "files"
    files.mkdir()
    torch.manual_seed(0)
    generator = StyleGAN2(SIZE, style_dim=DIM, mapping_layers=2, channels=[8] * 5)
    adversary = state(Discriminator(SIZE, channels=[8] * 5))
    torch.save({"g_ema": state(generator), "g": state(generator), "d": adversary}, files / "g.pt")
    torch.save({"g_ema": state(DualStyleGAN(generator, 8))}, files / "generator-pretrain.pt")
    torch.save(state(IRSE50()), files / "model_ir_se50.pth")
    torch.save(state(VGG19()), files / "vgg19.pth")
    import_published(sorted(files.iterdir()), folder / "imported")
    shutil.rmtree(files)
    return folder / "imported"


def write_record(project: Path, *portraits: str) -> None:
    """Write the alignment's record of portraits; Eve has no face."""
    rows: list[dict[str, Any]] = [
        {
            "kind": kind,
            "name": name,
            "flags": "",
            "refused": "no face" if name == "eve" else "",
            "frame": [],
        }
        for kind, name in (portrait.split("/") for portrait in portraits)
    ]
    write_dataframe(project / "data/sets/demo/aligned/manifest.parquet", pd.DataFrame(rows))


@pytest.fixture
def settings(
    tmp_path: Path, weights: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A project with imported networks, two exemplars and a face; the working folder."""
    (tmp_path / "data").mkdir()
    shutil.copytree(published, tmp_path / "data/published", copy_function=os.link)
    (tmp_path / "data/weights").symlink_to(weights.resolve())
    for seed, name in enumerate(("style/ann", "style/bob", "content/cem")):
        write_portrait(tmp_path / f"data/sets/demo/aligned/{name}.png", seed)
    write_record(tmp_path, "style/ann", "style/bob", "style/eve", "content/cem")
    write_params(tmp_path, SETTINGS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ImportedFolder, "encoder", lambda self: Encoder().requires_grad_(False))
    monkeypatch.setattr(exaggeration, "NATURAL_FACES", 4)  # random weights render no faces
    return load()


def test_from_portraits_to_refined_codes(settings: Settings) -> None:
    invert.main()
    adapt.adapt(settings)
    destylize.main()
    diagnosed = diagnose.run(settings.diagnose)
    finetune.finetune(settings)
    refine.main()
    sampler.main()
    assert {one.name for one in diagnosed.findings} == {"ann", "bob", "eve"}
    assert read_json("data/sets/demo/codes/diagnosed.json") == {"train": True}
    assert "no face" in Path("data/sets/demo/reports/diagnosis.html").read_text()
    tables = {
        path.stem: read_codes(path) for path in Path("data/sets/demo/codes").glob("*.parquet")
    }
    assert set(tables) == {"style", "exstyle", "instyle", "refined"}
    assert tables["refined"].names == ("ann", "bob")
    assert tables["refined"].codes_NLD.shape == (2, ROWS, DIM)
    rows = 7
    own, natural = tables["exstyle"].codes_NLD, tables["instyle"].codes_NLD
    assert not torch.equal(own[:, rows:], natural[:, rows:])  # natural colours
    assert not torch.equal(own[:, :rows], natural[:, :rows])
    network, config = load_trained_dualstylegan(Path("data/sets/demo/models/finetuned"))
    assert (config.generator.resolution, config.encoder) == (SIZE, "psp")
    before = ImportedFolder("data/published", "data/weights").dualstylegan()
    assert not torch.equal(network.style[1].weight, before.style[1].weight)  # type: ignore[arg-type]
    curves = pd.read_parquet("data/sets/demo/models/finetuned/curves.parquet")
    assert list(curves["step"]) == [1, 2, 3]
    assert curves["check/score"].notna().tolist() == [False, False, True]
    assert Path("data/sets/demo/models/adapted/samples/000002.png").is_file()
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    for name, folder in (("adapt", "adapted"), ("finetune", "finetuned")):
        shown = [
            column
            for entry in plots
            if isinstance(entry, dict)
            for plot in entry.values()
            for column in plot["y"].get(f"data/sets/${{shown}}/reports/plots/{name}.csv", [])
        ]
        table = pd.read_parquet(f"data/sets/demo/models/{folder}/curves.parquet")
        assert sorted(shown) == sorted(set(table.columns) - {"step"})
    assert sorted(p.stem for p in Path("data/sets/demo/codes/destylization").iterdir()) == [
        "ann",
        "bob",
    ]


def test_ablations_leave_out_what_their_names_say(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other pairs, another start, a term of weight zero; what was trained once is kept."""
    portraits = read_portraits(Path("data/sets/demo/aligned/style"), SIZE)
    for name, seed in (("exstyle", 1), ("instyle", 2)):
        codes = torch.randn(2, ROWS, DIM, generator=torch.Generator().manual_seed(seed))
        table = CodeTable(portraits.names, portraits.sha256, "z_plus", codes, "g", {})
        write_codes(Path(f"data/sets/demo/codes/{name}.parquet"), table)
    settings = settings.model_copy(
        update={"ablate": settings.ablate.model_copy(update={"steps": 1})}
    )
    networks, pairs = (
        ImportedFolder("data/published", "data/weights"),
        finetune.TrainingPairs.read(settings.profile, "cpu"),  # type: ignore[arg-type]
    )
    named = {ablation.name: ablation for ablation in ABLATIONS}
    alone = ablate.without(named["no destylization"], pairs)
    assert torch.equal(alone.intrinsic_NLD, pairs.extrinsic_NLD)
    assert not torch.equal(pairs.intrinsic_NLD, pairs.extrinsic_NLD)
    seen = []
    build = finetune.style_training

    def watched(
        profile: object, chosen: Any, networks: object, network: Any, own_pairs: object
    ) -> Any:
        seen.append((chosen, network.state_dict()))
        return build(profile, chosen, networks, network, own_pairs)  # type: ignore[arg-type]

    monkeypatch.setattr(ablate, "style_training", watched)
    whole = ablate.trained(named["complete"], settings, networks, pairs)
    ablate.trained(named["no stage 2"], settings, networks, pairs)
    ablate.trained(named["no L_ID"], settings, networks, pairs)
    (usual, second), (_, first), (blind, _) = seen
    assert not torch.equal(first["res.0.conv.0.weight"], second["res.0.conv.0.weight"])
    assert (blind.identity, blind.perceptual) == (0.0, usual.perceptual)
    assert usual.identity == settings.finetune.identity > 0
    monkeypatch.setattr(ablate, "Trainer", None)  # nothing is trained twice
    again = ablate.trained(named["complete"], settings, networks, pairs)
    theirs = again.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in whole.state_dict().items())


def test_there_are_no_ablations_unless_asked_for(settings: Settings) -> None:
    ablate.ablate(settings)
    assert read_json(Paths.ablations / "leaderboard.json")["rows"] == []
    assert board(Paths.ablations, "ablations", "Ablations") is None


def test_a_set_that_will_not_do_is_not_trained_on(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("data/sets/demo/aligned/style/bob.png").write_bytes(
        Path("data/sets/demo/aligned/style/ann.png").read_bytes()
    )
    invert.main()
    adapt.adapt(settings)
    destylize.main()
    with pytest.raises(SystemExit) as stopped:
        diagnose.main()
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert "the style set is not fit for training" in told
    assert "diagnose.proceed: true" in told
    assert "duplicate of ann" in Path("data/sets/demo/reports/diagnosis.html").read_text()
    assert not Path("data/sets/demo/codes/diagnosed.json").exists()
    diagnose.run(settings.diagnose.model_copy(update={"proceed": True}))
    assert Path("data/sets/demo/codes/diagnosed.json").exists()


def test_one_more_portrait_costs_one_more_code(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    invert.main()
    first = read_codes("data/sets/demo/codes/style.parquet")
    write_portrait(Path("data/sets/demo/aligned/style/dan.png"), 9)
    write_record(Path(), "style/ann", "style/bob", "style/dan", "content/cem")
    optimised = []
    work = fit

    def counted(networks: Any, image: Tensor, *others: Any) -> object:
        optimised.append(len(image))
        return work(networks, image, *others)

    monkeypatch.setattr(invert, "fit", counted)
    invert.main()
    after = read_codes("data/sets/demo/codes/style.parquet")
    assert optimised == [1]
    assert after.names == ("ann", "bob", "dan")
    assert torch.equal(after.select(first.names), first.codes_NLD)


def test_a_missing_network_ends_the_stage_with_its_name(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("data/published/identity.safetensors").unlink()
    with pytest.raises(CheckpointError, match="identity"):
        ImportedFolder("data/published", "data/weights").identity()
    invert.main()
    adapt.adapt(settings)
    with pytest.raises(SystemExit) as stopped:
        destylize.main()
    assert stopped.value.code == 2
    assert "identity.safetensors: not among the imported files" in capsys.readouterr().err
    assert not Path("data/sets/demo/codes/instyle.parquet").exists()


def test_a_training_refuses_at_once_what_evaluation_would_refuse(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """One face and networks of 64 px: known before the first step."""
    with pytest.raises(SystemExit) as stopped:
        adapt.main()
    assert stopped.value.code == 2
    assert "evaluate.size" in capsys.readouterr().err
    assert not Path("data/sets/demo/models").exists()

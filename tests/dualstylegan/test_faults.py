"""Faults of the published code that are not repeated; docs/faults.md names a test for each."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dualstylegan import losses
from dualstylegan.codes.inversion import OptimizationSchedule, optimize_latents
from dualstylegan.finetuning import discriminator as discriminator_module
from dualstylegan.finetuning.discriminator import Comparison
from dualstylegan.finetuning.step import StepOptions
from dualstylegan.finetuning.trainer import RunPlan, Trainer
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.stylegan2 import StyleGAN2
from tasks.shared.dataframes import write_dataframe
from tests.support.trainings import (
    DIM,
    ROWS,
    SIZE,
    Encoder,
    Identity,
    Pyramid,
    discriminator_trainer,
    small_network,
    structure_training,
    style_training,
    trained,
)

ROOT = Path(__file__).parents[2]
Build = Callable[[DualStyleGAN], Any]


@pytest.fixture
def network() -> DualStyleGAN:
    return small_network()


@pytest.mark.parametrize("build", [style_training, structure_training])
def test_the_average_covers_everything_that_is_trained(
    network: DualStyleGAN, tmp_path: Path, build: Build
) -> None:
    """T_s as well, and nothing of the frozen generator."""
    before = {k: v.clone() for k, v in network.extrinsic_state().items()}
    trainer = trained(build(network), tmp_path)
    assert set(trainer.average) == set(before)
    averaged = trainer.averaged_state()
    for key in ("style.1.weight", "style.2.bias", "res.0.conv.0.weight", "res.7.weight"):
        assert not torch.equal(averaged[key], before[key]), key


@pytest.mark.parametrize("build", [style_training, structure_training])
def test_the_frozen_generator_gets_no_gradients_and_does_not_move(
    network: DualStyleGAN, tmp_path: Path, build: Build
) -> None:
    before = {k: v.clone() for k, v in network.generator.state_dict().items()}
    training = build(network)
    trained(training, tmp_path)
    assert all(p.grad is None for p in network.generator.parameters())
    assert all(torch.equal(v, before[k]) for k, v in network.generator.state_dict().items())


def test_a_killed_run_ends_with_the_bits_of_an_uninterrupted_one(tmp_path: Path) -> None:
    """Every step seeds its own randomness; the state is networks, optimisers, averages, step."""

    class Killed(Exception):
        pass

    def run(folder: Path, stop: int | None) -> dict[str, Tensor]:
        def watch(step: int, scalars: dict[str, float]) -> None:
            if step == stop:
                raise Killed

        torch.manual_seed(0)
        generator = StyleGAN2(SIZE, style_dim=DIM, mapping_layers=2, channels=[8] * 4)
        plan = RunPlan(
            steps=3, seed=3, average_decay=0.9, save_seconds=0, picture_steps=0, fingerprint="x"
        )
        training = structure_training(
            DualStyleGAN(generator, 8), step_options=StepOptions(path_weight=2.0, path_steps=1)
        )
        trainer = Trainer(training, plan, folder / "state.safetensors", on_metrics=watch)
        trainer.run()
        return trainer.averaged_state()

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = run(tmp_path / "a", None)
    with pytest.raises(Killed):
        run(tmp_path / "b", 2)
    resumed = run(tmp_path / "b", None)
    assert all(torch.equal(resumed[k], v) for k, v in whole.items())


def test_identity_compares_the_same_content(network: DualStyleGAN) -> None:
    """Of mixed random faces too: one draw of codes, crossover and noise for both pictures."""
    identity = Identity()
    training = style_training(network, identity=identity)
    for step in range(4):
        rng = torch.Generator().manual_seed(step)
        batch = training._paired_batch(rng) if step % 2 else training._unpaired_batch(rng)
        identity.seen.clear()
        fake, _, _ = training._terms(batch, rng)
        plain = network.generator.synthesise(batch.intrinsic_NLD, size=SIZE)
        assert len(identity.seen) == 2
        torch.testing.assert_close(identity.seen[0], plain)
        again = network(batch.intrinsic_NLD, batch.extrinsic_NLD, space="w_plus", size=SIZE)
        torch.testing.assert_close(identity.seen[1], again)
        torch.testing.assert_close(fake, again)


def test_losses_do_not_depend_on_batch_mates() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8)
    codes = torch.randn(3, ROWS, DIM)
    terms: dict[str, Callable[[slice], Tensor]] = {
        "perceptual": lambda i: losses.perceptual([x[i]], [y[i]], [1.0]),
        "contextual": lambda i: losses.contextual(x[i], y[i]),
        "matching": lambda i: losses.feature_matching([x[i]], [y[i]]),
        "spread": lambda i: losses.row_spread(codes[i]),
        "noise": lambda i: losses.noise_autocorrelation(x[i, :1]),
        "adversarial": lambda i: losses.generator_adversarial(x[i, 0, 0, :1]),
    }
    for name, term in terms.items():
        together = term(slice(None))
        assert together.shape == (3,), name
        for row in range(3):
            alone = term(slice(row, row + 1))
            torch.testing.assert_close(
                alone[0],
                together[row],
                msg=lambda m, n=name: f"{n}: {m}",  # type: ignore[misc]
            )


def test_the_contextual_loss_keeps_no_square_matrix() -> None:
    """Memory of the backward pass grows with the positions, not with their square."""
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    x = torch.randn(1, 4, 32, 32, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = losses.contextual(x, torch.randn(1, 4, 32, 32), block=64)
    assert max(kept) <= 32 * 32 * 64
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert bool(x.grad.isfinite().all())  # type: ignore[union-attr]


def test_a_step_waits_for_its_numbers_once(
    network: DualStyleGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers come over all at once, and never one by one."""
    single: list[Any] = []
    gathered: list[Any] = []
    convert, gather = torch.Tensor.__float__, torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "__float__", lambda x: single.append(x) or convert(x))  # type: ignore[func-returns-value]
    monkeypatch.setattr(torch.Tensor, "tolist", lambda x: gathered.append(x) or gather(x))  # type: ignore[func-returns-value]
    trainer = trained(structure_training(network), tmp_path, steps=2)
    assert len(gathered) == 2
    assert single == []
    assert len(trainer.history[0]) > 4


def test_portraits_are_held_as_bytes(tmp_path: Path) -> None:
    import pandas as pd
    from PIL import Image

    from tasks.shared.tensors import read_portraits

    (tmp_path / "style").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (SIZE, SIZE), (255, 0, 51)).save(tmp_path / f"style/{name}.png")
    rows: list[dict[str, object]] = [
        {"kind": "style", "name": name, "frame": []} for name in ("a", "b")
    ]
    write_dataframe(tmp_path / "manifest.parquet", pd.DataFrame(rows))
    portraits = read_portraits(tmp_path / "style", SIZE)
    assert portraits.pixels_NCHW.dtype == torch.uint8
    assert portraits.pixels_NCHW.nbytes == 2 * 3 * SIZE * SIZE
    assert portraits.images([1])[0, :, 0, 0].tolist() == pytest.approx([1, -1, -0.6], abs=1e-6)


@pytest.fixture
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_gradients_of_accumulated_passes_are_those_of_the_large_batch(
    double_precision: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups of the minibatch deviation hold every (N/4)-th image; the passes are cut likewise."""
    monkeypatch.setattr(discriminator_module, "augment", lambda image, probability, rng: image)
    network = small_network()
    training = style_training(network, batch=8)
    rng = torch.Generator().manual_seed(0)
    batch = training._paired_batch(rng)
    parameters = list(network.extrinsic_parameters())

    def gradients(index: slice) -> tuple[Tensor, ...]:
        fields = (batch.intrinsic_NLD, batch.extrinsic_NLD, batch.portrait_NCHW, batch.index_N)
        part = type(batch)(*(x[index] for x in fields), batch.paired)
        _, terms, _ = training._terms(part, torch.Generator().manual_seed(1))
        return torch.autograd.grad(torch.stack(list(terms.values())).sum(), parameters)

    whole = gradients(slice(None))
    halves = [gradients(slice(start, None, 2)) for start in range(2)]
    for large, first, second in zip(whole, *halves, strict=True):
        error = (large - (first + second) / 2).abs().max()
        assert error <= 1e-5 * max(float(g.abs().max()) for g in whole)


def test_the_discriminator_learns_from_passes_what_it_learns_from_the_large_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discriminator_module, "augment", lambda image, probability, rng: image)
    torch.manual_seed(0)
    real, fake = torch.randn(8, 3, SIZE, SIZE), torch.randn(8, 3, SIZE, SIZE)
    gradients: list[list[Tensor]] = []
    for passes in (1, 2):
        trainer = discriminator_trainer()

        def note(*_: Any, trainer: Any = trainer) -> None:
            gradients.append([p.grad.clone() for p in trainer.network.parameters()])

        trainer.optimiser.register_step_pre_hook(note)
        rng = torch.Generator()
        update = trainer.begin(0, passes)
        for i in range(passes):
            update.add(i, Comparison(real[i::passes], fake[i::passes], rng))
        update.finish()
    largest = max(float(g.abs().max()) for g in gradients[0])
    for large, summed in zip(*gradients, strict=True):
        assert float((large - summed).abs().max()) <= 1e-5 * largest


def test_regularisation_covers_modres_alone_unless_asked(network: DualStyleGAN) -> None:
    names = {id(p): n for n, p in network.named_parameters()}
    paper = {names[id(p)] for p in style_training(network)._regularised()}
    assert {name.split(".")[1] for name in paper} == {str(row) for row in range(7)}
    compatible = style_training(network, regularise="compatible")._regularised()
    assert {names[id(p)] for p in compatible} == {k for k in names.values() if k[:4] == "res."}


def test_paired_codes_change_colour_rows_alone(network: DualStyleGAN) -> None:
    training = style_training(network)
    g = network.generator
    exemplars = g.map(training.intrinsic_NLD)
    batch = training._paired_batch(torch.Generator().manual_seed(0))
    rows = g.structure_rows
    assert rows == 7
    for code in batch.intrinsic_NLD:
        same = [torch.allclose(code[:rows], known[:rows]) for known in exemplars]
        assert sum(same) == 1
        assert not torch.allclose(code[rows:], exemplars[same.index(True), rows:])


def test_the_encoder_runs_only_when_its_code_is_used(network: DualStyleGAN, tmp_path: Path) -> None:
    encoder = Encoder()
    trained(structure_training(network, encoder), tmp_path, steps=5)
    assert encoder.calls == 2  # steps 0 and 4


def test_features_of_a_fixed_target_are_computed_once(network: DualStyleGAN) -> None:
    from dualstylegan.codes.refinement import refine

    pyramid = Pyramid()
    network.requires_grad_(False)
    images, codes = torch.randn(2, 3, SIZE, SIZE), torch.randn(2, ROWS, DIM)
    plan = OptimizationSchedule(steps=3)
    refine(
        network, pyramid, images, codes, codes, plan,  # type: ignore[arg-type]
        structure_rate=0.01, color_rate=0.01,
    )  # fmt: skip
    assert pyramid.calls == 1 + plan.steps + 1


def test_codes_optimised_together_are_those_optimised_alone() -> None:
    start, goal = torch.randn(3, ROWS, DIM), torch.randn(3, ROWS, DIM)

    def objective(latents: Sequence[Tensor]) -> Tensor:
        return (latents[0] - goal).square().mean((1, 2))

    plan = OptimizationSchedule(steps=6)
    together = optimize_latents([start], [0.1], objective, plan)
    for row in range(3):

        def own(latents: Sequence[Tensor], row: int = row) -> Tensor:
            return (latents[0] - goal[row]).square().mean((1, 2))

        alone = optimize_latents([start[row : row + 1]], [0.1], own, plan)
        torch.testing.assert_close(alone.latents[0][0], together.latents[0][row])


def test_the_first_step_of_an_optimisation_is_not_lost() -> None:
    assert OptimizationSchedule(steps=300).rate(0) > 0


def sources() -> dict[Path, str]:
    folders = [ROOT / name for name in ("dualstylegan", "tasks", "flows")]
    return {path: path.read_text() for folder in folders for path in sorted(folder.rglob("*.py"))}


def test_no_file_is_read_by_a_loader_that_executes() -> None:
    calls = {"torch.load", "pickle.load", "pickle.loads", "np.load", "numpy.load", "joblib.load"}
    for path, text in sources().items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in calls, path


def test_no_device_is_written_into_the_code() -> None:
    for path, text in sources().items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute):
                assert node.attr != "cuda" or ast.unparse(node) == "torch.cuda", path


def test_no_compiled_extension_is_needed() -> None:
    for path, text in sources().items():
        assert "cpp_extension" not in text, path


def table(page: Path, column: int) -> dict[str, str]:
    """Cells of one column of the tables of a page, by their first column."""
    rows = [line.split("|") for line in page.read_text().splitlines() if line.startswith("| ")]
    cells = {row[1].strip(): row[column].strip() for row in rows}
    return {k: v for k, v in cells.items() if set(k) - {"-", " "} and "`" in v}


def test_every_fault_in_the_docs_has_a_test() -> None:
    named = table(ROOT / "docs/faults.md", 3)
    assert len(named) >= 20
    for fault, cell in named.items():
        for file, name in re.findall(r"`([\w/]+\.py)::(\w+)`", cell):
            (path,) = (ROOT / "tests").rglob(file)
            functions = {n.name for n in ast.walk(ast.parse(path.read_text()))
                         if isinstance(n, ast.FunctionDef)}  # fmt: skip
            assert name in functions, (fault, file, name)
        assert "::" in cell, fault


def test_every_equation_in_the_docs_is_where_it_says() -> None:
    from importlib import import_module

    named = table(ROOT / "docs/equations.md", 3)
    assert len(named) >= 20
    for equation, cell in named.items():
        found = re.findall(r"`(dualstylegan[\w.]*)\.(\w+)`", cell)
        assert found, equation
        for module, name in found:
            owner, _, inner = module.rpartition(".")
            try:
                target = import_module(module)
            except ModuleNotFoundError:  # a method: the last part is a class
                target = getattr(import_module(owner), inner)
            assert hasattr(target, name), (equation, module, name)

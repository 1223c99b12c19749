"""Export of a site: sizes, refusals, the runtime from npm, the same bytes each time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dualstylegan.web import exporter, runtime
from tests.support.command import run
from tests.support.exported_sites import ExportedSite, exported_site
from tests.support.portrait_models import STYLE_NAMES


@pytest.fixture(scope="module")
def made(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportedSite:
    return exported_site(tmp_path_factory.getbasetemp().parent, weights)


def test_the_site_describes_itself(made: ExportedSite) -> None:
    site = made.site
    described = json.loads((site / "site.json").read_text())
    for name, file in described["files"].items():
        assert (site / name).stat().st_size == file["length"]
    assert [style["name"] for style in described["model"]["names"]] == list(STYLE_NAMES)
    readme = (site / "README.md").read_text()
    assert "Cross-Origin-Embedder-Policy: require-corp" in readme
    assert "no commercial use" in readme
    assert "Microsoft" in (site / "runtime" / "LICENSE.txt").read_text()
    kept = (site / "shell.js").read_text()
    assert '"static/web/worker.js"' in kept
    assert ".packed" not in kept


@pytest.mark.parametrize("wrong", ["empty", "other"])
def test_another_runtime_is_refused(wrong: str, tmp_path: Path, made: ExportedSite) -> None:
    given = tmp_path / "package"
    (given / "dist").mkdir(parents=True)
    if wrong == "other":
        for name in runtime.DIGESTS:
            (given / "dist" / name).write_text("another version")
    done = run("export-web", "-m", made.model, "-o", tmp_path / "site", "--runtime", given)
    assert done.status == 2
    assert "unpack onnxruntime-web@" in done.stderr
    assert not (tmp_path / "site").exists()


def test_without_npm_the_fix_is_said(
    made: ExportedSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALSTYLEGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run("export-web", "-m", made.model, "-o", tmp_path / "site")
    assert done.status == 2
    assert "npm" in done.stderr
    assert "--runtime FOLDER" in done.stderr


def test_what_npm_says_is_passed_on(
    made: ExportedSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error network is unreachable' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("DUALSTYLEGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    done = run("export-web", "-m", made.model, "-o", tmp_path / "site")
    assert "network is unreachable" in done.stderr
    assert done.status == 2


def test_an_export_in_full_precision_and_a_folder_that_exists_are_refused(
    tmp_path: Path, made: ExportedSite
) -> None:
    full = tmp_path / "onnx"
    full.mkdir()
    manifest = (made.onnx / "onnx.json").read_text().replace('"float16"', '"float32"')
    (full / "onnx.json").write_text(manifest)
    shutil.copy(made.onnx / "config.json", full)
    done = run("export-web", "-m", full, "-o", tmp_path / "site")
    assert done.status == 2
    assert "--half" in done.stderr
    done = run("export-web", "-m", made.model, "-o", tmp_path)
    assert "exists already" in done.stderr


def test_the_same_export_gives_the_same_bytes_and_says_what_travels(
    tmp_path: Path, made: ExportedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "GZIP_LEVEL", 1)
    done = run("export-web", "-m", made.onnx, "-o", tmp_path / "site")
    assert done.status == 0, done.stderr
    assert "MB  landmark model" in done.stdout
    files = [path for path in made.site.rglob("*") if path.is_file()]
    assert len(files) > 40
    for path in files:
        again = tmp_path / "site" / path.relative_to(made.site)
        assert again.read_bytes() == path.read_bytes(), path

"""DVC remotes: a bucket of a real S3 server on loopback, two people, one model, imported portraits.

The project's own graph, with small files in the place of what its stages make.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import boto3
import pytest
from dvc.repo import Repo
from moto.server import ThreadedMotoServer
from PIL import Image

from dualstylegan.errors import OutputError, SettingsError
from dualstylegan.io.files import write_json
from tasks.shared import remotes
from tasks.shared.remotes import check_remote
from tasks.shared.runner import load_settings
from tasks.shared.sets import tracked
from tasks.shared.sources import check_sources
from tests.conftest import ROOT

BUCKET, KEY, SECRET = "team", "key-of-a-test", "secret-of-a-test"
MODEL = "data/sets/demo/models/portrait"
GRAPH = ("dvc.yaml", "params.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/plots.html")
LICENCE = "Made by a test: plain colours.\n"


def git(folder: Path, *arguments: str) -> None:
    """Run git as somebody."""
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def add_store(project: Path, port: int, bucket: str = BUCKET, key: str = KEY) -> None:
    """Add the bucket as the remote `store`; its credentials stay out of git."""
    with Repo(str(project)) as repo:
        with repo.config.edit("repo") as config:
            config["core"]["remote"] = "store"
            config["remote"]["store"] = {"url": f"s3://{bucket}/portraits"}
        with repo.config.edit("local") as config:
            config["remote"]["store"] = {
                "endpointurl": f"http://127.0.0.1:{port}",
                "access_key_id": key,
                "secret_access_key": SECRET,
                "region": "us-east-1",
            }


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=BUCKET)
    yield port
    server.stop()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory, port: int) -> Path:
    """Project whose stages have run, pushed to the bucket."""
    folder = tmp_path_factory.mktemp("ours")
    for name in GRAPH:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "-q", "-b", "main")
    add_store(folder, port)
    with chdir(folder):
        write_json(Path("data/sets/demo/settings.json"), tracked(load_settings(["demo"])))
    with chdir(folder), Repo() as repo:  # DVC commits what is in the working folder
        for stage in repo.index.stages:
            for place in (*stage.deps, *stage.outs):
                path = Path(place.fs_path)
                if not path.exists():
                    path = path if path.suffix else path / "content.txt"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(place.def_path)
        repo.commit(force=True)
        assert repo.push() > 0
        assert repo.push() == 0
    git(folder, "add", "-A")
    git(folder, "add", "-f", "data/base", "portraits")
    git(folder, "commit", "-qm", "A trained model")
    return folder


def cloned(ours: Path, folder: Path, port: int) -> Path:
    """Another person's clone, with credentials of its own."""
    git(ours, "clone", "-q", str(ours), str(folder))
    add_store(folder, port)
    return folder


@pytest.mark.long
def test_two_people_share_a_bucket(ours: Path, port: int, tmp_path: Path) -> None:
    theirs = cloned(ours, tmp_path / "theirs", port)
    assert KEY not in (theirs / ".dvc/config").read_text()
    with chdir(theirs), Repo() as repo:
        repo.pull()
        assert not repo.status()
        changed = theirs / MODEL / "content.txt"
        changed.unlink()  # a link into the cache
        changed.write_text("trained further")
        repo.commit(force=True)
        repo.push()
    git(theirs, "commit", "-qam", "Trained further")
    git(ours, "pull", "-q", str(theirs), "main")
    with Repo(str(ours)) as repo:
        repo.pull()
        assert not repo.status()
    assert (ours / MODEL / "content.txt").read_text() == "trained further"


def test_the_model_alone_is_pulled(ours: Path, port: int, tmp_path: Path) -> None:
    theirs = cloned(ours, tmp_path / "theirs", port)
    with Repo(str(theirs)) as repo:
        repo.pull([str(theirs / MODEL)])
    pulled = [path for path in (theirs / "data/sets").rglob("*") if path.is_file()]
    assert {path.parent for path in pulled} == {theirs / MODEL}
    local = {"core": {"remote": "store"}, "remote": {"store": store_options(theirs)}}
    Repo.get(str(ours), MODEL, out=str(tmp_path / "got"), config=local)
    assert (tmp_path / "got/content.txt").is_file()


def store_options(project: Path) -> dict[str, str]:
    """Options of the remote with its credentials."""
    with Repo(str(project)) as repo:
        return dict(repo.config["remote"]["store"])


def test_imported_portraits_are_a_style_set(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of DVC and of git that lie beside the portraits are no portraits."""
    archive, ours = tmp_path / "archive", tmp_path / "ours"
    for folder in (archive, ours):
        folder.mkdir()
        git(folder, "init", "-q", "-b", "main")
        Repo.init(str(folder)).close()
    add_store(archive, port)
    (archive / "ink").mkdir()
    for number in range(3):
        Image.new("RGB", (64, 64), (number * 80, 0, 0)).save(archive / f"ink/{number}.png")
    with Repo(str(archive)) as repo:
        repo.add(str(archive / "ink"))
        repo.push()
    git(archive, "add", "-A")
    git(archive, "commit", "-qm", "Portraits in ink")
    shutil.rmtree(archive / ".dvc/cache")
    (ours / "portraits/ink").mkdir(parents=True)
    with Repo(str(ours)) as repo:
        repo.imp(
            str(archive),
            "ink",
            out=str(ours / "portraits/ink/style"),
            config={"remote": {"store": store_options(archive)}},
        )
        (stage,) = repo.index.stages
        assert stage.is_import
    assert len(list((ours / "portraits/ink/style").glob("*.png"))) == 3
    monkeypatch.chdir(ours)
    (ours / "params.yaml").write_text("sets: {ink: {source: portraits/ink, settings: {}}}\n")
    check_sources({"ink": "portraits/ink"})


def test_a_remote_that_takes_nothing_is_refused_in_a_sentence(
    ours: Path, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = cloned(ours, tmp_path / "theirs", port)
    assert check_remote("store", theirs) == f"s3://{BUCKET}/portraits"
    with pytest.raises(SettingsError, match=r"no such remote.*found: stor;.*limit: store"):
        check_remote("stor", theirs)
    add_store(theirs, port, bucket="nobody")
    with pytest.raises(
        OutputError, match=r"s3://nobody/portraits: the remote cannot be written; .* does not exist"
    ):
        check_remote(None, theirs)
    monkeypatch.setattr(remotes, "ANSWER_SECONDS", 1.0)
    add_store(theirs, 1)
    with pytest.raises(OutputError, match=r"store, s3://team/portraits: .*fix: ") as refused:
        check_remote(None, theirs)
    assert SECRET not in str(refused.value)

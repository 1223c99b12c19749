"""Portrait models on a hub: fetched by the name of their repository, and pushed to one.

The client is `huggingface-hub` (extra `hub`), which finds address, token and cache of the hub in
its own environment variables (HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_OFFLINE). It is imported only
when a repository is asked for, and torch is not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from dualstylegan import __version__
from dualstylegan.errors import DataError, DualStyleGANError, HubError
from dualstylegan.io.files import scratch_folder
from dualstylegan.networks.config import CARD_FILE
from dualstylegan.portrait.card_file import front_matter, read_card
from dualstylegan.portrait.config import (
    CARD_IMAGES,
    LICENCE_FILE,
    OLD_CARD_FILE,
    THUMBNAILS,
    read_config,
    read_thumbnails,
)

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

Done = TypeVar("Done")
POLL_SECONDS = 0.2
# `org/name`, and a branch, tag or commit after `@`. Paths such as ./a and a/b/c are none.
REPOSITORY = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@([^\s@]+))?", re.ASCII)
EXTRA_FIX = "pip install 'dualstylegan[hub]'"
# Files of a model folder: none of them is code or a pickle, and nothing else is fetched.
PATTERNS = ("*.json", "*.safetensors", "*.onnx", "weights.bin", "*.dat", "*.jpg", "*.md")


def is_repository(name: str) -> bool:
    """Return True for a name of the form `org/name` or `org/name@revision`."""
    return REPOSITORY.fullmatch(name) is not None


def fetch(name: str, revision: str | None = None) -> Path:
    """Return the local folder of a repository's model, downloaded where the cache lacks it.

    Without a network, what the cache holds is taken.

    Args:
        name: `org/name`, or `org/name@revision`.
        revision: branch, tag or commit, in place of one in the name; None: the main branch.

    Raises:
        HubError: the extra `hub` is missing, or the hub has no such model, or cannot be reached.
    """
    repository, own = _parts(name)
    revision = revision or own
    with _typed(repository, revision):
        api, patterns = _api(), list(PATTERNS)
        folder = _interruptible(
            lambda: api.snapshot_download(repository, revision=revision, allow_patterns=patterns)
        )
    return Path(folder)


def push(
    folder: Path,
    name: str,
    *,
    half: bool = False,
    message: str | None = None,
    private: bool | None = None,
    token: str | None = None,
) -> str:
    """Upload a model folder to a repository, which is made if there is none, as one commit.

    Weights and pictures of an earlier model that this one lacks are removed from the repository;
    whatever else it holds stays.

    Args:
        folder: a model folder with a licence.
        name: `org/name`, or `org/name@branch`; the branch must exist.
        half: upload its form in half precision, see `write_half`.
        message: of the commit.
        private: of a new repository; None leaves it to the hub.
        token: in place of the client's own.

    Returns:
        The address of the commit.

    Raises:
        CheckpointError: there is no model in the folder.
        DataError: the folder has no licence.
        HubError: the extra `hub` or a token is missing, or the hub refuses.
    """
    repository, revision = _parts(name)
    config = read_config(folder)
    if not (folder / LICENCE_FILE).is_file():
        raise DataError(
            "a model without a licence is not pushed",
            file=folder / LICENCE_FILE,
            fix="package the model anew, or write its licence into this file",
        )
    with _typed(repository, revision), scratch_folder() as scratch:
        from huggingface_hub import get_token

        if (token or get_token()) is None:
            raise HubError(
                "a hub takes models with a token alone",
                file=repository,
                value="none",
                fix="set HF_TOKEN, or run `hf auth login`",
            )
        api = _api(token)
        api.create_repo(repository, private=private, exist_ok=True)
        if half:
            from dualstylegan.portrait.half import write_half

            folder = write_half(folder, scratch / "half")
        message = message or f"Portrait model {config.name}"
        return _interruptible(lambda: _commit(api, folder, repository, revision, message))


def _commit(api: HfApi, folder: Path, repository: str, revision: str | None, message: str) -> str:
    """Commit a model folder in place of the model before; return the address of the commit."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    config = read_config(folder)
    base = f"{api.endpoint}/{repository}/resolve/{revision or 'main'}/"
    matter = front_matter(config, read_thumbnails(folder, config.styles), base)
    card = f"{matter}\n{read_card(folder, repository)}".encode()
    given: dict[str, Path | bytes] = {**_files(folder), CARD_FILE: card}
    there = api.list_repo_files(repository, revision=revision)
    gone = [path for path in there if _replaced(path) and path not in given]
    commit = api.create_commit(
        repository,
        [
            *(CommitOperationAdd(path, content) for path, content in given.items()),
            *(CommitOperationDelete(path) for path in gone),
        ],
        commit_message=message,
        revision=revision,
    )
    return str(commit.commit_url)


def _api(token: str | None = None) -> HfApi:
    """Return the client of the hub that the environment names now."""
    from huggingface_hub import HfApi

    return HfApi(
        endpoint=os.environ.get("HF_ENDPOINT"),
        token=token,
        library_name="dualstylegan",
        library_version=__version__,
    )


def _interruptible(work: Callable[[], Done]) -> Done:
    """Return what `work` returns, computed in a thread that Ctrl-C does not wait for.

    The client's own threads do not heed it: with a stalled server it takes a minute to give up.
    """
    future: Future[Done] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    while True:  # a wait without end cannot be interrupted on Windows
        if wait([future], POLL_SECONDS).done:
            return future.result()


def _parts(name: str) -> tuple[str, str | None]:
    """Return repository and revision of a name."""
    found = REPOSITORY.fullmatch(name)
    if found is None:
        raise HubError(
            "not the name of a repository",
            value=name,
            limit="org/name or org/name@revision",
            fix="write it as on the hub's page of the model",
        )
    return found[1], found[2]


def _files(folder: Path) -> dict[str, Path]:
    """Return the files of a model folder by their paths in a repository, but for the card."""
    inside = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    cards = (CARD_FILE, OLD_CARD_FILE)
    return {
        name: path
        for name, path in inside.items()
        if path.is_file() and any(path.match(p) for p in PATTERNS) and name not in cards
    }


def _replaced(path: str) -> bool:
    """Return True for a file of a repository that belongs to the model before."""
    *folders, name = PurePosixPath(path).parts
    if folders:
        return folders in (["faces"], [THUMBNAILS])
    return name.endswith(".safetensors") or name in (*CARD_IMAGES, OLD_CARD_FILE)


@contextmanager
def _typed(repository: str, revision: str | None) -> Iterator[None]:
    """Turn a failure of the client into a HubError that says what to do."""
    try:
        from httpx2 import HTTPError
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, XetDownloadError
    except ImportError as error:
        raise HubError(
            "models of a hub need its client", file=repository, value=error, fix=EXTRA_FIX
        ) from error
    try:
        yield
    except HfHubHTTPError as error:
        raise _refusal(error, repository, revision) from error
    except (LocalEntryNotFoundError, HTTPError) as error:
        if isinstance(error.__cause__, HfHubHTTPError):
            raise _refusal(error.__cause__, repository, revision) from error
        raise HubError(
            "the hub cannot be reached, and the cache does not hold the model",
            file=repository,
            value=_first_line(error.__cause__ or error),
            fix="connect to the network, set HF_ENDPOINT to another hub, or give a model folder",
        ) from error
    except (OSError, ValueError, XetDownloadError) as error:
        if isinstance(error, DualStyleGANError):
            raise
        raise HubError(
            "the hub's client failed",
            file=repository,
            value=_first_line(error),
            fix="check the free space and the rights of its cache (HF_HOME), and try again",
        ) from error


def _refusal(error: HfHubHTTPError, repository: str, revision: str | None) -> HubError:
    """Return the typed error of an answer of the hub that is a refusal."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    status = error.response.status_code
    login = "set HF_TOKEN, or run `hf auth login`"
    if isinstance(error, GatedRepoError):
        found = "the model is given to those alone whom its owner lets in", "ask its owner"
    elif isinstance(error, RevisionNotFoundError):
        fix = "name a branch, a tag or a commit that the repository has"
        found = "the repository has no such revision", fix
    elif status == HTTPStatus.UNAUTHORIZED and "credentials" in str(error.server_message):
        found = "the hub does not accept the token", login
    elif isinstance(error, RepositoryNotFoundError) or status == HTTPStatus.UNAUTHORIZED:
        fix = f"check the name; for a private one {login}"
        found = "no such repository on the hub, or a private one", fix
    elif status == HTTPStatus.FORBIDDEN:
        fix = "take a token that may write to the repository"
        found = "the token does not allow this", fix
    else:
        found = "the hub refuses", "try again later, or give a model folder"
    value = f"HTTP {status}, {error.server_message}" if error.server_message else f"HTTP {status}"
    name = f"{repository}@{revision}" if revision else repository
    return HubError(found[0], file=name, value=value, fix=found[1])


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)

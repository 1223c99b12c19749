"""Models by name: a folder, a name that a plug-in resolves, or a repository of a hub.

A plug-in is an entry point of the group `dualstylegan.models`: a function from the name to a local
model folder. Entry points are called by their own name, and by addresses whose scheme is their
name: `models:/portrait@champion` goes to the entry point `models`. The entry point `default`, which
a project has, finds the model when none is named, and in its absence `demo`, the model of the
distribution `dualstylegan-portraits`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from dualstylegan.errors import CheckpointError, SettingsError
from dualstylegan.networks.config import CONFIG_FILE
from dualstylegan.portrait.hub import fetch, is_repository

GROUP = "dualstylegan.models"
DEFAULT = "default"
READY = "demo"
READY_FIX = f"`pip install dualstylegan-portraits` brings the model {READY}"
ENVIRONMENT = "DUALSTYLEGAN_MODEL"


def find_model(name: Path | str | None = None, revision: str | None = None) -> Path:
    """Return the local folder of a model.

    Args:
        name: a folder, the name of a plug-in, an address `SCHEME:...` of a plug-in's scheme, or
            `org/name` or `org/name@revision` of a hub, see `hub.fetch`; None takes the environment
            variable DUALSTYLEGAN_MODEL, then the plug-in `default`, then `demo`.
        revision: of a hub's repository, in place of one in the name.

    Raises:
        CheckpointError: nothing knows the name, or what does cannot fetch the model.
        SettingsError: a revision of a model that no hub holds.
    """
    if revision is not None:
        return _repository(str(name or os.environ.get(ENVIRONMENT) or ""), revision)
    name = str(name or os.environ.get(ENVIRONMENT) or "")
    if not name:
        return _default_model()
    folder = Path(name)
    if (folder / CONFIG_FILE).is_file():
        return folder
    plugin = _plugin(name.split(":")[0])
    if plugin is not None:
        return plugin(name)
    if folder.exists():
        return folder
    if is_repository(name):
        return fetch(name)
    known = ", ".join(known_names()) or "none installed"
    if ":" in name:
        raise CheckpointError(
            "no plug-in fetches models from such an address",
            value=name,
            limit=f"a folder, org/name of a hub, or one of: {known}",
            fix="download the model and give its folder; addresses of the project's registry work "
            "where the project itself is installed",
        )
    raise CheckpointError(
        "no portrait model of this name",
        file=name,
        limit=f"a folder, org/name of a hub, or one of: {known}",
        fix=f"give a model folder; {READY_FIX}",
    )


def _repository(name: str, revision: str) -> Path:
    if not is_repository(name):
        raise SettingsError(
            "only models of a hub have revisions", value=name, limit="org/name", fix="name none"
        )
    return fetch(name, revision)


def known_names() -> list[str]:
    """Return the names that plug-ins resolve, sorted."""
    return sorted({plugin.name for plugin in _installed_plugins()} - {DEFAULT})


def _default_model() -> Path:
    for name in (DEFAULT, READY):
        plugin = _plugin(name)
        if plugin is not None:
            return plugin("" if name == DEFAULT else name)
    raise CheckpointError(
        "no model is named",
        fix=f"give --model FOLDER, or set {ENVIRONMENT} to a folder; {READY_FIX}",
    )


def _installed_plugins(name: str | None = None) -> list[EntryPoint]:
    """Return the plug-ins, all or those of a name, whose package is installed.

    The wheel declares the project's plug-ins without containing them.
    """
    plugins = entry_points(group=GROUP) if name is None else entry_points(group=GROUP, name=name)
    return [plugin for plugin in plugins if find_spec(plugin.module.split(".")[0]) is not None]


def _plugin(name: str) -> Callable[[str], Path] | None:
    """Load the plug-in of a name; None where there is none."""
    plugins = _installed_plugins(name)
    if not plugins:
        return None
    try:
        return cast(Callable[[str], Path], plugins[0].load())
    except ImportError as error:
        raise CheckpointError(
            "the plug-in that finds this model cannot be loaded",
            value=f"{name}: {error}",
            fix="install its distribution anew, or give a model folder",
        ) from error

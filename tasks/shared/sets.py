"""Style sets: params.yaml as it stands, and the settings of one set.

A set is a folder of portraits with a pipeline of its own: codes, model, report and champion. The
sections of params.yaml hold for all sets; what a set has in their place stands under its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from dualstylegan.errors import SettingsError
from tasks.shared.sections import Section, check_settings, differences, put, read_yaml
from tasks.shared.settings import (
    DEFAULT_FILE,
    GeneratedPortraits,
    Sections,
    Settings,
    check_together,
)

SETS = "sets"
# In the name of a registered model: the set.
PLACEHOLDER = "{set}"
# Sections and settings that all sets share, and why.
SHARED = {
    "runtime": "it changes no result",
    "profile.networks": "the graph depends on one folder of networks",
}
SetName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class StyleSet(Section):
    """One style set."""

    source: str = Field(
        min_length=1,
        description="folder, or zip archive, with `style` and `content` in it; a missing one is "
        "generated",
    )
    settings: dict[str, dict[str, Any]] = Field(
        description="settings of the set, by section, in the place of those that all sets share; "
        "{}: none"
    )


class Params(Sections):
    """Content of params.yaml."""

    sets: dict[SetName, StyleSet] = Field(
        min_length=1, description="style sets by name, in lower case"
    )
    portraits: GeneratedPortraits


def read_params(path: Path | str = DEFAULT_FILE) -> Params:
    """Read params.yaml and check it whole: every set's settings as well.

    Raises:
        SettingsError: see `read_settings`; or two settings of a set contradict each other.
    """
    return check_params(read_yaml(path), path)


def check_params(content: Mapping[Any, Any], path: Path | str) -> Params:
    """Return content as that of params.yaml; see `read_params`."""
    params = check_settings(Params, content, path)
    for name in params.sets:
        settings_of(params, name, path)
    return params


def load(path: Path | str = DEFAULT_FILE, name: str | None = None) -> Settings:
    """Read the settings of a style set.

    Args:
        path: of params.yaml.
        name: of the set; may be left out where there is one.

    Raises:
        SettingsError: see `read_params`; or there is no such set.
    """
    params = read_params(path)
    return settings_of(params, chosen(params.sets, name, path), path)


def chosen(names: Iterable[str], name: str | None, path: Path | str = DEFAULT_FILE) -> str:
    """Return the name of a set, that of the only one where none is given (SettingsError)."""
    known = list(names)
    if name is None and len(known) == 1:
        return known[0]
    if name in known:
        return str(name)
    problem = "several style sets: name one" if name is None else "no such style set"
    raise SettingsError(
        problem,
        file=path,
        value=name,
        limit=", ".join(known),
        fix=f"add it to `{SETS}`, or name one of these",
    )


def settings_of(params: Params, name: str, path: Path | str = DEFAULT_FILE) -> Settings:
    """Return the sections that all sets share with those of a set in their place.

    Args:
        params: content of params.yaml.
        name: of the set.
        path: file to name in errors.

    Raises:
        SettingsError: a setting of the set is unknown, out of bounds, contradicts another or is the
            same for all sets.
    """
    own, prefix = params.sets[name], f"{SETS}.{name}.settings."
    content = params.model_dump(mode="json", by_alias=True, exclude={SETS})
    for key, (_, new) in differences(own.settings, content, path, prefix).items():
        key = key.removeprefix(prefix)
        for shared, reason in SHARED.items():
            if key == shared or key.startswith(f"{shared}."):
                raise SettingsError(
                    f"setting `{prefix}{key}` is the same for all sets",
                    file=path,
                    value=new,
                    limit=reason,
                    fix=f"set it in `{shared.split('.')[0]}`",
                )
        put(content, key, new)
    content["portraits"]["source"] = own.source
    content["register"]["model"] = content["register"]["model"].replace(PLACEHOLDER, name)
    settings = check_settings(Settings, content, path if not own.settings else f"{path}, {name}")
    check_together(settings, path)
    return settings


def tracked(settings: Settings) -> dict[str, Any]:
    """Return the settings that decide about results, as DVC tracks them."""
    return settings.model_dump(mode="json", by_alias=True, exclude={"runtime"})

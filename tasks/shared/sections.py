"""Sections of settings: their base class, YAML files checked against a schema, and overlays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from dualstylegan.errors import SettingsError


class Section(BaseModel):
    """Base of every section: frozen, closed, finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Schema = TypeVar("Schema", bound=Section)


def read_settings(schema: type[Schema], path: Path | str) -> Schema:
    """Read a YAML file of settings and check it against a schema.

    Raises:
        SettingsError: the file is missing or no YAML, a key is missing or unknown, or a value out
            of bounds.
    """
    return check_settings(schema, read_yaml(path), path)


def read_yaml(path: Path | str) -> dict[Any, Any]:
    """Read a YAML file that holds a mapping (SettingsError)."""
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            "cannot read settings",
            file=path,
            value=error.strerror,
            fix="run in the project's folder",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise SettingsError(
            "not valid YAML", file=path, value=problem, fix="correct the line"
        ) from error
    if not isinstance(content, dict):
        raise SettingsError(
            "no sections",
            file=path,
            value=type(content).__name__,
            limit="mapping",
            fix="write the settings as `section:` and indented lines",
        )
    return content


def check_settings(schema: type[Schema], content: object, path: Path | str) -> Schema:
    """Return content as settings.

    Args:
        schema: what it must be.
        content: as YAML gives it.
        path: file to name in errors.

    Raises:
        SettingsError: a key is missing or unknown, or a value out of bounds.
    """
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        raise _explained(schema, path, error) from error


def differences(
    overlay: Mapping[str, Any], values: Mapping[str, Any], path: Path | str, prefix: str = ""
) -> dict[str, tuple[Any, Any]]:
    """Return the settings that an overlay changes, as `section.name` to (old, new).

    Raises:
        SettingsError: the overlay names what is no setting.
    """
    changes: dict[str, tuple[Any, Any]] = {}
    for name, new in overlay.items():
        key = f"{prefix}{name}"
        if name not in values:
            raise SettingsError(
                f"unknown setting `{key}`",
                file=path,
                value=new,
                limit=f"one of: {', '.join(sorted(map(str, values)))}",
                fix="correct the name or remove the line",
            )
        old = values[name]
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changes |= differences(new, old, path, f"{key}.")
        elif old != new:
            changes[key] = (old, new)
    return changes


def put(content: Any, key: str, value: object) -> None:
    """Set the value of a key such as `section.name` in nested mappings."""
    *parents, name = key.split(".")
    for parent in parents:
        content = content[parent]
    content[name] = value


def _explained(schema: type[Section], path: Path | str, error: ValidationError) -> SettingsError:
    """The first fault of a validation as an error with key, value, limit and fix."""
    first: Any = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return SettingsError(
            f"unknown setting `{key}`",
            file=path,
            value=first["input"],
            limit=f"one of: {', '.join(_siblings(schema, first['loc'][:-1]))}",
            fix="correct the name or remove the line",
        )
    if first["type"] == "missing":
        return SettingsError(
            f"setting `{key}` is missing",
            file=path,
            fix="add the line; the repository's params.yaml has every setting",
        )
    return SettingsError(
        f"setting `{key}` is refused",
        file=path,
        value=repr(first["input"]),
        limit=first["msg"],
        fix="choose a value within the limit",
    )


def _siblings(schema: type[Section], location: tuple[Any, ...]) -> list[str]:
    """Names of the settings of a section."""
    model: type[BaseModel] = schema
    for name in location:
        field = next(f for n, f in model.model_fields.items() if (f.alias or n) == name)
        assert isinstance(field.annotation, type)
        model = field.annotation
    return sorted(field.alias or name for name, field in model.model_fields.items())

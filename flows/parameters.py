"""Types of the flows' parameters, from which Prefect's page makes its forms.

Stages and style sets are those of the folder in which a flow is loaded: a deployment steps into the
project's folder first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Optional

from pydantic import Field, create_model

from dualstylegan.errors import SettingsError
from flows.graph import stage_names
from tasks.shared.sections import Section, read_yaml
from tasks.shared.sets import SETS
from tasks.shared.settings import DEFAULT_FILE, Sections


def _choice(names: Iterable[str]) -> Any:
    """Return the type of a text for which a form offers some names.

    What is given is checked when the flow runs, against the folder that it runs in.
    """
    known: list[Any] = list(names)
    return Annotated[str, Field(json_schema_extra={"enum": known})] if known else str


def _names_of_stages() -> list[str]:
    try:
        return stage_names(Path())
    except SettingsError:  # loaded elsewhere
        return []


def _names_of_sets() -> list[str]:
    try:
        return list(read_yaml(DEFAULT_FILE).get(SETS) or {})
    except SettingsError:
        return []


def partial(section: type[Section]) -> type[Section]:
    """Return a section of which each setting may be left out; bounds are checked later."""
    settings: dict[str, Any] = {
        field.alias or name: (
            Optional[field.annotation],  # noqa: UP045
            Field(default=None, description=field.description),
        )
        for name, field in section.model_fields.items()
    }
    made: type[Section] = create_model(f"Own{section.__name__}", __base__=Section, **settings)
    return made


def _overrides() -> Any:
    # Any: fields are made at run time
    sections: dict[str, Any] = {}
    for name, field in Sections.model_fields.items():
        assert isinstance(field.annotation, type)
        field_of = Field(default=None, alias=field.alias)
        sections[name] = (Optional[partial(field.annotation)], field_of)  # noqa: UP045
    return create_model("Overrides", __base__=Section, **sections)


StageName: Any = _choice(_names_of_stages())
StyleSetName: Any = _choice(_names_of_sets())
# Some settings of some sections: they are put into params.yaml before the flow runs.
Overrides: Any = _overrides()
Retries = Annotated[int, Field(ge=0, le=10)]


def given_settings(overrides: Any) -> Mapping[str, Any]:
    """Return the settings that a form gave, as an overlay of params.yaml."""
    if overrides is None:
        return {}
    found: dict[str, Any] = overrides.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {name: values for name, values in found.items() if values}

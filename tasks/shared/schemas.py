"""JSON schemas of the files of settings, for editors: `python -m tasks.shared.schemas`.

`params.yaml` states every setting; a profile states some of them, and needs none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dualstylegan.io.files import write_text
from tasks.base.settings import BaseSettings
from tasks.shared.sections import Section
from tasks.shared.sets import SETS, SHARED, Params, StyleSet

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(settings: type[Section], title: str) -> dict[str, Any]:
    """Return the JSON schema of a file that states every setting."""
    described = settings.model_json_schema(by_alias=True)
    return {"$schema": DIALECT, **_without(described, "title"), "title": title}


def params_schema() -> dict[str, Any]:
    """Return the JSON schema of params.yaml; the settings of a set need none."""
    schema = schema_of(Params, "params.yaml")
    defined = schema["$defs"]
    sections = {
        name: field["$ref"].rpartition("/")[2]
        for name, field in schema["properties"].items()
        if name not in (SETS, *SHARED)
    }
    for kind in sections.values():
        defined[f"Own{kind}"] = _without(defined[kind], "required")
    own = {name: {"$ref": f"#/$defs/Own{kind}"} for name, kind in sections.items()}
    described = defined[StyleSet.__name__]["properties"]["settings"]["description"]
    defined[StyleSet.__name__]["properties"]["settings"] = {
        "type": "object",
        "description": described,
        "properties": own,
        "additionalProperties": False,
    }
    return schema


def profile_schema() -> dict[str, Any]:
    """Return the JSON schema of a profile: that of params.yaml with nothing required."""
    return {**_without(params_schema(), "required"), "title": "profile"}


def schemas() -> dict[Path, str]:
    """Return the text of each schema's file by its path."""
    made = {
        "params.json": params_schema(),
        "profile.json": profile_schema(),
        "base-params.json": schema_of(BaseSettings, "tasks/base/params.yaml"),
    }
    return {FOLDER / name: json.dumps(content, indent=1) + "\n" for name, content in made.items()}


def _without(node: Any, word: str) -> Any:
    """Return a schema without a keyword, in all of its parts.

    Settings have names of their own below `properties`, which may be that word.
    """
    if isinstance(node, list):
        return [_without(part, word) for part in node]
    if not isinstance(node, dict):
        return node
    return {
        key: {name: _without(part, word) for name, part in value.items()}
        if key in ("properties", "$defs")
        else _without(value, word)
        for key, value in node.items()
        if key != word
    }


def main() -> None:
    """Write the schemas."""
    for path, text in schemas().items():
        write_text(path, text)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()

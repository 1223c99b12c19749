"""Reference of the settings: each section of params.yaml with values, bounds and meanings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from docs.site.markdown import join, table
from tasks.shared.schemas import ROOT, params_schema

BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "{} characters or more",
    "maxLength": "{} characters or fewer",
    "pattern": "matches `{}`",
}


def page() -> str:
    """Return the reference as Markdown."""
    schema = params_schema()
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    parts = []
    for name, section in schema["properties"].items():
        content = resolve(section, schema)
        parts += [f"## {name}", content.get("description", "")]
        shown = rows(*one_of(content, values[name], schema), schema)
        parts.append(table(["setting", "value", "limits", "meaning"], shown))
    return join(parts)


def one_of(
    section: Mapping[str, Any], values: Mapping[str, Any], schema: Mapping[str, Any]
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return a section and its values; of a mapping by free names the first entry, as NAME."""
    if "patternProperties" not in section:
        return dict(section), values
    entry = resolve(next(iter(section["patternProperties"].values())), schema)
    return {"properties": {"NAME": entry}}, {"NAME": next(iter(values.values()))}


def resolve(node: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of a schema with its reference followed."""
    if "$ref" not in node:
        return dict(node)
    return {**schema["$defs"][node["$ref"].rpartition("/")[2]], **node}


def rows(
    section: Mapping[str, Any],
    values: Mapping[str, Any],
    schema: Mapping[str, Any],
    prefix: str = "",
) -> Iterator[list[str]]:
    """Yield name, value, limits and meaning of each setting of a section."""
    for name, node in section["properties"].items():
        content = resolve(node, schema)
        if values[name] != {} and "properties" in content:
            yield from rows(content, values[name], schema, f"{prefix}{name}.")
            continue
        value = yaml.safe_dump(values[name], default_flow_style=True).splitlines()[0]
        limits = limits_of(content, schema)
        yield [f"`{prefix}{name}`", f"`{value}`", limits, content.get("description", "")]


def limits_of(node: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return the type of a setting and its bounds in words."""
    node = resolve(node, schema)
    if "anyOf" in node:
        return " or ".join(dict.fromkeys(limits_of(part, schema) for part in node["anyOf"]))
    if "enum" in node or "const" in node:
        return ", ".join(f"`{value}`" for value in node.get("enum", [node.get("const")]))
    if node["type"] == "array":
        return f"list of {limits_of(node['items'], schema)}"
    kind = {"string": "text", "number": "number", "integer": "whole number"}
    parts = [kind.get(node["type"], node["type"])]
    parts += [said.format(f"{node[k]}") for k, said in BOUNDS.items() if k in node]
    return ", ".join(parts)

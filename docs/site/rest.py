"""Reference of the studio's REST interface, from its OpenAPI description."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from docs.site.markdown import join, table
from dualstylegan.studio.openapi import document


def page() -> str:
    """Return the reference as Markdown."""
    described = document()
    parts: list[str] = []
    for path, item in described["paths"].items():
        for method in ("get", "post", "delete"):
            if method in item:
                parts += [f"## {method.upper()} {path}", *_operation(item[method])]
    parts.append("## Answers")
    for name, schema in described["components"]["schemas"].items():
        parts += [f"### {name}", schema.get("description", "")]
        fields = schema.get("properties", {}).items()
        parts.append(
            table(
                ["field", "type", "meaning"],
                ([f"`{key}`", kind(field), field.get("description", "")] for key, field in fields),
            )
        )
    return join(parts)


def _operation(operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"{operation['summary']}."
    if "requestBody" in operation:
        yield "Body: the picture's file itself."
    parameters = operation.get("parameters", [])
    yield table(
        ["parameter", "type", "meaning"],
        ([_name(one), kind(one["schema"]), one.get("description", "")] for one in parameters),
    )
    answers = operation["responses"].items()
    yield table(
        ["status", "answer", "content"], ([k, a["description"], _content(a)] for k, a in answers)
    )


def _name(parameter: Mapping[str, Any]) -> str:
    return f"`{parameter['name']}`" + (" (required)" if parameter.get("required") else "")


def _content(answer: Mapping[str, Any]) -> str:
    """Return the media types of an answer, or the schema of its JSON."""
    parts = []
    for media, content in answer.get("content", {}).items():
        reference = content.get("schema", {}).get("$ref")
        parts.append(reference.rpartition("/")[2] if reference else media)
    return ", ".join(f"`{part}`" for part in parts)


def kind(schema: Mapping[str, Any]) -> str:
    """Return the type of a value and its bounds in words."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind(part) for part in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        inner = schema.get("items", {})
        return f"list of {kind(inner)}" if inner else "list"
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = f", {low} to {high}" if low is not None and high is not None else ""
    default = f", default `{schema['default']}`" if schema.get("default") is not None else ""
    return f"{schema.get('type', 'any')}{bounds}{default}"

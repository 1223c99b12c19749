"""Markdown that several generated pages use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, or nothing where it has no rows."""
    body = ["| " + " | ".join(map(cell, row)) + " |" for row in rows]
    if not body:
        return ""
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *body])


def cell(text: str) -> str:
    """Return a text as it can stand in a cell."""
    return " ".join(text.replace("|", "\\|").split())


def join(parts: Iterable[str]) -> str:
    """Return paragraphs as a page; empty ones are left out."""
    return "\n\n".join(part for part in parts if part)

"""Import closures: every file of the project that a module imports, directly or not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def file_of(module: str) -> Path | None:
    """Return the file of a module of the project, relative to it; None for other modules."""
    path = Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if (ROOT / candidate).is_file():
            return candidate
    return None


@cache
def imported(file: Path) -> tuple[str, ...]:
    """Return the modules that a file imports, inside functions too, but for types alone."""

    def visit(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module:
                yield child.module
                yield from (f"{child.module}.{alias.name}" for alias in child.names)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                yield from (name for part in child.orelse for name in visit(part))
            else:
                yield from visit(child)

    return tuple(visit(ast.parse((ROOT / file).read_text())))


def closure(module: str, without: frozenset[Path] = frozenset()) -> set[Path]:
    """Return the project's files that are executed when a module runs, relative to the project.

    Args:
        module: where to start.
        without: files that are left out, and what they import with them.
    """
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        parents = name.split(".")
        for depth in range(1, len(parents) + 1):
            file = file_of(".".join(parents[:depth]))
            if file is not None and file not in found and file not in without:
                found.add(file)
                waiting.extend(imported(file))
    return found

"""Write docs/map.md: each module of the project with the first line of its docstring."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("dualstylegan", "tasks", "flows")
HEAD = """# Map

Each module and what it says of itself. `python docs/make_map.py` writes this page.

```
"""


def summary(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]


def rows(folder: Path, depth: int = 0) -> Iterator[str]:
    """Yield a line per module below a package, the package's own first."""
    yield f"{'  ' * depth}{folder.name + '/':<{24 - 2 * depth}} {summary(folder / '__init__.py')}"
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py":
            yield f"{'  ' * (depth + 1)}{path.name:<{22 - 2 * depth}} {summary(path)}"
    for package in sorted(p.parent for p in folder.glob("*/__init__.py")):
        yield from rows(package, depth + 1)


def page() -> str:
    """Return the page."""
    return HEAD + "\n".join(row for name in PACKAGES for row in rows(ROOT / name)) + "\n```\n"


if __name__ == "__main__":
    (ROOT / "docs" / "map.md").write_text(page())

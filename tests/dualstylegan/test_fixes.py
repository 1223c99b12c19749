"""Every error that names what is wrong says what a person can do about it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from dualstylegan import errors
from tests.conftest import ROOT

FOLDERS = ("dualstylegan", "tasks", "flows")
KINDS = frozenset(
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.DualStyleGANError)
)
# Errors without a fix of their own, each with the reason.
EXCEPTIONS = {
    "ClosingError": "its constructor gives the fix",
}


def raised(path: Path) -> Iterator[tuple[int, str, ast.Call]]:
    """Yield the calls that make a typed error, with line and name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
            if name in KINDS:
                yield node.lineno, name, node


def test_every_typed_error_has_a_fix() -> None:
    count, without = 0, []
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        for line, name, call in raised(path):
            count += 1
            given = {word.arg: word.value for word in call.keywords}
            fix = given.get("fix")
            empty = isinstance(fix, ast.Constant) and not fix.value
            if name not in EXCEPTIONS and (fix is None or empty):
                without.append(f"{path.relative_to(ROOT)}:{line}: {name}")
    assert without == []
    assert count > 300


def test_exceptions_are_needed() -> None:
    names = {
        name
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        for _, name, call in raised(path)
        if "fix" not in {word.arg for word in call.keywords}
    }
    assert names == set(EXCEPTIONS)

"""Docstrings begin as in the field: with a verb or a noun, never with a bare relative clause."""

from __future__ import annotations

import ast
import re

from tests.conftest import ROOT

FOLDERS = ("dualstylegan", "tasks", "flows", "benchmarks", "docs", "examples", "tests")
RELATIVE = re.compile(r"(What|Whatever|How|Where|Whether|Who|Whose|Which|When|Why|That)\b")
LOOSE_MODULES = 4


def test_no_docstring_begins_with_a_relative_clause() -> None:
    clauses = []
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                first = (ast.get_docstring(node) or "").partition("\n")[0]
                if RELATIVE.match(first):
                    clauses.append(f"{path.relative_to(ROOT)}: {first}")
    assert clauses == []


def test_few_modules_stand_loose_in_the_core() -> None:
    assert len(list((ROOT / "dualstylegan").glob("*.py"))) <= LOOSE_MODULES

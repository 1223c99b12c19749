"""Paths of the pipeline: those of a style set follow the set that a process has opened."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.shared.paths import DEMO, Paths
from tests.conftest import ROOT

SOURCES = [
    path for name in ("tasks", "flows", "benchmarks") for path in (ROOT / name).rglob("*.py")
]


def read_at_import(tree: ast.AST) -> Iterator[str]:
    """Yield the paths that a module reads while it is imported, default arguments among them."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            early = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
            early += getattr(node, "decorator_list", [])
            for part in early:
                yield from read_at_import(ast.Expr(part))
            continue
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "Paths"
        ):
            yield node.attr
        yield from read_at_import(node)


def test_no_module_keeps_the_path_of_a_set_from_before_the_set_is_opened() -> None:
    kept = {
        f"{source.relative_to(ROOT)}: {name}"
        for source in SOURCES
        for name in read_at_import(ast.parse(source.read_text("utf-8")))
        if getattr(Paths, name).is_relative_to(Paths.sets / DEMO)
    }
    assert kept == set()


@pytest.mark.parametrize(
    "source",
    [
        "A = Paths.portraits / 'style'",
        "def f(folder=Paths.pastiches): ...",
        "class A:\n    def f(self, *, folder=Paths.pastiches): ...",
        "class A:\n    folder = Paths.pastiches",
        "f = lambda x=Paths.pastiches: x",
        "@kept(Paths.pastiches)\ndef f(): ...",
    ],
)
def test_a_path_that_is_kept_is_found(source: str) -> None:
    assert len(list(read_at_import(ast.parse(source)))) == 1
    assert not list(read_at_import(ast.parse("def f():\n    return Paths.pastiches")))


def test_paths_of_a_set_follow_the_set_that_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {key: path for key, path in vars(Paths).items() if isinstance(path, Path)}
    for key, path in before.items():
        monkeypatch.setattr(Paths, key, path)
    Paths.open_set("cartoon")
    for key, path in before.items():
        moved = getattr(Paths, key)
        if path.is_relative_to(Paths.sets / DEMO):
            assert moved == Paths.sets / "cartoon" / path.relative_to(Paths.sets / DEMO)
        else:
            assert moved == path

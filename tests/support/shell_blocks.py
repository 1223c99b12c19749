"""Commands in the shell blocks of Markdown pages, as words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CONTINUED = re.compile(r"(\\|\|)\n\s*")
OPERATORS = frozenset({"|", "&&", ";"})
REDIRECTIONS = frozenset({">", "<"})


@dataclass(frozen=True)
class Command:
    """Command of a page.

    Attributes:
        program: its first word.
        arguments: the others; redirections are left out.
        text: the line as it stands.
        piped: commands before it, whose output it reads.
    """

    program: str
    arguments: tuple[str, ...]
    text: str
    piped: tuple[Command, ...] = ()


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return [block for name, block in FENCED.findall(page) if name == language]


def commands(page: str) -> Iterator[Command]:
    """Yield the commands of a page's shell blocks in their order."""
    for block in blocks(page, "sh"):
        for line in CONTINUED.sub(lambda m: m[1].replace("\\", " "), block).splitlines():
            yield from split(line)


def split(line: str) -> Iterator[Command]:
    """Yield the commands of a line; of a pipe the last one, which knows those before it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    piped: list[Command] = []
    for word in [*lexer, ";"]:
        if word not in OPERATORS:
            words.append(word)
            continue
        if words:
            command = Command(words[0], _plain(words[1:]), line.strip(), tuple(piped))
            piped = [*piped, command] if word == "|" else []
            if word != "|":
                yield command
        words = []


def _plain(words: list[str]) -> tuple[str, ...]:
    """Return words without redirections and their files."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip or word in REDIRECTIONS:
            skip = word in REDIRECTIONS
            continue
        kept.append(word)
    return tuple(kept)


def pages(root: Path) -> dict[str, str]:
    """Return the project's pages for readers by their paths below its folder."""
    found = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("examples/*.md")]
    found += root.glob("data/base/*.md")
    return {str(path.relative_to(root)): path.read_text() for path in sorted(found)}

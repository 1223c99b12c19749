"""Texts of strangers as they are shown: one line, which no terminal obeys and any file takes."""

from __future__ import annotations

import pytest

from dualstylegan.errors import DataError, one_line
from dualstylegan.io.names import well_formed
from tests.support.command import run


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Grüße 日本 👩\u200d🚀\u00a0!", "Grüße 日本 👩\u200d🚀\u00a0!"),
        ("a\nb\r\u2028", r"a\nb\r\u2028"),
        ("\x1b[31m\x07", r"\x1b[31m\x07"),
        ("right\u202egnp.jpg", r"right\u202egnp.jpg"),
        ("\udcff", r"\udcff"),
    ],
)
def test_lines_hold_what_can_be_seen(text: str, shown: str) -> None:
    assert one_line(text) == shown
    assert one_line(shown) == shown


def test_errors_are_one_line_and_name_a_file_in_place_of_another() -> None:
    error = DataError("cannot be read", file="line\nbreak\udcff.png", value="\x1b[2J", fix="none")
    assert str(error) == r"line\nbreak\udcff.png: cannot be read; found: \x1b[2J; fix: none"
    assert error.file == "line\nbreak\udcff.png"
    error.name_instead("line\nbreak\udcff.png", "other\n.png")
    assert str(error).startswith(r"other\n.png: cannot be read")


def test_what_the_command_was_given_is_shown_in_one_line() -> None:
    for arguments in (
        ("transfer", "a.png", "--style", "x", "-o", "b\n\x1b[2J\udcff.gif"),
        ("verify", "a\n\x1b[2J\udcff"),
    ):
        done = run(*arguments)
        assert done.status == 2
        assert len(done.stderr.splitlines()) == 1
        assert "\x1b" not in done.stderr


def test_names_that_are_no_text_become_text() -> None:
    assert well_formed("Grüße") == "Grüße"
    assert well_formed("b\udcff") == "b\ufffd"

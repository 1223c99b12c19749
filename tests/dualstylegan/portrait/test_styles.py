"""Styles that texts ask for: one, several, all, a mix."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstylegan.errors import SettingsError
from dualstylegan.portrait.styles import file_part, mix_name, mix_shares, parse_styles

NAMES = ("ink", "oil", "a,b", "wax-1")
LABELS = {"wax-1": "wax: 1"}


@pytest.mark.parametrize(
    ("texts", "asked"),
    [
        (["ink"], [{"ink": 1.0}]),
        (["wax: 1"], [{"wax-1": 1.0}]),
        (["ink,oil"], [{"ink": 1.0}, {"oil": 1.0}]),
        (["ink, oil,ink"], [{"ink": 1.0}, {"oil": 1.0}]),
        (["a,b"], [{"a,b": 1.0}]),
        (["all"], [{name: 1.0} for name in NAMES]),
        (["ink:0.6", "oil:0.4"], [{"ink": 0.6, "oil": 0.4}]),
        (["ink", "oil:2"], [{"ink": 1.0, "oil": 2.0}]),
        (["ink", "ink", "oil:1e-1"], [{"ink": 2.0, "oil": 0.1}]),
        (["wax: 1:2", "ink"], [{"wax-1": 2.0, "ink": 1.0}]),
        (["ink:0.6"], [{"ink": 1.0}]),
    ],
)
def test_texts_are_names_lists_and_mixes(texts: list[str], asked: list[dict[str, float]]) -> None:
    assert parse_styles(NAMES, LABELS, texts) == asked


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["inc"], "did you mean ink"),
        (["ink,inc"], "found: inc"),
        (["ink:0.5", "inc:0.5"], "found: inc;"),
        (["ink:x", "oil"], "found: ink:x"),
        (["ink,oil", "ink"], "unknown style; found: ink,oil"),
        (["ink:0", "oil:0"], "all 0"),
        (["ink:-1", "oil:2"], "0 or more"),
        (["ink:-1"], "0 or more"),
        (["ink:1e999"], "0 or more"),
        (["ink:0"], "all 0"),
    ],
)
def test_other_texts_are_refused(texts: list[str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        parse_styles(NAMES, LABELS, texts)


weights = st.dictionaries(st.sampled_from(NAMES), st.floats(0, 1e6), min_size=1)


@given(weights)
def test_shares_are_convex(mix: dict[str, float]) -> None:
    if sum(mix.values()) == 0:
        return
    shares = mix_shares(NAMES, LABELS, mix)
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= 0
    assert set(shares) <= set(mix)
    assert mix_name(shares)


def test_files_of_mixes_have_names_without_blanks_and_colons() -> None:
    assert file_part(mix_name({"oak": 0.6, "sky blue": 0.4})) == "oak-0.6+sky blue-0.4"
    assert file_part(mix_name({"oak": 0.9999, "b": 0.00005})) == "oak-0.9999+b-5e-05"
    assert file_part("sky blue") == "sky blue"

"""One rule for names: whatever people write becomes a path, and says so by staying itself."""

from __future__ import annotations

import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstylegan.io.names import MAX_NAME_BYTES, safe_name

FINE: tuple[str, ...]
FINE = ("amber-fox", "Frida Kahlo", "ex_01.b", "Жанна", "北斎", "Müller (2)", "a&b", "d'Arc")
FINE = (*FINE, "100 €", "\U0001f469\u200d\U0001f3a8")
# What browsers, shells and other systems put into file names.
ODD: tuple[str, ...]
ODD = ("a#1", "50%", "who?", "a:b", 'the "one"', "a<b>c", "a|b", "a\\b", "a/b", "..", ".", "")
ODD = (*ODD, " x", "x ", "con", "NUL.txt", "lpt1", "tab\there", "line\nbreak", "left\u202eright")
ODD = (*ODD, "\udcff", "x" * 300)


@pytest.mark.parametrize("label", FINE)
def test_a_fine_name_stays_itself(label: str) -> None:
    assert safe_name(label) == label


@pytest.mark.parametrize("label", ODD)
def test_an_odd_name_becomes_a_file_and_its_own(tmp_path: Path, label: str) -> None:
    name = safe_name(label)
    assert name != label
    (tmp_path / f"{name}.png").write_text("x")
    assert [p.stem for p in tmp_path.iterdir()] == [name]
    assert len({safe_name(other) for other in ODD}) == len(ODD)


@given(st.text(max_size=300))
def test_names_are_safe_and_stay_so(label: str) -> None:
    name = safe_name(label)
    assert safe_name(name) == name
    assert 0 < len(name.encode()) <= MAX_NAME_BYTES
    assert not set(name) & set('/\\:*?"<>|#%\n\r\t\0')
    assert name == name.strip(" .") == unicodedata.normalize("NFC", name)


@given(st.text(max_size=20), st.text(max_size=20))
def test_two_labels_share_a_name_only_if_they_are_canonically_equal(a: str, b: str) -> None:
    equal = unicodedata.normalize("NFC", a) == unicodedata.normalize("NFC", b)
    assert (safe_name(a) == safe_name(b)) == equal


@pytest.mark.parametrize("label", ["a" * 10**5, "\u00e9:" * 10**5, "con." * 10**5])
def test_a_label_of_any_length_is_named_at_once(label: str) -> None:
    """A request may bring one: each letter took as long as the whole, a million of them 80 s."""

    def seconds(label: str) -> float:
        started = time.process_time()
        safe_name(label)
        return time.process_time() - started

    name = safe_name(label)
    half = min(seconds(label[: len(label) // 2]) for _ in range(3))
    assert min(seconds(label) for _ in range(3)) < 3 * half  # four times before
    assert len(name.encode()) <= MAX_NAME_BYTES


def test_composed_and_decomposed_letters_are_one_name() -> None:
    assert safe_name("Mu\u0308ller") == safe_name("M\u00fcller") == "M\u00fcller"

"""Text cleaning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.cleaning import Cleaning, clean

NOTHING = Cleaning(html=False, nfc=False, control=False, whitespace=False)


@pytest.mark.parametrize(
    ("steps", "before", "after"),
    [
        (Cleaning(), "  two \t\r\n words\u2003 ", "two words"),
        (Cleaning(), "e\u0301", "\u00e9"),
        (Cleaning(), "e\x00\u0301", "\u00e9"),
        (Cleaning(), "a\x07b\x1b[0m\x85c", "ab[0m c"),
        (Cleaning(html=True), "Tom &amp; Jerry &lt;3", "Tom & Jerry <3"),
        (Cleaning(), "Tom &amp; Jerry", "Tom &amp; Jerry"),
        (NOTHING, " e\u0301 \x00", " e\u0301 \x00"),
        (NOTHING, "a\ud83db", "a\ufffdb"),
    ],
)
def test_each_step_does_what_it_says_and_only_when_chosen(steps, before, after):
    assert clean(before, steps) == after


@given(st.text(), st.booleans(), st.booleans(), st.booleans())
def test_cleaning_a_clean_text_changes_nothing(text, nfc, control, whitespace):
    steps = Cleaning(nfc=nfc, control=control, whitespace=whitespace)
    assert clean(clean(text, steps), steps) == clean(text, steps)


@given(st.text(st.characters(categories=["Lu", "Mn", "Cs", "Cc"])))
def test_a_clean_text_can_always_be_written_as_utf8(text):
    assert clean(text, NOTHING).encode().decode() == clean(text, NOTHING)


def test_a_row_of_marks_too_long_for_any_language_is_bounded():
    assert len(clean("a" + "\u0301\u0323" * 5_000, Cleaning())) <= 31


def test_a_language_with_many_marks_keeps_them():
    assert clean("ก็่" * 3 + "e\u0301", Cleaning()) == "ก็่" * 3 + "\u00e9"

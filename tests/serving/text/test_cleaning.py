"""Text cleaning."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.serving.text.cleaning import Cleaning, clean, clean_label, is_visible

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


@pytest.mark.parametrize(
    "name",
    [
        "cafe\u0301", "caf\u00e9\u200b", "\ufeffcaf\u00e9", "ca\u00adf\u00e9", "cafe\u200b\u0301", "caf\u00e9\ufe0f",
        "\u2060caf\u00e9\u200e", "caf\u00e9\u200d", "c\u200caf\u00e9", "\u00a0caf\u00e9\t",
        "cafe\u034f\u0301", "caf\u00e9\x00",
    ],
)  # fmt: skip
def test_names_that_look_the_same_are_one(name):
    assert clean_label(name) == "caf\u00e9"


@pytest.mark.parametrize("name", ["New  York", "New\u00a0York", "New\u2003York", "New\nYork", "New \u200b York"])
def test_blanks_inside_a_name_are_one_space(name):
    assert clean_label(name) == "New York"


@pytest.mark.parametrize(
    "name",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0915\u094d\u200d\u0937",
        "\U0001f469\u200d\U0001f680",
        "\u2764\ufe0f\u200d\U0001f525",
        "1\ufe0f\u20e3",
    ],
)
def test_what_changes_how_a_name_looks_stays(name):
    assert clean_label(name) == name


@given(st.text(st.sampled_from("ae\u0301\u200b\u200c\u200d\ufe0f\u0645\U0001f469 \u00a0\u034f\ud83d")))
def test_a_clean_name_stays_as_it_is(name):
    assert clean_label(clean_label(name)) == clean_label(name)


@pytest.mark.parametrize(
    "text", ["", " ", "\u200b", "\ufeff\u2060", "\u00ad", "\u3164", "\u2800", "\u200d\ufe0f", "\x00\u2003"]
)
def test_a_text_without_anything_to_see_is_known(text):
    assert not is_visible(text)
    assert is_visible(f"{text}.")


@pytest.mark.parametrize(
    "row", ["\ufe0f\u200d", "\u200d", "\u200b\ufe0f", "\u0301\ufe0f", "\ufe0f\u00ad\u200d", "\u200d\u200b"]
)
def test_a_long_row_of_what_nobody_sees_takes_linear_time(row):
    before = time.process_time()
    clean_label("a" + row * 100_000 + "b")
    assert time.process_time() - before < 5

"""Where the characters of a cleaned text came from."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.serving.text.alignment import align
from tunewright.serving.text.cleaning import Cleaning, clean

EVERYTHING = Cleaning(html=True)
MARKS = [chr(code) for code in range(0x110000) if unicodedata.combining(chr(code))]
# Every character that composing may take apart or put together, as it is and taken apart.
DECOMPOSED = [
    form
    for code in range(0x110000)
    if (form := unicodedata.normalize("NFD", chr(code))) != chr(code) and not 0xD800 <= code < 0xE000
]
DIFFICULT = st.one_of(
    st.sampled_from(DECOMPOSED),
    st.sampled_from([unicodedata.normalize("NFC", form) for form in DECOMPOSED]),
    st.sampled_from(MARKS),
    st.sampled_from([chr(code) for code in range(0x1100, 0x1200)]),
    st.sampled_from("ab ;#x1\t\r\n\x00\x07\x1c\u2003\u200b\ud800😀"),
    st.sampled_from(["&amp;", "&lt", "&#233;", "&#1;", "&#xe9", "&notit;", "&semi;", "&NotEqualTilde;", "&", "&x"]),
    st.sampled_from(["a" + "\u0301\u0323" * 20, "q" + "\u0301" * 40]),
)
STEPS = st.builds(Cleaning, html=st.booleans(), nfc=st.booleans(), control=st.booleans(), whitespace=st.booleans())


@given(st.lists(DIFFICULT, max_size=12).map("".join), STEPS)
def test_an_aligned_text_is_the_cleaned_text_and_its_spans_run_through_the_source(source, steps):
    aligned = align(source, steps)
    assert aligned.text == clean(source, steps)
    before = 0
    for index in range(len(aligned.text)):
        start, end = aligned.span(index, index + 1)
        assert before <= start < end <= len(source)
        before = start


@given(st.lists(DIFFICULT, max_size=12).map("".join), STEPS)
def test_a_plain_letter_is_where_the_source_has_it_or_an_entity_for_it(source, steps):
    aligned = align(source, steps)
    for index, letter in enumerate(aligned.text):
        start, end = aligned.span(index, index + 1)
        assert letter not in "abx1" or letter in source[start:end] or source[start] == "&"


@pytest.mark.parametrize(
    ("source", "word", "part"),
    [
        ("  a \x00\n  lamp ", "lamp", "lamp"),
        ("a la\x07mp", "lamp", "la\x07mp"),
        ("cafe\u0301 noir", "café", "cafe\u0301"),
        ("cafe\u0301 noir", "noir", "noir"),
        ("e\u0301 \u1112\u1161\u11ab\u1100\u116e\u11a8 x", "한국", "\u1112\u1161\u11ab\u1100\u116e\u11a8"),
        ("Tom &amp; Jerry", "&", "&amp;"),
        ("Tom &amp; Jerry", "Jerry", "Jerry"),
        ("I&#x27;m&nbsp;Ann", "Ann", "Ann"),
        ("&notit; here", "¬it;", "&notit;"),
        ("a\ud800 b\x00", "b", "b"),
        ("two \t words", "two words", "two \t words"),
    ],
)
def test_a_word_of_the_cleaned_text_is_found_where_the_caller_wrote_it(source, word, part):
    aligned = align(source, EVERYTHING)
    start = aligned.text.index(word)
    first, last = aligned.span(start, start + len(word))
    assert source[first:last] == part


def test_an_empty_span_has_a_place():
    aligned = align("  a \x07 b", Cleaning())
    assert aligned.text == "a b"
    assert aligned.span(0, 0) == (2, 2)
    assert aligned.span(3, 3) == (7, 7)
    assert align("\x00", Cleaning()).span(0, 0) == (0, 0)

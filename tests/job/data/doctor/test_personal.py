import pytest

from tunewright.job.data.doctor.personal import masked, personal

VALUES = {
    "anna.berg@example.org": "e-mail address",
    "4111 1111 1111 1111": "card number",
    "5500005555555559": "card number",
    "GB82 WEST 1234 5698 7654 32": "bank account",
    "+44 20 7946 0958": "telephone number",
    "09061701461": "telephone number",
    "(555) 010-4477": "telephone number",
}
HARMLESS = [
    "4111 1111 1111 1112",  # the check digit is wrong
    "0000 0000 0000 0000",
    "born 01-02-2003",
    "2019-03-12 10:15",
    "it cost 12,000,000.50",
    "version 1.2.3.4",
    "at 5pm we @home",
    "GB82 WEST 1234 5698 7654 33",
    "between 1990 and 2000",
]


@pytest.mark.parametrize("value", VALUES)
def test_what_a_value_is_stands_in_its_place(value):
    assert masked(f"reach me: {value}, please") == f"reach me: [{VALUES[value]}], please"


@pytest.mark.parametrize("text", HARMLESS)
def test_other_numbers_are_left_alone(text):
    assert masked(text) == text


def test_rows_are_counted_and_no_value_is_shown(side):
    rows = [(f"a text about {value}", "a") for value in VALUES] + [(text, "b") for text in HARMLESS]
    (found,) = personal(side(rows))
    assert found.text == (
        "7 of 16 train rows seem to hold personal data (rows: telephone number in 3, card number in 2, "
        "e-mail address in 1, bank account in 1)"
    )
    assert [one.line for one in found.examples] == [2, 3, 4, 5, 6]
    assert not [value for value in VALUES if value in repr(found)]


def test_texts_without_any_have_no_finding(side, texts):
    assert list(personal(side([(text, "a") for text in [*texts(20), *HARMLESS]]))) == []

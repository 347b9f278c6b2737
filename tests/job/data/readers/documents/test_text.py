"""A JSON array as a stream of its elements."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.job.data.readers.documents.text import read_array
from tunewright.job.errors import DataError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def read(text, size=1):
    return list(read_array(iter([text[at : at + size] for at in range(0, len(text), size)]), "a.json"))


def fault(text):
    with pytest.raises(DataError) as caught:
        read(text)
    return str(caught.value)


@given(values=st.lists(VALUES), size=st.integers(1, 50), indent=st.none() | st.integers(0, 2))
def test_it_reads_what_json_reads_wherever_the_pieces_end(values, size, indent):
    assert read(json.dumps(values, indent=indent), size) == values


def test_an_element_without_end_is_not_read_to_the_end():
    asked = 0

    def pieces():
        nonlocal asked
        yield '[{"a": "'
        for asked in range(100):  # noqa: B007 - it is read below
            yield "x" * 2**20

    with pytest.raises(DataError, match=r"a\.json, row 1 is not JSON: Unterminated"):
        list(read_array(pieces(), "a.json"))
    assert asked < 20


def test_white_space_alone_is_no_element():
    assert read("") == read(" \n") == read(" [ ] \n") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"text": "a"}', "a.json begins with '{'; expected a JSON array of objects"),
        ('[{"a": 1}, {"a": }]', "a.json, row 2 is not JSON: Expecting value"),
        ('[{"a": 1}, {"a": 2', "a.json, row 2 is not JSON: Expecting ',' delimiter"),
        ('[{"a": 1},]', "a.json, row 2 is not JSON: Expecting value"),
        ('[{"a": 1}', "a.json: the file ends after row 1, where ',' or ']' belongs"),
        ('[{"a": 1} {"a": 2}]', "a.json: '{' stands after row 1, where ',' or ']' belongs"),
        (
            '[{"a": 1}]\n\ufeff[]',
            "a.json: '[' stands after the end of the array; expected one array "
            "(`jq -s add OLD > NEW.json` makes one of several)",
        ),
        ("[" * 200_000, "a.json, row 1 is nested too deeply"),
    ],
)
def test_a_fault_is_named_with_its_row(text, said):
    assert fault(text) == said


def test_a_long_array_needs_the_memory_of_a_piece():
    element = json.dumps({"text": "word " * 200, "label": "a"})
    pieces = (("[" if index == 0 else ",") + element for index in range(50_000))
    tracemalloc.start()
    count = sum(1 for _ in read_array(_closed(pieces), "a.json"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 50_000
    assert peak < 10 * 2**20


def _closed(pieces):
    yield from pieces
    yield "]"

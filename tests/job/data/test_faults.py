"""Faults of rows, counted by kind."""

import pytest

from tunewright.job.data.faults import Faults, listed, shown
from tunewright.job.errors import DataError


def sentences(faults):
    with pytest.raises(DataError) as caught:
        faults.raise_any()
    return str(caught.value).splitlines()


def test_without_faults_nothing_is_raised():
    Faults().raise_any()


def test_each_kind_is_told_once_with_its_first_place_and_its_count():
    faults = Faults()
    faults.add("column 'text' is empty", "a.csv, line 2:", "fill it")
    for line in range(3, 1003):
        faults.add("column 'text' is empty", f"a.csv, line {line}:", "fill it")
    faults.add("has 3 values", "a.csv, line 9:")
    faults.add("has 3 values", "a.csv, line 10:")
    assert sentences(faults) == [
        "a.csv, line 2: column 'text' is empty; fill it (1,000 more rows share this fault)",
        "a.csv, line 9: has 3 values (1 more row shares this fault)",
    ]


def test_a_file_full_of_different_faults_is_told_in_a_few_lines():
    faults = Faults()
    for count in range(40):
        faults.add(f"has {count} values", "a.csv, line 2:")
    assert len(sentences(faults)) == 11
    assert sentences(faults)[-1] == "30 more kinds of fault are not shown"


def test_a_value_is_quoted_and_cut():
    assert shown("a\n") == "'a\\n'"
    assert shown("x" * 100) == "'" + "x" * 56 + "..."


def test_a_list_is_cut():
    assert listed("abc", 3) == "a, b, c"
    assert listed(iter("abcd"), 3) == "a, b, c, ..."


def test_the_faults_of_another_count_are_added():
    faults, others = Faults(), Faults()
    faults.add("has 3 values", "a.csv, line 9:")
    others.add("has 3 values", "b.csv, line 1:")
    others.add("has no column 'text'", "b.csv, line 2:", "set data.columns", value="'x'")
    faults.add_all(others)
    faults.add_all(Faults())
    assert sentences(faults) == [
        "a.csv, line 9: has 3 values (1 more row shares this fault)",
        "b.csv, line 2: has no column 'text'; set data.columns",
    ]

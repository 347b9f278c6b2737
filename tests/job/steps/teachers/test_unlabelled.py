"""Rows without labels: read as the others are, and refused with their place."""

import json

import pytest

from tunewright.job.errors import DataError
from tunewright.job.steps.prepare import prepare


def written(write, name, texts, **more):
    return str(write(name, "".join(json.dumps({"text": text, **more}) + "\n" for text in texts).encode()))


@pytest.fixture(params=["unlabelled", "out_of_scope"])
def name(request):
    """The setting that names the rows."""
    return request.param


@pytest.fixture
def prepared(name, make_settings, write, tmp_path):
    """prepared(rows, **data): the data of a job with these rows without labels."""

    def make(without, **more):
        rows = "".join(json.dumps({"text": f"text {n}", "label": "ab"[n % 2]}) + "\n" for n in range(40))
        data = {"train": str(write("train.jsonl", rows.encode())), name: without, **more}
        taught = {"distill": {"teacher": "x"}} if name == "unlabelled" else {}
        return prepare(make_settings("single", data=data, train=taught), tmp_path / "cache", tmp_path / "work")

    return make


def test_they_are_cleaned_as_the_others_and_those_that_stand_elsewhere_are_left_out(prepared, write, name):
    texts = ["new  one", "NEW one", "Text 3", "another &amp; one"]
    found = prepared(written(write, "u.jsonl", texts), cleaning={"html": True})
    assert getattr(found, name).data.inputs() == ["new one", "another & one"]
    assert found.facts["rows"][name] == 2
    assert found.facts["files"][name][0]["address"].endswith("u.jsonl")


def test_a_label_that_they_have_is_not_read(prepared, write, name):
    assert len(getattr(prepared(written(write, "u.jsonl", ["new one"], label="c")), name)) == 1


def test_a_row_that_cannot_be_read_is_told_with_its_place(prepared, write):
    with pytest.raises(DataError, match=r"u\.jsonl, line 2: has no column 'text'"):
        prepared(str(write("u.jsonl", b'{"text": "a"}\n{"txt": "b"}\n')))


def test_rows_that_all_stand_elsewhere_are_refused(prepared, write, name):
    with pytest.raises(DataError) as caught:
        prepared(written(write, "u.jsonl", ["text 1", "text 2"]))
    assert str(caught.value) == (
        f"data.{name} has no row that is not in train, validation or test; give others, or leave it"
    )

"""The rows that an imported model is measured on: its labels alone, and nothing is split off."""

import numpy as np
import pytest

from tunewright.job.commands.imports.rows import measured_rows
from tunewright.job.commands.imports.settings import ImportSettings
from tunewright.job.errors import DataError

LABELS = ["negative", "positive", "neutral"]


@pytest.fixture
def read(write, tmp_path):
    """read("a,positive", validation="b,negative", ...): the rows of these lines, for a model of three labels."""

    def make(*lines, validation=None, **data):
        files = {"test": lines, **({"validation": [validation]} if validation else {})}
        paths = {side: str(write(f"{side}.csv", "\n".join(["text,label", *of]).encode())) for side, of in files.items()}
        settings = ImportSettings(base_model="./model", model_name="reviews", data={**paths, **data})
        return measured_rows(settings, LABELS, tmp_path / "cache", tmp_path / "work")

    return make


def test_labels_are_numbered_as_the_head_has_them(read):
    rows = read("fine,positive", "bad,negative", "fine too,positive")
    assert rows.labels == LABELS
    assert rows.test.targets.tolist() == [1, 0, 1]
    assert (len(rows.validation), rows.imported, rows.sides) == (0, True, ("validation", "test"))
    # Test rows prove the export where there are no others.
    assert np.array_equal(rows.samples.keys, rows.test.keys)
    assert rows.facts["rows"] == {"test": 3, "validation": 0}


def test_rows_of_validation_prove_the_export(read):
    rows = read("fine,positive", "bad,negative", validation="so so,neutral")
    assert rows.samples.targets.tolist() == [2]
    assert rows.facts["rows"] == {"validation": 1, "test": 2}


def test_a_label_that_the_model_lacks_is_told_by_its_name(read):
    with pytest.raises(DataError) as caught:
        read("fine,positive", "odd,angry")
    assert str(caught.value).endswith(
        "test.csv, line 3: value 'angry': column 'label' holds a label that the model does not have; the labels of the "
        "model are negative, positive, neutral; correct it, or set data.unknown_labels"
    )


def test_rows_with_such_a_label_are_left_out_on_request(read):
    rows = read("fine,positive", "odd,angry", unknown_labels="leave_out")
    assert rows.facts["left_out_rows"] == {"test": {"with a label that the model does not have": 1}}
    wrong = read("fine,positive", "odd,angry", unknown_labels="wrong")
    assert wrong.test.targets.tolist() == [1, 3]


def test_numbers_in_the_data_get_the_names_of_the_model(read):
    names = {"0": "negative", "LABEL_1": "positive"}
    assert read("a,0", "b,LABEL_1", "c,negative", label_names=names).test.targets.tolist() == [0, 1, 0]


def test_texts_on_both_sides_are_told(read, capsys):
    read("fine,positive", "bad,negative", validation="Fine,positive")
    assert "1 of 2 test texts also stand in validation: the figures flatter" in capsys.readouterr().out


def test_rows_out_of_scope_are_asked_too(read, write):
    rows = read("fine,positive", out_of_scope=str(write("strange.csv", b"text\nodd\nfine\n")))
    assert rows.out_of_scope.data.inputs() == ["odd"]
    assert rows.facts["rows"] == {"test": 1, "validation": 0, "out_of_scope": 1}

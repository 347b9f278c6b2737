"""The rows of a run, opened as a user opens them."""

import datasets
import pyarrow as pa
import pytest

from tunewright.job.data.columns import Roles
from tunewright.job.data.dataset import DatasetWriter, open_dataset
from tunewright.job.data.taught_rows import Kind, save_taught
from tunewright.job.kinds.files import FILE_TYPE
from tunewright.job.tasks import TASKS

TEXT = pa.large_string()


@pytest.fixture
def saved(tmp_path, capfd):
    """saved(rows, types, roles): what load_from_disk gives of rows (input, target) that were taught."""

    def make(rows, types, roles, labels=()):
        writer = DatasetWriter(tmp_path / "rows.arrow", types)
        for value, target in rows:
            writer.add(value, target)
        writer.close()
        data = open_dataset(tmp_path / "rows.arrow")
        sides = {"train": data.select(range(1, max(1, len(rows)))), "test": data.select(range(min(1, len(rows))))}
        save_taught(tmp_path / "rows", sides, Kind(roles, types, labels))
        assert capfd.readouterr() == ("", "")
        return datasets.load_from_disk(str(tmp_path / "rows"))

    return make


LABELS = [("a", ["good"]), ("b", ["bad"]), ("c", ["good"])]


def test_a_label_is_a_class_with_its_name(saved):
    found = saved(LABELS, (TEXT, pa.list_(pa.string())), Roles({"text": "t"}, "l", "label"), ["bad", "good"])
    assert found["train"].features["label"] == datasets.ClassLabel(names=["bad", "good"])
    assert found["train"][:] == {"text": ["b", "c"], "label": [0, 1]}
    assert found["test"][:] == {"text": ["a"], "label": [1]}


def test_a_label_that_no_training_row_has_is_no_class(saved):
    found = saved(
        [("a", ["new"]), ("b", ["bad"])], (TEXT, pa.list_(pa.string())), Roles({"text": "t"}, "l", "label"), ["bad"]
    )
    assert found["test"]["label"][0] == -1


def test_several_labels_and_tags_are_lists_of_classes(saved):
    roles = Roles({"tokens": "w"}, "t", "tags")
    types = (pa.list_(TEXT), pa.list_(pa.string()))
    found = saved([(["x", "y"], ["O", "B-A"]), (["z"], ["O"])], types, roles, ["O", "B-A"])
    assert found["test"].features["tags"].feature.names == ["O", "B-A"]
    assert found["test"][0] == {"tokens": ["x", "y"], "tags": [0, 1]}


def test_pairs_are_two_columns_and_a_score_a_number(saved):
    roles = Roles({"text": "one", "text_pair": "two"}, "s", "score")
    found = saved([(("a", "b"), 1.5), (("c", "d"), -2.0)], (pa.list_(TEXT), pa.float64()), roles)
    assert found["train"][:] == {"text": ["c"], "text_pair": ["d"], "score": [-2.0]}


def test_answers_keep_their_places(saved):
    types = (pa.list_(TEXT), pa.struct([("text", pa.list_(pa.string())), ("start", pa.list_(pa.int64()))]))
    roles = Roles({"question": "q", "context": "c"}, "a", "answers")
    found = saved([(("q", "c"), {"text": ["c"], "start": [0]})] * 2, types, roles)
    assert found["train"][0]["answers"] == {"text": ["c"], "start": [0]}


def test_text_without_a_target_is_one_column(saved):
    assert saved([("a", None), ("b", None)], (TEXT, pa.null()), Roles({"text": "t"}, "", ""))["train"][:] == {
        "text": ["b"]
    }


def test_files_are_images_by_their_bytes_or_their_path(saved):
    file = {"path": None, "bytes": b"\x89PNG", "sha256": "0", "size": 1}
    other = {"path": "/nowhere/a.png", "bytes": None, "sha256": "1", "size": 1}
    roles = Roles({"image": "i"}, "l", "label")
    found = saved([(file, ["a"]), (other, ["b"])], (FILE_TYPE, pa.list_(pa.string())), roles, ["a", "b"])
    assert found["train"].features["image"] == datasets.Image()
    raw = found["train"].cast_column("image", datasets.Image(decode=False))
    assert raw[0]["image"] == {"bytes": None, "path": "/nowhere/a.png"}


def test_an_image_with_a_text_is_two_columns(saved):
    kind = pa.struct([("image", FILE_TYPE), ("text", TEXT)])
    file = {"path": None, "bytes": b"x", "sha256": "0", "size": 1}
    roles = Roles({"image": "i", "text": "t"}, "l", "label")
    rows = [({"image": file, "text": "one"}, ["a"]), ({"image": file, "text": "two"}, ["a"])]
    found = saved(rows, (kind, pa.list_(pa.string())), roles, ["a"])
    assert found["train"].features["image"] == datasets.Image()
    assert found["train"]["text"][0] == "two"


def test_what_an_earlier_try_has_written_is_replaced(saved):
    saved(LABELS, (TEXT, pa.list_(pa.string())), Roles({"text": "t"}, "l", "label"), ["bad", "good"])
    again = saved(LABELS[:2], (TEXT, pa.list_(pa.string())), Roles({"text": "t"}, "l", "label"), ["bad", "good"])
    assert len(again["train"]) == 1


@pytest.mark.parametrize("name", TASKS)
def test_every_task_can_keep_its_rows(name, saved):
    """An empty table of each form of each task has a feature for each column."""
    task = TASKS[name]
    for form in task.forms:
        roles = Roles({role: role for role in (*form.inputs, *form.optional)}, form.target, form.target)
        types = task.arrow_types(roles)
        saved_types = [*roles.inputs, *([form.target] if form.target and not pa.types.is_null(types[1]) else [])]
        found = saved([], types, roles, ["a"])
        assert set(found["test"].features) == set(saved_types)

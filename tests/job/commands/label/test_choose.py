"""Rows chosen by a registered version, from the command line to the file."""

import json

import pytest

from tunewright.job.commands.label.choose import Asked, choose
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.program import main
from tunewright.job.settings.data import DataSettings


@pytest.fixture
def rows(write):
    """A file of rows without labels, one of them twice."""
    texts = ["I love the lamp", "ok", "a bad lamp", "OK", "the the the", "why not", "it is what it is", "never again"]
    return str(write("rows.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()))


@pytest.fixture
def chosen(made, rows, tmp_path):
    """chosen(by="margin", ...): the items, of the version that learned whether "the" is there."""

    def make(shape="single", **changes):
        asked = {"by": "margin", "take": 3, "data": DataSettings(train=rows)} | changes
        return choose(Asked("tiny@production", **asked), made(shape).registry, tmp_path)

    return make


def test_the_rows_it_is_least_sure_of_come_first(chosen):
    items, question = chosen(take=100)
    assert (len(items), question.version, question.labels) == (7, "tiny:1", ("with", "without"))
    assert [item.doubt for item in items] == sorted((item.doubt for item in items), reverse=True)
    # Of two labels the margin is told by the score.
    assert all(item.doubt == pytest.approx(2 - 2 * item.scores[0], abs=1e-5) for item in items)
    assert len({item.texts[0].casefold() for item in items}) == 7


def test_every_way_gives_as_many_rows(chosen, write):
    known = str(write("known.jsonl", b'{"text": "why NOT"}\n{"text": "never again"}\n'))
    for by in ("entropy", "diversity", "random"):
        items, _ = chosen(by=by, labelled=(known,), take=4)
        assert len({item.texts for item in items}) == 4
        assert not {item.texts[0] for item in items} & {"why not", "never again"}
    assert chosen(by="random", seed=3)[0] == chosen(by="random", seed=3)[0]


def test_a_version_never_disagrees_with_itself(chosen):
    items, _ = chosen(by="disagreement", other="tiny:1")
    assert [item.doubt for item in items] == pytest.approx([0, 0, 0], abs=1e-9)
    with pytest.raises(SettingsError, match="--by disagreement needs another version: give --and"):
        chosen(by="disagreement")


def test_rows_that_are_all_labelled_are_refused(chosen, rows):
    with pytest.raises(DataError, match="all rows of --data stand in --labelled; give others"):
        chosen(labelled=(rows,))


def test_the_command_writes_the_rows(made, rows, tmp_path, monkeypatch, capfd):
    registry = made("single").registry
    monkeypatch.setenv("REGISTRY_URI", registry.uri)
    monkeypatch.setenv("REGISTRY_CACHE", str(registry.cache))
    monkeypatch.setattr("tunewright.job.signals.leave_at_once", lambda: None)
    monkeypatch.setattr("tunewright.job.signals.unwind", lambda: None)
    output = tmp_path / "out/tasks.json"
    words = ["label", "tiny@production", "--data", rows, "--take", "2", "--output", str(output)]
    assert main([*words, "--to", "label-studio"]) == 0
    assert [set(one) for one in json.loads(output.read_text())] == [{"data", "predictions"}] * 2
    assert output.with_suffix(".xml").read_text().startswith("<View>")
    assert main([*words, "--to", "label-studio", "--and", "tiny:1"]) == 2
    assert "--and would have no effect with --by margin; remove it" in capfd.readouterr().err
    assert main(["label", "--output", "a.csv"]) == 2
    assert "label needs a version and rows" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "role"), [("multi", "labels"), ("pair", "label")])
def test_several_labels_and_pairs_are_chosen_too(made, shape, role, write_rows, tmp_path):
    columns = {"text": "text"} | ({"text_pair": "text_pair"} if shape == "pair" else {})
    data = DataSettings(train=str(write_rows(shape, 400, 430)), columns=columns)
    for by in ("margin", "entropy", "diversity"):
        items, question = choose(Asked("tiny:1", by, 5, data), made(shape).registry, tmp_path)
        assert (len(items), question.role) == (5, role)


@pytest.mark.slow
def test_a_task_without_labels_is_refused_by_its_name(made, rows, tmp_path):
    with pytest.raises(SettingsError) as caught:
        choose(Asked("tiny:1", "margin", 5, DataSettings(train=rows)), made("regression").registry, tmp_path)
    assert str(caught.value) == (
        "tiny:1 is a version of text-regression; rows are chosen for text-classification and token-classification"
    )

"""The same command on the same data is the same run."""

import shutil

import pytest

from tunewright.job.errors import DataError
from tunewright.job.settings.data import DataSettings
from tunewright.job.settings.job import GateSettings
from tunewright.job.settings.train import AdaptSettings, CheckpointSettings
from tunewright.job.steps.begin import begin
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.publish import publish


@pytest.fixture
def run_id(registry):
    """run_id(settings): what a run is called that was given no name."""

    def told(settings):
        with begin(settings, registry) as begun:
            return begun.run_id

    return told


def changed(settings, part, **values):
    return settings.model_copy(update={part: getattr(settings, part).model_copy(update=values)})


def test_it_is_a_name_and_the_same_each_time(make_settings, run_id):
    names = {run_id(make_settings()) for _ in range(2)}
    assert len(names) == 1
    assert len(names.pop()) == 16


def test_what_changes_nothing_of_a_version_changes_no_name(make_settings, run_id, write_rows):
    settings = make_settings()
    others = [
        settings.model_copy(update={"alias": "production"}),
        changed(settings, "train", checkpoint=CheckpointSettings(minutes=1)),
        changed(settings, "data", train=str(write_rows("single", 0, 300))),
    ]
    assert {run_id(one) for one in others} == {run_id(settings)}


def test_whatever_else_changes_is_another_run(make_settings, run_id, write_rows, make_base):
    settings = make_settings()
    others = [
        changed(settings, "train", epochs=9),
        changed(settings, "data", train=str(write_rows("single", 1, 300))),
        settings.model_copy(update={"gate": GateSettings(min={"accuracy": 0.1})}),
        settings.model_copy(update={"model_name": "other"}),
        settings.model_copy(update={"adapt": AdaptSettings()}),
    ]
    assert len({run_id(one) for one in (settings, *others)}) == 6


def test_other_weights_at_the_same_place_are_another_base(make_settings, run_id, make_base, copied_base):
    settings = make_settings(base_model=str(copied_base))
    before = run_id(settings)
    shutil.copytree(make_base("bert", initializer_range=0.1, hidden_size=16), copied_base, dirs_exist_ok=True)
    assert run_id(settings) != before


def test_other_text_at_the_same_place_is_another_run(make_settings, run_id, write):
    text = DataSettings(train=str(write("text.txt", b"one text\n")))
    settings = make_settings(adapt=AdaptSettings(data=text))
    before = run_id(settings)
    write("text.txt", b"another text\n")
    assert run_id(settings) != before
    nowhere = settings.model_copy(update={"adapt": AdaptSettings(data=DataSettings(train="./nowhere.txt"))})
    with pytest.raises(DataError, match=r"^adapt: .*nowhere\.txt"):
        run_id(nowhere)


def test_a_run_that_has_published_is_done(make_settings, run_id, registry, write):
    settings = make_settings()
    publish(open_store(registry.uri), "tiny", {"model.json": write("model.json", b"{}")}, run_id=run_id(settings))
    with begin(settings, registry) as begun:
        assert begun.done is not None
        assert begun.ready is None

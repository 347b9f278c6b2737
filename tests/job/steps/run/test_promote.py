"""The alias of a job is moved where the alias's own gates let it."""

import json
from pathlib import Path

import pytest

from tunewright.job.errors import GateFailed
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.begin import Begun
from tunewright.job.steps.run.promote import point_alias, require
from tunewright.registry.gates.policy import Policy, set_policy
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.trust.signature import of_move, signer_of
from tunewright.registry.versions.alias import current, last_move
from tunewright.registry.versions.publish import publish


@pytest.fixture
def registry(tmp_path):
    return RegistrySettings(uri=str(tmp_path / "registry"), cache=tmp_path / "cache")


@pytest.fixture
def store(registry):
    return open_store(registry.uri)


@pytest.fixture
def promoted(registry, store, tmp_path):
    """promoted(0.9) publishes a version of that accuracy and moves `reviews@production` there, as the run does; what is
    missed."""
    settings = JobSettings(model_name="reviews", data={"train": "train.csv"}, alias="production")
    made = []

    def one(accuracy, again=False, registry=registry):
        made.append(None)
        run_id = "run-1" if again else f"run-{len(made)}"
        metrics = tmp_path / f"{len(made)}.json"
        metrics.write_text(json.dumps({"test": {"fp32": {"metrics": {"accuracy": accuracy}}}}))
        model = tmp_path / "model.json"
        model.write_text(json.dumps({"default_variant": "fp32"}))
        version = publish(store, "reviews", {"model.json": model, "report/metrics.json": metrics}, run_id=run_id)
        begun = Begun(store, run_id, tmp_path, None, 0.0, None, None, Path())
        return point_alias(begun, version, settings, registry, short=None)

    return one


def test_an_alias_that_asks_is_moved_with_the_verdict_in_its_log(promoted, store, capsys):
    assert promoted(0.8) is None
    set_policy(store, "reviews", "production", Policy(min={"accuracy": 0.9}))
    assert promoted(0.95) is None
    assert current(store, "reviews", "production") == 2
    made = last_move(store, "reviews", "production")
    assert (made.run_id, made.verdict.holder, made.verdict.missed) == ("run-2", 1, [])
    assert "reviews@production: min.accuracy passed: 0.9500, at least 0.9" in capsys.readouterr().out


def test_the_move_of_a_job_with_a_key_is_signed(promoted, signing, signer, store):
    assert promoted(0.8, registry=signing) is None
    made = of_move(last_move(store, "reviews", "production"))
    assert signer_of(store, made, [signer.public])[0] == signer.public


def test_a_version_that_misses_what_the_alias_asks_stays_without_it(promoted, store):
    promoted(0.8)
    set_policy(store, "reviews", "production", Policy(min={"accuracy": 0.9}))
    missed = promoted(0.85)
    assert current(store, "reviews", "production") == 1
    with pytest.raises(GateFailed) as caught:
        require(missed)
    assert str(caught.value) == (
        "reviews:2 is registered, and reviews@production is not moved to it: it misses min.accuracy: 0.8500, at least "
        "0.9; `tunewright promote` with --force --why TEXT moves it all the same"
    )
    require(None)


def test_a_run_that_is_tried_again_is_not_judged_where_it_holds_the_alias(promoted, store):
    promoted(0.8)
    set_policy(store, "reviews", "production", Policy(min={"accuracy": 0.9}))
    assert promoted(0.8, again=True) is None
    assert current(store, "reviews", "production") == 1

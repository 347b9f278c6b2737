"""A model that int8 would make worse than its gate allows learns on with the rounding, and the better one is kept."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from torch import nn

from tunewright.job.checkpoints.files import Identity
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.measure.evaluation import gathered
from tunewright.job.recipe import prepare_all
from tunewright.job.settings.job import GateSettings
from tunewright.job.settings.train import CheckpointSettings
from tunewright.job.steps.remedies.rounding import bear_rounding, sentence
from tunewright.job.train.loop import train
from tunewright.job.train.objective import Objective
from tunewright.job.train.state import Trained
from tunewright.registry.settings import RegistrySettings


class Coarse(nn.Module):
    """Layers of which int8 has but coarse steps: one weight of each row is large, and meets zeros."""

    base_model_prefix = "body"

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(nn.Linear(33, 64), nn.GELU(), nn.Linear(64, 16))
        nn.init.constant_(self.body[0].weight[:, 0], 40)


class Numbers:
    """Rows of numbers that a matrix makes of others. Reading them `last` times ends the process."""

    def __init__(self, last=None):
        random = torch.Generator().manual_seed(2)
        self._given = torch.randn(256, 33, generator=random)
        self._given[:, 0] = 0
        self._wanted = self._given @ torch.randn(33, 16, generator=random) / 6
        self.lengths, self.truncated = np.ones(256, dtype=np.int64), 0
        self._last, self.reads = last, 0

    def __len__(self):
        return len(self.lengths)

    def batch(self, rows):
        self.reads += 1
        if self.reads == self._last:
            raise Killed
        return {"given": self._given[rows], "targets": self._wanted[rows]}


class Killed(BaseException):
    """The process is gone."""


def apart(scored):
    found, wanted = gathered(scored)
    return {"rmse": float(np.sqrt(((found - wanted) ** 2).mean()))}


OBJECTIVE = Objective(functional.mse_loss, apart, "rmse", True, forward=lambda model, batch: model.body(batch["given"]))


@pytest.fixture(scope="module")
def planned(make_settings, tmp_path_factory):
    """planned(allowed): the plan of a job whose int8 may lose so much."""
    folder = tmp_path_factory.mktemp("work")
    train = {"epochs": 60, "learning_rate": 0.015, "batch_size": 64, "precision": "fp32", "quantization_aware": "auto"}
    registry = RegistrySettings(uri=str(folder / "registry"), cache=folder / "cache")
    plan, _ = prepare_all(make_settings("single", train=train), registry, folder / "rows")

    def make(allowed):
        gate = GateSettings(max_drop={"int8": allowed})
        return replace(plan, settings=plan.settings.model_copy(update={"gate": gate}))

    return make


@pytest.fixture(scope="module")
def learned(planned):
    """A model that has learned without the rounding: int8 has eight times its error."""
    model, rows = Coarse(), Numbers()
    train(model, (rows, rows), OBJECTIVE, planned(5).settings.train)
    return model


def borne(learned, plan, rows=None, checkpoints=None):
    """What a copy of the model came to, and the copy."""
    model, trained = copy.deepcopy(learned), Trained("fp32", "cpu")
    bear_rounding(model, (rows or Numbers(), Numbers()), OBJECTIVE, plan, trained, checkpoints)
    return trained, model


def same(one, other):
    weights = other.state_dict()
    return all(tensor.equal(weights[name]) for name, tensor in one.state_dict().items())


def said(capsys):
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [one["message"] for one in events if one["event"] == "int8"]


def test_what_costs_no_more_than_it_may_is_left_as_it_is(learned, planned, capsys):
    trained, model = borne(learned, planned(1000))
    found = trained.rounding
    assert found.int8 > found.fp32
    assert found.tuned_int8 is None
    assert same(model, learned)
    assert said(capsys) == [f"{sentence(found)}: that is no more than it may lose (1000)"]


def test_what_costs_too_much_learns_on_with_the_rounding(learned, planned, capsys):
    trained, model = borne(learned, planned(5))
    found = trained.rounding
    assert found.tuned_int8 < 6 * found.fp32 < found.int8
    assert found.kept
    assert trained.figures == {"rmse": found.tuned_fp32}
    assert not same(model, learned)
    first, last = said(capsys)
    plain = f"rmse on validation {found.fp32:.4f} in float32, {found.int8:.4f} rounded to int8"
    assert first == f"{plain}, and it may lose 5: 20 epochs more with the rounding"
    assert last == (
        f"{plain}; after learning with it {found.tuned_fp32:.4f} and {found.tuned_int8:.4f}: these weights are kept"
    )


@pytest.mark.slow
def test_what_still_costs_too_much_is_thrown_away(learned, planned, capsys):
    trained, model = borne(learned, planned(0.5))
    assert not trained.rounding.kept
    assert trained.figures == {}
    assert same(model, learned)
    assert said(capsys)[-1].endswith(": these weights lose more than 0.5 of the first as well, and are not kept")


@pytest.mark.slow
def test_a_killed_run_that_learns_with_the_rounding_goes_on_to_the_same_bits(learned, planned, tmp_path):
    expected, whole = borne(learned, planned(5))
    rows = Numbers(last=50)
    with pytest.raises(Killed):
        borne(learned, planned(5), rows, kept(tmp_path))
    rest = Numbers()
    trained, model = borne(learned, planned(5), rest, kept(tmp_path))
    assert 0 < rest.reads < 50
    assert trained.rounding == expected.rounding
    assert same(model, whole)


def kept(folder):
    return Checkpoints(folder / "kept", Identity({}, ""), CheckpointSettings(steps=2))

"""A run that is stopped and goes on ends with the bits of one that was not."""

import os
import random
import signal

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from tunewright.job import signals
from tunewright.job.batches.augment.rows import Augmented
from tunewright.job.batches.augment.words import text_changed
from tunewright.job.batches.resampled import Resampled
from tunewright.job.batches.text import TextRows
from tunewright.job.checkpoints.files import Identity
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.errors import Interrupted, TrainingFailed
from tunewright.job.export.graph import graph_inputs
from tunewright.job.measure.evaluation import gathered
from tunewright.job.model.build import build_classifier
from tunewright.job.model.layers import choose_layers
from tunewright.job.settings.train import CheckpointSettings, TrainSettings
from tunewright.job.train.loop import train
from tunewright.job.train.objective import Objective

WAYS = {
    "full": {"dropout": 0.3, "accumulation": 3, "unfreeze": 1, "layer_decay": 0.9},
    "adapters": {"lora": {"rank": 4, "dropout": 0.1}},
    "bf16": {"precision": "bf16", "layers": 1, "schedule": "cosine", "quantization_aware": True},
    "remedies": {"ema": 0.9, "mixup": 0.4, "layer_drop": 0.3, "average": 2, "evaluate": 5, "patience": 20}
    | {"augment": {"delete": 0.3}, "sampling": "over"},
}
STEPS = 12 * 3
"""Of three epochs of 96 rows in batches of 8."""


class Killed(Exception):
    """What stands for the end of a process."""


@pytest.fixture
def run(fetch, tiny_base, encoder, make_split, reviews):
    """run(settings, loss, checkpoints=None): the weights and what training came to, in a model that is made anew."""
    texts = [text for text, _ in reviews[:128]]
    numbers = np.array([int(" the " in text) for text in texts])
    splits = make_split(texts[:96], numbers[:96]), make_split(texts[96:], numbers[96:])

    def measure(scored):
        logits, targets = gathered(scored)
        return {"accuracy": float((logits.argmax(-1) == targets).mean()), "mean": float(logits.mean())}

    def made(settings, loss=cross_entropy, checkpoints=None):
        torch.manual_seed(5)
        model = build_classifier(fetch(tiny_base), ["negative", "positive"], settings)
        choose_layers(model, settings)
        names = graph_inputs(model.config)
        plain, validation = (TextRows(split, encoder, names) for split in splits)

        def otherwise(rows, randoms):
            pieces = [
                text_changed(texts[row], settings.augment, random) for row, random in zip(rows, randoms, strict=True)
            ]
            arrays = encoder.pad(encoder.encode(["".join(one) for one in pieces]), names)
            return {name: torch.from_numpy(array) for name, array in (arrays | {"targets": numbers[rows]}).items()}

        rows = Augmented(plain, otherwise, settings.seed) if settings.augment else plain
        rows = Resampled(rows, np.ones(96), settings.seed) if settings.sampling else rows
        trained = train(model, (rows, validation), Objective(loss, measure, "accuracy"), settings, checkpoints)
        return model.state_dict(), trained

    return made


@pytest.fixture
def kept(tmp_path):
    """kept(steps=3): the checkpoints of one run, opened anew."""
    return lambda **often: Checkpoints(tmp_path / "checkpoints", Identity({}, ""), CheckpointSettings(**often))


@pytest.fixture
def signalled(monkeypatch):
    """The handlers of the program, and no signal that has come."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(signals, "_asked", None)
    signals.unwind()

    def again():
        monkeypatch.setattr(signals, "_asked", None)
        signals.unwind()

    yield again
    for number, handler in before.items():
        signal.signal(number, handler)


def settings_of(**values):
    common = {"epochs": 3, "learning_rate": 3e-3, "batch_size": 8, "precision": "fp32", "pooling": "mean"}
    return TrainSettings(**(common | values))


def at(call, happening):
    """A loss that does something when it is asked so often."""
    calls = iter(range(1, 10**6))

    def loss(logits, targets):
        if next(calls) == call:
            happening()
        return cross_entropy(logits, targets)

    return loss


def die():
    raise Killed


def assert_same(one, other):
    (weights, trained), (others, expected) = one, other
    assert trained.history == expected.history
    assert (trained.best_epoch, trained.figures) == (expected.best_epoch, expected.figures)
    assert weights.keys() == others.keys()
    assert all(weights[name].equal(others[name]) for name in weights)


@pytest.mark.parametrize("way", ["full", pytest.param("remedies", marks=pytest.mark.slow)])
def test_what_was_killed_goes_on_with_the_same_bits(run, kept, way):
    settings = settings_of(**WAYS[way])
    for killed in (17, 8):
        with pytest.raises(Killed):
            run(settings, at(killed, die), kept(steps=3))
    assert_same(run(settings, checkpoints=kept(steps=3)), run(settings))


@pytest.mark.parametrize(
    ("changes", "number", "steps"),
    [
        pytest.param({"dropout": 0.3}, signal.SIGTERM, 5, id="SIGTERM"),
        pytest.param({"accumulation": 3}, signal.SIGINT, 1, id="Ctrl-C", marks=pytest.mark.slow),
    ],
)
def test_a_signal_loses_no_step(run, kept, signalled, capsys, changes, number, steps):
    settings = settings_of(**changes)
    with pytest.raises(Interrupted if number == signal.SIGTERM else KeyboardInterrupt):
        run(settings, at(17, lambda: os.kill(os.getpid(), number)), kept())
    assert f"kept: epoch 2, {steps} steps; the same command goes on there" in capsys.readouterr().out
    signalled()
    assert_same(run(settings, checkpoints=kept()), run(settings))


def test_a_run_that_cannot_go_on_names_the_last_checkpoint(run, kept, tmp_path):
    calls = iter([1.0] * 4 + [float("nan")])
    with pytest.raises(TrainingFailed) as caught:
        run(settings_of(), lambda *given: cross_entropy(*given) * next(calls), kept(steps=4))
    assert str(caught.value).endswith(f". The last checkpoint before it is {tmp_path}/checkpoints/000001")


def test_a_run_that_is_over_is_not_trained_again(run, kept):
    settings = settings_of()
    first = run(settings, checkpoints=kept())
    assert_same(run(settings, at(1, die), kept()), first)


def test_a_run_that_had_stopped_early_stays_stopped(run, kept):
    settings = settings_of(epochs=9, patience=1, learning_rate=1e-6)
    first = run(settings, checkpoints=kept())
    assert len(first[1].history) == 2
    assert_same(run(settings, at(1, die), kept()), first)


def test_a_signal_while_the_epoch_is_measured_loses_no_step(run, kept, signalled, monkeypatch):
    settings = settings_of(dropout=0.2)
    whole = run(settings)
    # After the last part of the first epoch nothing but measuring looks for a signal.
    with pytest.raises(Interrupted):
        run(settings, at(12, lambda: os.kill(os.getpid(), signal.SIGTERM)), kept())
    signalled()
    calls = []
    again = run(settings, lambda *given: (calls.append(1), cross_entropy(*given))[1], kept())
    assert len(calls) == STEPS - 12
    assert_same(again, whole)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_any_step_is_a_good_one_to_be_killed_at(run, kept, tmp_path, way):
    settings = settings_of(**WAYS[way])
    whole = run(settings)
    for number, killed in enumerate(random.Random(f"{way} more").sample(range(1, STEPS), 5)):
        own = Checkpoints(tmp_path / str(number), Identity({}, ""), CheckpointSettings(steps=2))
        with pytest.raises(Killed):
            run(settings, at(killed, die), own)
        again = Checkpoints(tmp_path / str(number), Identity({}, ""), CheckpointSettings(steps=2))
        assert_same(run(settings, checkpoints=again), whole)

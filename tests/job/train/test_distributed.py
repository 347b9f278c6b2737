"""Two processes learn what one learns: on a real model, over gloo."""

import os
import shutil
import signal
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from tunewright.job import signals
from tunewright.job.batches.text import TextRows
from tunewright.job.checkpoints.files import Identity, Snapshot
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.errors import DataError
from tunewright.job.export.graph import graph_inputs
from tunewright.job.kinds.plan import Teaching
from tunewright.job.measure.evaluation import gathered
from tunewright.job.model.build import build_classifier
from tunewright.job.model.layers import choose_layers
from tunewright.job.settings.train import CheckpointSettings, TrainSettings
from tunewright.job.steps.teachers.distill import Distilled
from tunewright.job.train.distributed import world
from tunewright.job.train.loop import train
from tunewright.job.train.objective import Objective
from tunewright.job.train.regularised import apart_of
from tunewright.job.train.step.prepared import TOKENS_AT_ONCE

LABELS = ["negative", "positive"]


def test_processes_meet_sum_and_share(together):
    def work(others):
        told = others.wait("word") if others.rank else others.tell("word", "read")
        snapshot = Snapshot({"a": torch.arange(3), "b": torch.tensor(True)}, {"step": 7}) if others.is_first else None
        same = others.same_snapshot(snapshot)
        return (
            told,
            others.total(others.rank + 1.0),
            others.same(f"from {others.rank}"),
            list(others.dealt(list(range(5)), lambda item: 10 * item)),
            {name: tensor.tolist() for name, tensor in same.tensors.items()},
            same.facts,
            others.same_snapshot(None),
        )

    first, second = together(work)
    assert first[1:3] == second[1:3] == (3.0, "from 0")
    assert second[0] == ("word", "read")
    assert (first[3], second[3]) == ([0, 10, 20, 30, 40], [])
    assert first[4:] == second[4:] == ({"a": [0, 1, 2], "b": True}, {"step": 7}, None)


def settings_of(**values):
    common = {
        "epochs": 2,
        "learning_rate": 3e-3,
        "batch_size": 6,
        "precision": "fp32",
        "pooling": "mean",
        "dropout": 0.0,
    }
    return TrainSettings(**(common | values))


def accuracy(scored):
    logits, targets = gathered(scored)
    return {"accuracy": float((logits.argmax(-1) == targets).mean()), "sum": float(logits.sum())}


@pytest.fixture
def learn(fetch, tiny_base, encoder, make_split, reviews):
    """learn(settings) trains on 25 rows and measures 9, in as many processes as were joined. `taught`: what a teacher
    answers to the 25."""
    texts = [text for text, _ in reviews[:34]]
    numbers = np.array([int(" the " in text) for text in texts])
    splits = make_split(texts[:25], numbers[:25]), make_split(texts[25:], numbers[25:])
    base = fetch(tiny_base)

    def run(settings, checkpoints=None, loss=cross_entropy, taught=None, **objective):
        model = build_classifier(base, LABELS, settings)
        choose_layers(model, settings)
        rows = [TextRows(split, encoder, graph_inputs(model.config)) for split in splits]
        rows[0] = rows[0] if taught is None else Distilled(rows[0], Teaching(taught, len(taught)))
        known = Objective(loss, accuracy, "accuracy", **{"validation_tokens": 64} | objective)
        trained = train(model, rows, known, settings, checkpoints if world().is_first else None)
        weights = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
        return trained.history, weights

    return run


def same(one, other, atol):
    """Whether two runs have learned the same; the bias of keys, whose gradient is rounding, left out."""
    curve = all(a == pytest.approx(b, rel=atol, abs=atol) for a, b in zip(one[0], other[0], strict=True))
    names = [name for name in one[1] if not name.endswith("key.bias")]
    return curve and all(np.allclose(one[1][name], other[1][name], rtol=0, atol=10 * atol) for name in names)


# 25 rows in steps of 6 leave a last step of one row, so that one process has none of it.
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accumulation": 2, "batch_size": 3, "clip": 0.1, "ema": 0.9},
        {"epochs": 3, "unfreeze": 1},
    ],
    ids=["plainly", "accumulated", "unfrozen"],
)
def test_two_processes_learn_what_one_learns(learn, together, changes):
    settings = settings_of(**changes)
    first, second = together(lambda others: learn(settings))
    assert same(first, second, atol=0.0)
    assert same(first, learn(settings), atol=1e-5)


@pytest.fixture
def kept(tmp_path):
    """kept() gives the checkpoints of one run."""
    return lambda: Checkpoints(tmp_path / "kept", Identity({}, "data"), CheckpointSettings())


def stopped(learn, settings, kept, others):
    """Learn until the second process is asked to stop, in its seventh part of a step."""
    signals.unwind()
    parts = iter(range(100))

    def loss(logits, targets):
        if others.rank == 1 and next(parts) == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return cross_entropy(logits, targets)

    return learn(settings, kept(), loss)


def test_a_signal_to_one_process_stops_all_at_one_step_and_any_number_goes_on(learn, together, kept, tmp_path):
    settings = settings_of(dropout=0.1, epochs=3)

    assert together(partial(stopped, learn, settings, kept)) == [f"Interrupted 75: {signals.SIGTERM}"] * 2
    assert kept().newest().facts["step"] == 3
    shutil.copytree(tmp_path / "kept", tmp_path / "copy")
    first, second = together(lambda others: learn(settings, kept()))
    in_one_go, _ = together(lambda others: learn(settings))
    assert same(first, second, atol=0.0)
    assert same(first, in_one_go, atol=0.0)
    shutil.rmtree(tmp_path / "kept")
    (tmp_path / "copy").rename(tmp_path / "kept")
    alone, _ = learn(settings, kept())
    assert alone[0] == in_one_go[0][0]
    assert [epoch["epoch"] for epoch in alone] == [1, 2, 3]


# The last one of three has no row of the last step, and no validation rows of the last round.
@pytest.mark.slow
@pytest.mark.parametrize(("size", "room"), [(2, 1024), (3, 24)])
def test_weights_in_shards_learn_what_one_process_learns(learn, together, monkeypatch, size, room):
    monkeypatch.setitem(TOKENS_AT_ONCE, "cpu", room)
    changes = {"accumulation": 2, "batch_size": 3, "clip": 0.1, "average": 2}
    first, *others = together(lambda others: learn(settings_of(parallel="fsdp", **changes)), size)
    assert all(other[0] == first[0] for other in others)
    assert same(first, learn(settings_of(**changes)), atol=1e-5)


# What one process has none of is seen by it as often as by the other one, which waits at each pass.
@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"lora": {"rank": 4}}, {"r_drop": 1, "dropout": 0.1}, {"mixup": 0.4}], ids=["lora", "r_drop", "mixup"]
)
def test_weights_in_shards_learn_beside_other_settings(learn, together, changes):
    apart = {"apart": apart_of("single_label")}
    first, second = together(lambda others: learn(settings_of(parallel="fsdp", **changes), **apart))
    assert first[0] == second[0]
    # Two draws of dropout or of rows are two runs.
    alone, plainly = learn(settings_of(**changes), **apart), "lora" in changes
    assert same(first, alone, atol=1e-5) if plainly else len(first[0]) == len(alone[0]) == 2


@pytest.mark.slow
def test_weights_in_shards_learn_what_a_teacher_answers(learn, together):
    taught = np.random.default_rng(1).standard_normal((25, 2), np.float32)

    def soft(logits, targets):
        return torch.nn.functional.mse_loss(logits, targets[:, -2:])

    first, second = together(lambda others: learn(settings_of(parallel="fsdp"), loss=soft, taught=taught))
    assert first[0] == second[0]
    assert same(first, learn(settings_of(), loss=soft, taught=taught), atol=1e-5)


@pytest.mark.slow
def test_weights_in_shards_go_on_from_a_checkpoint_in_any_number(learn, together, kept, tmp_path):
    settings = settings_of(parallel="fsdp", epochs=3, gradient_checkpointing=True)

    assert together(partial(stopped, learn, settings, kept)) == [f"Interrupted 75: {signals.SIGTERM}"] * 2
    assert kept().newest().facts["step"] == 3
    shutil.copytree(tmp_path / "kept", tmp_path / "copy")
    again, _ = together(lambda others: learn(settings, kept()))
    in_one_go, _ = together(lambda others: learn(settings))
    assert same(again, in_one_go, atol=0.0)
    shutil.rmtree(tmp_path / "kept")
    (tmp_path / "copy").rename(tmp_path / "kept")
    assert same(learn(settings, kept()), in_one_go, atol=1e-5)


def test_the_first_cause_ends_all_with_its_code(together):
    def work(others):
        if others.rank == 1:
            raise DataError("row 7 has no label")
        others.total(1.0)

    assert together(work) == [
        "AnotherFailed 3: rank 1 of 2 ended first: row 7 has no label",
        "DataError 3: row 7 has no label",
    ]


def test_a_loss_of_whole_batches_needs_a_batch_for_each_process(learn, together):
    said = (
        "SettingsError 2: WORLD_SIZE is 2, but this job compares all rows of a batch, so that processes share the "
        "batches of a step, and train.accumulation is 1: start fewer, or raise it"
    )
    assert together(lambda others: learn(settings_of(), is_mean=False)) == [said, said]

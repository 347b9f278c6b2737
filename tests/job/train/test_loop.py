import math

import numpy as np
import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy

from tunewright.job.batches.by_length import LengthGroupedBatches
from tunewright.job.batches.text import TextRows
from tunewright.job.errors import TrainingFailed
from tunewright.job.export.graph import graph_inputs
from tunewright.job.measure.evaluation import gathered
from tunewright.job.model.build import build_classifier
from tunewright.job.model.classifiers import MeanPooledClassifier
from tunewright.job.model.layers import choose_layers
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.loop import train
from tunewright.job.train.objective import Objective
from tunewright.job.train.step.prepared import learning_rate

LABELS = ["negative", "positive"]
CALMER = "lower train.learning_rate or train.clip, or set train.precision to fp32"


def settings_of(**values):
    common = {"epochs": 2, "learning_rate": 1e-3, "batch_size": 8, "precision": "fp32", "pooling": "mean"}
    return TrainSettings(**(common | values))


def accuracy(scored):
    logits, targets = gathered(scored)
    return {"accuracy": float((logits.argmax(-1) == targets).mean())}


def objective_of(loss=cross_entropy, measure=accuracy, metric="accuracy", **more):
    return Objective(loss, measure, metric, **more)


@pytest.fixture
def splits(make_split, reviews):
    """96 rows to learn from and 32 to choose the best epoch on: is the word "the" in the text?"""
    texts = [text for text, _ in reviews[:128]]
    numbers = np.array([int(" the " in text) for text in texts])
    return make_split(texts[:96], numbers[:96]), make_split(texts[96:], numbers[96:])


@pytest.fixture
def fine_tune(fetch, tiny_base, encoder, splits):
    """fine_tune(settings) gives the trained model and what training came to."""

    def run(settings, objective=None, rows=splits, layers="all"):
        model = build_classifier(fetch(tiny_base), LABELS, settings)
        choose_layers(model, settings.model_copy(update={"layers": layers}))
        train_rows, validation_rows = (TextRows(split, encoder, graph_inputs(model.config)) for split in rows)
        return model, train(model, (train_rows, validation_rows), objective or objective_of(), settings)

    return run


def same_weights(one, other, atol=0.0):
    # The attention of a row does not depend on the bias of its keys: its gradient is nothing but rounding.
    names = [name for name in one.state_dict() if atol == 0 or not name.endswith("key.bias")]
    pairs = [(one.state_dict()[name], other.state_dict()[name]) for name in names]
    return all(torch.allclose(a, b, rtol=0, atol=atol) for a, b in pairs)


def test_the_loss_falls_and_is_written_down(fine_tune):
    _, trained = fine_tune(settings_of(epochs=10, patience=10, learning_rate=3e-3))
    losses = [epoch["loss"] for epoch in trained.history]
    assert losses[-1] < 0.7 * losses[0]
    assert [epoch["epoch"] for epoch in trained.history] == list(range(1, 11))
    assert trained.work[:3] == (960, trained.work.tokens, trained.work.padded)
    assert 0 < trained.pace.padding < 0.2


def test_one_seed_gives_one_set_of_weights_and_another_seed_another(fine_tune):
    (first, _), (second, _), (other, _) = (fine_tune(settings_of(epochs=1, seed=seed)) for seed in (1, 1, 2))
    assert same_weights(first, second)
    assert not same_weights(first, other)


def plain_loop(model, split, encoder, settings):
    """The same training, written without accelerate and without a schedule class."""
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    plain = [weight for weight in model.parameters() if weight.ndim == 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
    batches = LengthGroupedBatches(split.lengths, settings.batch_size, settings.seed)
    steps = settings.epochs * math.ceil(len(batches) / settings.accumulation)
    warm = round(steps * settings.warmup)
    step = 0
    for batches.epoch in range(1, settings.epochs + 1):
        order = list(batches)
        for start in range(0, len(order), settings.accumulation):
            group = order[start : start + settings.accumulation]
            for rows in group:
                arrays = encoder.pad(
                    [split.row(row) for row in rows], ["input_ids", "attention_mask", "token_type_ids"]
                )
                logits = model(**{name: torch.from_numpy(array) for name, array in arrays.items()})["logits"]
                (cross_entropy(logits, torch.from_numpy(split.targets[rows])) / len(group)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            share = step / warm if step < warm else (steps - step) / (steps - warm)
            for one in optimizer.param_groups:
                one["lr"] = settings.learning_rate * share
            optimizer.step()
            optimizer.zero_grad()
            step += 1
    return model


# 96 rows in batches of 8 are 12 batches: groups of 5 leave a last one of 2.
@pytest.mark.parametrize("accumulation", [1, 2, 5])
def test_training_is_what_a_plain_loop_computes(fine_tune, fetch, tiny_base, encoder, splits, accumulation):
    settings = settings_of(dropout=0.0, accumulation=accumulation, warmup=0.3, weight_decay=0.1, clip=0.5, patience=9)
    figures = iter([{"accuracy": 0.1}, {"accuracy": 0.2}])
    model, _ = fine_tune(settings, objective_of(measure=lambda *_: next(figures)))
    expected = plain_loop(build_classifier(fetch(tiny_base), LABELS, settings).train(), splits[0], encoder, settings)
    assert same_weights(model, expected, atol=2e-5)


def test_two_batches_of_8_are_one_batch_of_16(fine_tune, make_split, splits, reviews):
    texts, _ = zip(*reviews[:16], strict=True)
    rows = make_split(texts, splits[0].targets[:16]), splits[1]
    common = {"epochs": 1, "dropout": 0.0, "warmup": 0.0}
    whole, _ = fine_tune(settings_of(batch_size=16, **common), rows=rows)
    halves, _ = fine_tune(settings_of(batch_size=8, accumulation=2, **common), rows=rows)
    assert same_weights(whole, halves, atol=1e-5)


def test_the_weights_of_the_best_epoch_are_kept(fine_tune):
    constant = {"schedule": "constant", "warmup": 0.0}
    figures = iter([{"accuracy": 0.6}, {"accuracy": 0.7}, {"accuracy": 0.7}, {"accuracy": 0.5}])
    model, trained = fine_tune(settings_of(epochs=4, **constant), objective_of(measure=lambda *_: next(figures)))
    rising = iter([{"accuracy": 0.6}, {"accuracy": 0.7}])
    two, _ = fine_tune(settings_of(epochs=2, **constant), objective_of(measure=lambda *_: next(rising)))
    assert (trained.best_epoch, trained.figures, len(trained.history)) == (2, {"accuracy": 0.7}, 4)
    assert same_weights(model, two)


def test_training_stops_after_so_many_epochs_without_a_better_figure(fine_tune, capsys):
    figures = iter([{"accuracy": figure} for figure in (0.6, 0.7, 0.65, 0.7, 0.9)])
    settings = settings_of(epochs=5, patience=2)
    _, trained = fine_tune(settings, objective_of(measure=lambda *_: next(figures)))
    assert (trained.best_epoch, len(trained.history)) == (2, 4)
    assert "stopped early: no better accuracy in 2 epochs" in capsys.readouterr().out


def test_a_lower_error_is_better(fine_tune):
    figures = iter([{"rmse": 0.6}, {"rmse": 0.4}, {"rmse": 0.5}])
    _, trained = fine_tune(
        settings_of(epochs=3), objective_of(measure=lambda *_: next(figures), metric="rmse", lower_is_better=True)
    )
    assert trained.best_epoch == 2


def watched():
    """A list of the answers and targets that a measure was given, and the measure."""
    seen = []

    def measure(scored):
        seen.append(gathered(scored))
        return {"accuracy": 0.5}

    return seen, measure


def test_the_best_epoch_is_chosen_by_the_answers_to_the_validation_rows(fine_tune, splits):
    seen, measure = watched()
    fine_tune(settings_of(epochs=1), objective_of(measure=measure))
    ((logits, targets),) = seen
    assert logits.shape == (32, 2)
    assert np.array_equal(targets, splits[1].targets)


def test_validation_answers_are_in_the_order_of_the_rows(fine_tune, encoder, splits):
    seen, measure = watched()
    model, _ = fine_tune(settings_of(epochs=1), objective_of(measure=measure))
    ((logits, _),) = seen
    for row in (0, 17, 31):
        arrays = encoder.pad([splits[1].row(row)], ["input_ids", "attention_mask", "token_type_ids"])
        with torch.no_grad():
            alone = model(**{name: torch.from_numpy(array) for name, array in arrays.items()})["logits"][0].numpy()
        assert np.allclose(logits[row], alone, atol=1e-5)


def test_a_measure_gets_every_row_once_with_what_the_model_read_and_what_it_shall_answer(fine_tune, splits):
    seen = []

    def measure(scored):
        seen.extend(scored)
        return {"accuracy": 0.5}

    fine_tune(settings_of(epochs=1), objective_of(measure=measure, validation_tokens=100))
    assert sorted(row for rows, _, _ in seen for row in rows) == list(range(32))
    assert len(seen) > 8
    for rows, batch, logits in seen:
        assert set(batch) == {"input_ids", "attention_mask", "token_type_ids", "targets"}
        assert batch["targets"].tolist() == splits[1].targets[rows].tolist()
        assert batch["attention_mask"].sum(-1).tolist() == splits[1].lengths[rows].tolist()
        assert len(rows) == 1 or batch["input_ids"].numel() <= 100
        assert not logits.requires_grad


def test_training_and_validation_answer_in_the_way_of_the_objective(fine_tune):
    ways, seen = [], []

    def forward(model, batch):
        ways.append((model.training, set(batch)))
        return model(**batch)["logits"] * 0 + torch.tensor([2.0, 1.0])

    def measure(scored):
        seen.extend(logits for _, _, logits in scored)
        return {"accuracy": 0.5}

    fine_tune(settings_of(epochs=1), objective_of(measure=measure, forward=forward, scale=(3.0, 10.0)))
    assert all(read == {"input_ids", "attention_mask", "token_type_ids"} for _, read in ways)
    assert [training for training, _ in ways].count(True) == 12
    assert {tuple(row) for logits in seen for row in logits.tolist()} == {(23.0, 13.0)}


def test_a_loss_that_is_not_finite_is_refused_with_its_batch_and_rows(fine_tune, splits):
    calls = iter([1.0, 1.0, float("nan")])
    with pytest.raises(TrainingFailed) as caught:
        fine_tune(settings_of(seed=3), objective_of(loss=lambda *given: cross_entropy(*given) * next(calls)))
    batches = LengthGroupedBatches(splits[0].lengths, 8, seed=3)
    batches.epoch = 1
    rows = list(batches)[2]
    assert str(caught.value) == (
        f"the loss of step 3 in epoch 1 is nan (training rows {', '.join(map(str, rows))}, counted from 0); {CALMER}"
    )


def test_a_gradient_that_is_not_finite_is_refused(fine_tune):
    with pytest.raises(TrainingFailed, match=r"^the gradient of step 1 in epoch 1 is nan \(training rows "):
        # The root of 0 is 0, and its slope is not.
        fine_tune(settings_of(), objective_of(lambda *given: cross_entropy(*given) + (given[0].sum() * 0).sqrt()))


def test_a_step_that_is_not_finite_is_left_out_when_asked(fine_tune, capsys):
    calls = iter([1.0, 1.0, float("inf"), *[1.0] * 30])
    settings = settings_of(epochs=1, on_non_finite="skip")
    model, trained = fine_tune(settings, objective_of(loss=lambda *given: cross_entropy(*given) * next(calls)))
    assert (trained.left_out, math.isfinite(trained.history[0]["loss"])) == (1, True)
    assert all(weight.isfinite().all() for weight in model.parameters())
    assert "the step is left out, 1 so far" in capsys.readouterr().out


def test_what_does_not_fit_the_memory_is_learned_in_smaller_parts(fine_tune, capsys):
    calls = iter(range(1, 1000))

    def loss(logits, targets):
        if next(calls) == 3 or len(targets) > 4:
            raise torch.OutOfMemoryError
        return cross_entropy(logits, targets)

    settings = settings_of(epochs=1, dropout=0)
    whole, parts = fine_tune(settings), fine_tune(settings, objective_of(loss))
    assert same_weights(whole[0], parts[0], atol=1e-4)
    assert parts[1].history[0]["loss"] == pytest.approx(whole[1].history[0]["loss"], abs=1e-6)
    said = capsys.readouterr().out
    assert "step 1 in epoch 1 does not fit the memory: from here on at most " in said
    assert "a step still learns from all its rows" in said


def test_answers_that_are_not_finite_are_refused(fine_tune):
    def harmless(logits, targets):
        return torch.zeros((), requires_grad=True)

    with pytest.raises(TrainingFailed) as caught:
        fine_tune(settings_of(epochs=1), objective_of(loss=harmless, scale=(0.0, 1e39)))
    assert str(caught.value) == f"the model answers a validation row with a number that is not finite; {CALMER}"


def test_only_the_chosen_layers_change(fine_tune, fetch, tiny_base):
    settings = settings_of(epochs=1)
    model, _ = fine_tune(settings, layers=1)
    before = build_classifier(fetch(tiny_base), LABELS, settings).state_dict()
    changed = {name for name, weight in model.state_dict().items() if not weight.equal(before[name])}
    assert any(name.startswith("bert.encoder.layer.1.") for name in changed)
    assert {name.split(".")[0] for name in changed} == {"bert", "classifier"}
    assert not any(name.startswith(("bert.embeddings", "bert.encoder.layer.0.")) for name in changed)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_trained_model_is_plain_again_whatever_it_was_trained_in(fine_tune, precision):
    model, trained = fine_tune(settings_of(epochs=1, precision=precision))
    assert (trained.precision, trained.device) == (precision, "cpu")
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert model.forward.__func__ is MeanPooledClassifier.forward
    assert not model.training


def test_bf16_learns_as_well(fine_tune):
    _, trained = fine_tune(settings_of(epochs=10, patience=10, learning_rate=3e-3, precision="bf16"))
    losses = [epoch["loss"] for epoch in trained.history]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("kind", ["linear", "cosine", "constant"])
@pytest.mark.parametrize(("warmup", "steps"), [(0, 7), (3, 10), (10, 10)])
def test_the_learning_rate_goes_as_that_of_transformers(kind, warmup, steps):
    name = "constant_with_warmup" if kind == "constant" else kind
    theirs = transformers.get_scheduler(name, torch.optim.SGD([torch.nn.Parameter(torch.ones(1))]), warmup, steps)
    share = learning_rate(kind, warmup, steps)
    assert [share(step) for step in range(steps)] == pytest.approx(
        [theirs.lr_lambdas[0](step) for step in range(steps)]
    )

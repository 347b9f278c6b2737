import numpy as np
import pytest
import torch

from tunewright.job.measure.evaluation import evaluated, gathered, logits_of
from tunewright.serving.predictor import open_predictor


@pytest.fixture
def measured(made, plan_of):
    """measured("single") gives the evaluation of the fp32 file on the test rows, its logits and the targets."""

    def make(shape):
        one = made(shape)
        plan = plan_of(one)
        part = plan.prepared.test
        predictor = open_predictor(one.pulled(), variant="fp32")
        found = plan.prepared.task.target.evaluate(predictor, part, plan)
        logits = logits_of(predictor, part.data, plan.prepared.task.columns.served)
        predictor.close()
        return found, logits, part.targets[:]

    return make


def test_the_figures_of_a_version_are_those_of_its_file_on_the_test_rows(made, measured):
    found, logits, targets = measured("single")
    stated = made("single").outcome.release.model.variants["fp32"].metrics
    assert found.metrics == stated
    assert found.metrics["accuracy"] == np.mean(logits.argmax(-1) == targets)
    assert found.rows == len(logits) == 60


def test_accuracy_has_wilsons_interval(measured):
    found, logits, targets = measured("single")
    right, rows, z = int((logits.argmax(-1) == targets).sum()), 60, 1.959964
    share = right / rows
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    assert found.intervals["accuracy"] == pytest.approx((middle - half, middle + half), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "metric"), [("multi", "macro_f1"), ("regression", "spearman")])
def test_other_headlines_have_an_interval_around_them(measured, shape, metric):
    found, _, _ = measured(shape)
    low, high = found.intervals[metric]
    assert -1 <= low < found.metrics[metric] < high <= 1


def test_an_interval_is_the_same_every_time(measured):
    assert measured("regression")[0].intervals == measured("regression")[0].intervals


def test_the_time_of_a_text_is_measured(measured):
    assert 0 < measured("single")[0].ms_per_text < 1000


def test_every_label_has_its_row_in_the_details(measured):
    found, _, targets = measured("single")
    assert [(row["label"], row["rows"]) for row in found.details] == [
        ("with", int((targets == 0).sum())),
        ("without", int((targets == 1).sum())),
    ]


def test_scored_batches_are_gathered_in_the_order_of_the_rows():
    batches = [([2, 0], torch.tensor([20, 0])), ([3], torch.tensor([30])), ([1, 4], torch.tensor([10, 40]))]
    scored = ((rows, {"targets": wanted}, wanted[:, None] + torch.tensor([0.5, 0.25])) for rows, wanted in batches)
    logits, targets = gathered(scored)
    assert targets.tolist() == [0, 10, 20, 30, 40]
    assert logits.tolist() == [[wanted + 0.5, wanted + 0.25] for wanted in targets]


def test_figures_are_of_all_rows_and_their_interval_of_rows_drawn_again():
    values, drawn = np.arange(50.0), []

    def measure(rows):
        drawn.append(rows)
        return {"spearman": float(values[rows].mean()), "rmse": 1.0}

    found = evaluated(measure, 50, headline="spearman", details=({"label": "a"},), ms_per_text=2.5)
    assert found.metrics == {"spearman": 24.5, "rmse": 1.0}
    assert drawn[0].tolist() == list(range(50))
    assert {len(rows) for rows in drawn} == {50}
    assert min(rows.min() for rows in drawn) == 0
    assert max(rows.max() for rows in drawn) == 49
    # The mean of 50 numbers of standard deviation 14.4 has a standard error of 2.04.
    assert found.intervals["spearman"] == pytest.approx((24.5 - 1.96 * 2.04, 24.5 + 1.96 * 2.04), abs=0.8)
    assert (found.details, found.ms_per_text, found.rows) == ([{"label": "a"}], 2.5, 50)


def test_accuracy_that_is_no_headline_has_its_interval_too():
    found = evaluated(lambda rows: {"macro_f1": 0.5, "accuracy": 0.9}, 100, headline="macro_f1", ms_per_text=1.0)
    assert set(found.intervals) == {"macro_f1", "accuracy"}
    assert found.intervals["accuracy"] == pytest.approx((0.8256, 0.9448), abs=1e-3)

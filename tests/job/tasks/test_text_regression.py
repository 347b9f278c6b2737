from decimal import Decimal

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr

from tunewright.job.data.columns import Options
from tunewright.job.errors import DataError
from tunewright.job.kinds.number import read_target
from tunewright.job.measure.metric import figures
from tunewright.job.settings.train import TrainSettings
from tunewright.job.tasks import TASKS
from tunewright.job.train.losses import number_loss, output_scale
from tunewright.serving.predictor import open_predictor

TASK = TASKS["text-regression"]
RANDOM = np.random.default_rng(5)
TARGETS = (RANDOM.normal(size=20) * 30 + 500).astype(np.float32)
ANSWERS = (TARGETS + RANDOM.normal(size=20) * 10).astype(np.float32)[:, None]
ERRORS = (ANSWERS[:, 0].astype(np.float64) - TARGETS) / TARGETS.astype(np.float64).std()


def measured(answers):
    """All figures of a regression."""
    return figures(TASK.target.metric_names("regression"), "regression", TARGETS, answers)


def loss_of(**settings):
    loss = number_loss(TrainSettings(**settings), TARGETS)
    return float(loss(torch.from_numpy(ANSWERS), torch.from_numpy(TARGETS)))


def test_the_loss_is_the_squared_error_in_standard_deviations():
    assert loss_of() == pytest.approx((ERRORS**2).mean(), rel=1e-4)


def test_huber_loss_is_linear_beyond_its_delta():
    size = np.abs(ERRORS)
    expected = np.where(size <= 0.3, size**2 / 2, 0.3 * (size - 0.15)).mean()
    assert size.max() > 0.3
    assert loss_of(huber_delta=0.3) == pytest.approx(expected, rel=1e-4)


def test_the_scale_is_that_of_the_training_targets():
    mean, deviation = output_scale(TARGETS)
    assert (mean, deviation) == pytest.approx((TARGETS.mean(), TARGETS.std()), rel=1e-5)


def test_targets_that_are_all_equal_on_this_side_have_the_scale_1():
    assert output_scale(np.full(5, 7.0, dtype=np.float32)) == (7.0, 1.0)


def test_large_targets_keep_a_finite_scale():
    _, deviation = output_scale(np.array([1e15, -1e15], dtype=np.float32))
    assert deviation == pytest.approx(1e15)


def test_figures_are_those_of_scipy():
    assert measured(ANSWERS[:, 0]) == pytest.approx(
        {
            "spearman": spearmanr(ANSWERS[:, 0], TARGETS).statistic,
            "pearson": pearsonr(ANSWERS[:, 0], TARGETS).statistic,
            "rmse": np.sqrt(((ANSWERS[:, 0] - TARGETS) ** 2).mean()),
        },
        rel=1e-5,
    )
    assert tuple(measured(ANSWERS[:, 0])) == TASK.target.metric_names("regression")
    assert TASK.headline("regression") in TASK.target.metric_names("regression")


def test_constant_answers_correlate_with_nothing():
    found = measured(np.ones(20, dtype=np.float32))
    assert (found["spearman"], found["pearson"]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("value", "number"),
    [("3.5", 3.5), (4, 4.0), (" -1e3 ", -1000.0), (".5", 0.5), ("+2.", 2.0), (Decimal("1.25"), 1.25)],
)
def test_a_number_is_read_from_text_too(value, number):
    assert read_target(value) == number


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (True, "is not a number"),
        (None, "is not a number"),
        ("3,5", "is not a number (use a point for decimals, nothing for thousands)"),
        ("1_3", "is not a number (use a point for decimals, nothing for thousands)"),
        ("1 3", "is not a number (use a point for decimals, nothing for thousands)"),
        ("\u0661\u0662", "is not a number (use a point for decimals, nothing for thousands)"),
        ("0x1F", "is not a number (use a point for decimals, nothing for thousands)"),
        ("nan", "is not a finite number"),
        ("-Infinity", "is not a finite number"),
        (Decimal("NaN"), "is not a finite number"),
        ("1e400", "is not a finite number"),
        (1e16, "is too large (beyond 1e+15); give the column another unit"),
    ],
)
def test_what_is_no_number_is_said(value, sentence):
    with pytest.raises(ValueError) as caught:
        read_target(value)
    assert str(caught.value) == sentence


def test_equal_scores_hold_nothing_to_learn():
    with pytest.raises(DataError) as caught:
        TASK.target.learn([2.5, 2.5], "score")
    assert str(caught.value) == "all training rows have the same score (2.5): there is nothing to learn"


def test_the_one_label_is_the_role_of_the_column():
    assert TASK.target.learn([1.0, 2.0], "score") == ["score"]
    assert TASK.target.encode([1.0, 2.0], ["score"], "regression").tolist() == [1.0, 2.0]
    assert (TASK.target.problem("score", Options()), TASK.target.strata(1.0)) == ("regression", [])


def test_a_regression_has_no_thresholds_and_no_table_of_labels(made, plan_of):
    one = made("regression")
    plan = plan_of(one)
    predictor = open_predictor(one.pulled(), variant="fp32")
    assert TASK.target.tune(predictor.model, predictor, plan) == predictor.model
    assert predictor.model.thresholds is None
    assert TASK.target.evaluate(predictor, plan.prepared.test, plan).details == []
    predictor.close()


def test_the_objective_is_in_the_unit_of_the_training_targets(made, plan_of):
    plan = plan_of(made("regression"))
    targets, objective = plan.prepared.train.targets, TASK.objective(plan)
    assert objective.metric == "spearman"
    assert objective.scale == output_scale(targets)
    wanted = torch.from_numpy(targets)
    assert float(objective.loss(wanted[:, None] + objective.scale[1], wanted)) == pytest.approx(1.0, rel=1e-4)
    assert objective.measure(iter([([0, 1], {"targets": wanted[:2]}, wanted[:2, None] + 3.0)]))["rmse"] == 3.0

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, matthews_corrcoef, precision_recall_fscore_support
from sklearn.utils.class_weight import compute_class_weight

from tunewright.job.data.columns import Options
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.measure import labels as measure
from tunewright.job.measure.metric import figures
from tunewright.job.settings.train import TrainSettings
from tunewright.job.tasks import TASKS
from tunewright.job.train.losses import label_loss
from tunewright.serving.predictor import open_predictor
from tunewright.serving.runtime.scores import scores

TASK = TASKS["text-classification"]
LABELS = ["a", "b", "c"]
RANDOM = np.random.default_rng(3)
LOGITS = RANDOM.normal(size=(12, 3)).astype(np.float32)
SINGLE = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
MULTI = (RANDOM.random((12, 3)) < (0.7, 0.3, 0.1)).astype(np.float32)
MULTI[0, 2], MULTI[1, 2] = 1, 0


def measured(logits, targets, problem, thresholds=None):
    """All figures of a classification."""
    names = TASK.target.metric_names(problem)
    return figures(names, problem, targets, measure.answered(logits, targets, problem, thresholds))


def loss_of(targets, problem, **settings):
    loss = label_loss(TrainSettings(**settings), LABELS, targets, problem)
    return float(loss(torch.from_numpy(LOGITS), torch.from_numpy(targets)))


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def row_losses(smoothing=0.0):
    logs = log_softmax(LOGITS.astype(np.float64))
    right = logs[np.arange(12), SINGLE]
    return -(1 - smoothing) * right - smoothing * logs.mean(-1)


def test_cross_entropy_is_the_mean_of_the_rows():
    assert loss_of(SINGLE, "single_label") == pytest.approx(row_losses().mean(), rel=1e-5)


def test_label_smoothing_spreads_a_share_over_all_labels():
    assert loss_of(SINGLE, "single_label", label_smoothing=0.2) == pytest.approx(row_losses(0.2).mean(), rel=1e-5)


def test_given_weights_weigh_the_rows_of_a_label_and_1_the_others():
    weights = np.array([1.0, 2.5, 1.0])[SINGLE]
    expected = (weights * row_losses()).sum() / weights.sum()
    assert loss_of(SINGLE, "single_label", class_weights={"b": 2.5}) == pytest.approx(expected, rel=1e-5)


def test_balanced_weights_are_those_of_scikit_learn():
    weights = compute_class_weight("balanced", classes=np.arange(3), y=SINGLE)[SINGLE]
    expected = (weights * row_losses()).sum() / weights.sum()
    assert loss_of(SINGLE, "single_label", class_weights="balanced") == pytest.approx(expected, rel=1e-5)


def test_effective_weights_are_the_inverse_of_the_effective_number_of_rows():
    numbers = (1 - 0.999 ** np.array([6.0, 4.0, 2.0])) / 0.001
    weights = (1 / numbers)[SINGLE]
    expected = (weights * row_losses()).sum() / weights.sum()
    assert loss_of(SINGLE, "single_label", class_weights="effective") == pytest.approx(expected, rel=1e-5)


def test_adjusted_logits_have_the_log_share_of_their_label():
    shifted = LOGITS.astype(np.float64) + 0.5 * np.log(np.array([6, 4, 2]) / 12)
    expected = -log_softmax(shifted)[np.arange(12), SINGLE].mean()
    assert loss_of(SINGLE, "single_label", logit_adjustment=0.5) == pytest.approx(expected, rel=1e-5)


def test_focal_loss_lets_go_of_rows_that_are_right():
    right = np.exp(log_softmax(LOGITS.astype(np.float64)))[np.arange(12), SINGLE]
    expected = ((1 - right) ** 2 * row_losses()).mean()
    assert loss_of(SINGLE, "single_label", focal_gamma=2.0) == pytest.approx(expected, rel=1e-5)


def cell_losses(weight=1.0, gamma=0.0):
    p = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
    focus = np.where(MULTI > 0.5, 1 - p, p) ** gamma
    return focus * -(weight * MULTI * np.log(p) + (1 - MULTI) * np.log(1 - p))


def test_binary_cross_entropy_is_the_mean_of_the_cells():
    assert loss_of(MULTI, "multi_label") == pytest.approx(cell_losses().mean(), rel=1e-5)


def test_weights_of_several_labels_weigh_their_presence():
    expected = cell_losses(weight=np.array([1.0, 3.0, 1.0])).mean()
    assert loss_of(MULTI, "multi_label", class_weights={"b": 3.0}) == pytest.approx(expected, rel=1e-5)


def test_balanced_weights_of_several_labels_are_the_root_of_absent_by_present():
    present = MULTI.sum(0)
    expected = cell_losses(weight=np.sqrt((12 - present) / present)).mean()
    assert loss_of(MULTI, "multi_label", class_weights="balanced") == pytest.approx(expected, rel=1e-5)


def test_effective_weights_of_several_labels_are_those_of_absent_by_present():
    present = MULTI.sum(0).astype(np.float64)
    expected = cell_losses(weight=(1 - 0.999 ** (12 - present)) / (1 - 0.999**present)).mean()
    assert loss_of(MULTI, "multi_label", class_weights="effective") == pytest.approx(expected, rel=1e-5)


def test_focal_loss_of_several_labels_looks_at_each_cell():
    assert loss_of(MULTI, "multi_label", focal_gamma=2.0) == pytest.approx(cell_losses(gamma=2.0).mean(), rel=1e-5)


@pytest.mark.parametrize("present", [0, 12])
def test_a_label_that_no_row_or_every_row_has_makes_a_loss_all_the_same(present):
    targets = MULTI.copy()
    targets[:present, 1] = 1
    targets[present:, 1] = 0
    assert np.isfinite(loss_of(targets, "multi_label", class_weights="balanced"))


def test_a_label_without_a_row_on_this_side_makes_a_loss_all_the_same():
    targets = np.where(SINGLE == 2, 1, SINGLE)
    settings = {"class_weights": "balanced", "label_smoothing": 0.1}
    assert np.isfinite(loss_of(targets, "single_label", **settings))


@pytest.mark.parametrize(
    ("problem", "settings", "sentence"),
    [
        ("single_label", {"class_weights": {"z": 2.0}}, "train.class_weights names 'z'; the labels are a, b, c"),
    ],
)
def test_a_setting_without_a_meaning_is_refused(problem, settings, sentence):
    with pytest.raises(SettingsError) as caught:
        loss_of(SINGLE if problem == "single_label" else MULTI, problem, **settings)
    assert str(caught.value) == sentence


def f1(truth, predicted):
    found = truth.sum() + predicted.sum()
    return 2 * (truth * predicted).sum() / found if found else 0.0


def test_thresholds_are_the_best_there_are():
    logits = np.round(RANDOM.normal(size=(40, 3)), 1).astype(np.float32)  # rounded: some scores are equal
    targets = (RANDOM.random((40, 3)) < 0.3).astype(np.float32)
    thresholds = measure.tune_thresholds(logits, targets, "multi_label")
    probabilities = scores(logits, "sigmoid")
    for label, threshold in enumerate(thresholds):
        column, truth = probabilities[:, label], targets[:, label]
        best = max(f1(truth, column >= cut) for cut in [*column, 2.0])
        assert f1(truth, column >= np.float32(threshold)) == pytest.approx(best)


def test_a_threshold_lies_between_two_scores():
    logits = np.array([[2.0], [1.0], [-1.0]], dtype=np.float32)
    (threshold,) = measure.tune_thresholds(logits, np.array([[1.0], [1.0], [0.0]]), "multi_label")
    high, low = scores(logits[1:], "sigmoid")[:, 0]
    assert threshold == pytest.approx((high + low) / 2)


def test_a_threshold_between_neighbouring_numbers_is_the_higher_one():
    low = np.float32(0.5)
    high = np.nextafter(low, np.float32(1))
    assert measure._best_threshold(np.array([high, low]), np.array([1.0, 0.0])) == float(high)


def test_a_label_that_no_validation_row_has_keeps_one_half():
    assert measure.tune_thresholds(LOGITS, np.zeros((12, 3)), "multi_label") == [0.5] * 3
    assert measure.tune_thresholds(LOGITS, SINGLE, "single_label") is None


def test_figures_of_single_labels_are_those_of_scikit_learn():
    predicted = LOGITS.argmax(-1)
    assert measured(LOGITS, SINGLE, "single_label") == pytest.approx(
        {
            "accuracy": (predicted == SINGLE).mean(),
            "macro_f1": f1_score(SINGLE, predicted, average="macro"),
            "mcc": matthews_corrcoef(SINGLE, predicted),
        }
    )


@pytest.mark.parametrize("thresholds", [None, [0.2, 0.5, 0.9]])
def test_figures_of_several_labels_are_those_of_scikit_learn(thresholds):
    predicted = (scores(LOGITS, "sigmoid") >= np.float32(thresholds or 0.5)).astype(int)
    assert measured(LOGITS, MULTI, "multi_label", thresholds) == pytest.approx(
        {
            "macro_f1": f1_score(MULTI, predicted, average="macro", zero_division=0),
            "micro_f1": f1_score(MULTI, predicted, average="micro", zero_division=0),
            "accuracy": (predicted == MULTI).all(-1).mean(),
        }
    )


def test_a_label_that_is_neither_there_nor_predicted_has_no_f1():
    nothing = np.full((4, 2), -9.0, dtype=np.float32)
    assert measured(nothing, np.zeros((4, 2)), "multi_label")["macro_f1"] == 0.0


def test_the_details_of_labels_are_those_of_scikit_learn():
    expected = precision_recall_fscore_support(SINGLE, LOGITS.argmax(-1), labels=[0, 1, 2], zero_division=0)
    for row, label, values in zip(
        measure.details(LOGITS, SINGLE, LABELS), LABELS, zip(*expected, strict=True), strict=True
    ):
        assert row["label"] == label
        assert (row["precision"], row["recall"], row["f1"], row["rows"]) == pytest.approx(values)


def test_the_metrics_are_those_that_are_announced():
    for problem, targets in (("single_label", SINGLE), ("multi_label", MULTI)):
        assert tuple(measured(LOGITS, targets, problem)) == TASK.target.metric_names(problem)
        assert TASK.headline(problem) in TASK.target.metric_names(problem)


def test_labels_are_in_numeric_order_before_words():
    targets = [[label] for label in ("10", "9", "-1", "b", "--5", "a", "-") for _ in range(2)]
    assert TASK.target.learn(targets, "label") == ["-1", "9", "10", "-", "--5", "a", "b"]


@pytest.mark.parametrize(
    ("targets", "sentence"),
    [
        ([["a"], ["a"]], "the training rows hold 1 label ('a'); at least 2 are needed"),
        ([[], []], "the training rows hold 0 labels (none); at least 2 are needed"),
        (
            [["a"], ["a"], ["b"]],
            "label 'b' has only one training row; a label needs two or more to be learned: add rows, merge the label "
            "with another, or remove it",
        ),
        (
            [["a"], ["a"], ["b"], ["c"]],
            "label 'b' has only one training row (so have 1 more); a label needs two or more to be learned: add rows, "
            "merge the label with another, or remove it",
        ),
    ],
)
def test_labels_that_cannot_be_learned_are_said(targets, sentence):
    with pytest.raises(DataError) as caught:
        TASK.target.learn(targets, "label")
    assert str(caught.value) == sentence


def test_one_label_that_some_rows_have_can_be_learned():
    assert TASK.target.learn([["a"], ["a"], []], "labels") == ["a"]


def test_targets_are_numbers_or_rows_of_zeros_and_ones():
    assert TASK.target.encode([["b"], ["a"]], LABELS, "single_label").tolist() == [1, 0]
    assert TASK.target.encode([["a", "c"], []], LABELS, "multi_label")[:].tolist() == [[1, 0, 1], [0, 0, 0]]


def test_a_column_of_labels_holds_several():
    assert (TASK.target.problem("label", Options()), TASK.target.problem("labels", Options())) == (
        "single_label",
        "multi_label",
    )
    assert TASK.target.strata(["a", "b"]) == ["a", "b"]


@pytest.mark.slow
def test_logits_have_no_unit(made, plan_of):
    assert TASK.objective(plan_of(made("single"))).scale == (0.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "metric"), [("single", "accuracy"), ("multi", "macro_f1")])
def test_the_objective_is_the_loss_of_the_settings_and_the_headline(made, plan_of, shape, metric):
    plan = plan_of(made(shape))
    prepared, objective = plan.prepared, TASK.objective(plan)
    wanted = torch.from_numpy(prepared.validation.targets[:])
    logits = torch.randn((len(wanted), len(prepared.labels)), generator=torch.Generator().manual_seed(2))
    loss = label_loss(plan.settings.train, prepared.labels, prepared.train.targets, prepared.problem)
    figures = measured(logits.numpy(), prepared.validation.targets[:], prepared.problem)
    assert objective.metric == metric
    assert objective.loss(logits, wanted) == loss(logits, wanted)
    rows = torch.randperm(len(wanted), generator=torch.Generator().manual_seed(3)).tolist()
    assert objective.measure(iter([(rows, {"targets": wanted[rows]}, logits[rows])])) == figures


def test_thresholds_are_tuned_on_the_validation_rows_and_used_on_the_others(made, plan_of):
    one = made("multi")
    plan = plan_of(one)
    predictor = open_predictor(one.pulled(), variant="fp32")
    plain = predictor.model.model_copy(update={"thresholds": None})
    validation = plan.prepared.validation
    temperature = np.float32(predictor.model.variants["fp32"].temperature)
    logits = np.stack(predictor.outputs(validation.data.inputs())) / temperature
    expected = measure.tune_thresholds(logits, validation.targets[:], "multi_label")
    assert TASK.target.tune(plain, predictor, plan).thresholds == pytest.approx(expected)
    assert predictor.model.thresholds == pytest.approx(expected)
    test = plan.prepared.test
    logits = np.stack(predictor.outputs(test.data.inputs())) / temperature
    figures = measured(logits, test.targets[:], "multi_label", expected)
    assert TASK.target.evaluate(predictor, test, plan).metrics == pytest.approx(figures)
    assert measured(logits, test.targets[:], "multi_label") != pytest.approx(figures)
    predictor.close()


def test_one_label_a_row_needs_no_thresholds(made, plan_of):
    one = made("single")
    predictor = open_predictor(one.pulled(), variant="fp32")
    assert TASK.target.tune(predictor.model, predictor, plan_of(one)) == predictor.model
    predictor.close()


def test_a_label_that_training_lacks_is_always_wrong_and_a_class_of_its_own():
    labels = ["a", "b"]
    targets = TASK.target.encode([["a"], ["b"], ["c"], ["d"]], labels, "single_label")
    logits = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], dtype=np.float32)
    predicted = ["a", "b", "a", "b"]
    figures = measured(logits, targets, "single_label")
    assert figures["accuracy"] == 0.5
    assert figures["macro_f1"] == pytest.approx(f1_score(list("abcd"), predicted, average="macro", zero_division=0))
    table = measure.details(logits, targets, labels)
    assert [(row["label"], row["rows"], row["precision"]) for row in table] == [("a", 1, 0.5), ("b", 1, 0.5)]


def test_several_labels_of_which_training_lacks_one_are_never_all_right():
    labels = ["a", "b"]
    targets = TASK.target.encode([["a"], ["a", "c"], []], labels, "multi_label")[:]
    logits = np.array([[5, -5], [5, -5], [-5, -5]], dtype=np.float32)
    figures = measured(logits, targets, "multi_label", [0.5, 0.5])
    assert figures["accuracy"] == pytest.approx(2 / 3)
    assert figures["micro_f1"] == pytest.approx(2 * 2 / (2 + 3))
    assert figures["macro_f1"] == pytest.approx(1 / 3)
    assert [row["f1"] for row in measure.details(logits, targets, labels, [0.5, 0.5])] == [1, 0]
    assert len(measure.tune_thresholds(logits, targets, "multi_label")) == 2


def test_one_number_written_in_two_ways_is_told():
    with pytest.raises(DataError) as caught:
        TASK.target.learn([["1"], ["1"], ["1.0"], ["1.0"], ["0"], ["0"]], "label")
    assert str(caught.value) == (
        "the training rows hold the labels '1.0' (2) and '1' (2), one number written in two ways, as pandas does "
        'beside a missing value; write whole numbers (astype("Int64")), or give both one name in data.label_names'
    )

import numpy as np
import pytest

from job.evaluate import evaluate, logits_of
from job.prepare import prepare
from job.tasks import TASKS
from serving.predictor import open_predictor


@pytest.fixture
def measured(made, tmp_path):
    """measured("single") gives the evaluation of the fp32 file on the test rows, its logits and the targets."""

    def make(shape):
        one = made(shape)
        part = prepare(one.settings, one.registry.cache, tmp_path / "work").test
        predictor = open_predictor(one.pulled(), variant="fp32")
        task, thresholds = TASKS[one.settings.task], predictor.model.thresholds
        found = evaluate(predictor, part.data, part.targets, task, thresholds)
        logits = logits_of(predictor, part.data)
        predictor.close()
        return found, logits, part.targets

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

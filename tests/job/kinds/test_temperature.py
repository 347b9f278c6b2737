"""The temperature of each variant and the score that is sure enough, from the validation rows to the report."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from tunewright.job.kinds.temperature import sure_from
from tunewright.job.measure.calibration import outcomes_of
from tunewright.job.measure.rows.coverage import at_score
from tunewright.serving.bundle.model_file import read_model_file
from tunewright.serving.predictor import open_predictor


def test_the_report_tells_what_the_temperature_of_each_file_does_to_its_scores(made):
    folder = made("single").pulled()
    measured = json.loads((folder / "report" / "metrics.json").read_text())["test"]
    model = read_model_file(folder)
    assert set(model.variants) <= set(measured)
    for name, variant in model.variants.items():
        found = measured[name]["calibration"]
        assert found["temperature"] == variant.temperature
        assert sum(one["count"] for one in found["after"]["bins"]) == measured[name]["rows"]
        assert (found["before"] == found["after"]) == (variant.temperature == 1.0)
    card = (folder / "report" / "README.md").read_text()
    assert (
        "## Calibration\n\nHow far a score is from how often it is right (ECE), before the temperature divides" in card
    )


def test_what_the_job_says_of_abstaining_the_server_does(made):
    one = made("single")
    folder, measured = one.pulled(), one.outcome.release.evaluations
    with Path(one.settings.data.test).open(newline="", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    for name, variant in read_model_file(folder).variants.items():
        answers, predictor = measured[name].answers, open_predictor(folder, variant=name)
        middle = float(np.median(answers.sure))
        for asked, least in (({"abstain": True}, variant.min_score), ({"min_score": middle}, middle)):
            told = predictor.predict(texts, asked)
            assert [answer[0]["label"] is None for answer in told] == (answers.sure < np.float64(least)).tolist()
        assert sum(answer[0]["label"] is None for answer in told) == pytest.approx(len(texts) / 2, abs=2)
        assert all(answer[0]["label"] for answer in predictor.predict(texts))
        predictor.close()
    served = read_model_file(folder).default_variant
    least = read_model_file(folder).variants[served].min_score
    coverage = at_score(measured[served].answers.sure, measured[served].answers.right, least).coverage
    page = (folder / "report" / "report.html").read_text()
    assert re.search(r"Of the test rows it answers ([0-9.]+%)", page)[1] == f"{coverage:.1%}"


def test_rows_out_of_scope_are_asked_of_the_file_that_is_served_and_told(made):
    one = made("single")
    folder = one.pulled()
    model = read_model_file(folder)
    least, found = model.variants[model.default_variant].min_score, one.outcome.release.scope
    with Path(one.settings.data.out_of_scope).open(newline="", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    predictor = open_predictor(folder)
    answered = [answer[0]["label"] is not None for answer in predictor.predict(texts, {"abstain": True})]
    predictor.close()
    assert (found.variant, found.rows, found.abstaining.score) == (model.default_variant, 9, least)
    assert found.abstaining.outside == np.mean(answered)
    assert json.loads((folder / "report" / "metrics.json").read_text())["out_of_scope"]["auroc"] == found.auroc
    assert "## Out of scope\n\n9 rows that have none of the labels" in (folder / "report" / "README.md").read_text()
    assert "Rows out of scope that are answered" in (folder / "report" / "report.html").read_text()


@pytest.fixture
def outcomes():
    """A hundred rows of score 0.9 that are right, and twenty of 0.6 that are wrong."""
    odds = np.repeat(np.log([9.0, 1.5]), [100, 20])
    logits = np.stack([np.zeros(120), odds], axis=1).astype(np.float32)
    return outcomes_of(logits, np.array([1] * 100 + [0] * 20))


def test_a_version_gets_the_score_from_which_answers_are_surely_right_enough(outcomes, capsys):
    assert sure_from(outcomes, 1.0, "fp32", 0.05) == pytest.approx(0.9)
    # At a temperature of 2 the odds of 9 are 3.
    assert sure_from(outcomes, 2.0, "fp32", 0.05) == pytest.approx(0.75)
    assert (
        "fp32: from a score of 0.900 on 0.00% of the answers are wrong, surely at most 5.00%, and 83.3% of 120 "
        "validation rows are answered" in capsys.readouterr().out
    )
    assert sure_from(outcomes, 1.0, "fp32", None) is None


def test_a_share_that_no_score_reaches_is_told(outcomes, capsys):
    assert sure_from(outcomes, 1.0, "int8", 0.01) is None
    assert (
        "int8: no score from which surely at most 1.00% of the answers are wrong, on 120 validation rows; the version "
        "has no min_score for it: raise export.abstain, or hold out more rows" in capsys.readouterr().out
    )

import re

import numpy as np
import pytest

from tunewright.job.report.page import linear_floor, page_of
from tunewright.job.report.parts import certainty, labels, rows
from tunewright.job.report.subject import Holder, Subject
from tunewright.job.train.state import Trained

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"

LABELLED = ["Labels", "How sure it is", "Calibration", "Slices", "Rows that were lost", "Smaller files"]


def titles(html):
    return re.findall(r'<h2 id="[^"]*">([^<]*)</h2>', html)


@pytest.mark.parametrize(
    ("shape", "own"),
    [
        (
            "single",
            [*LABELLED, "Robustness"],
        ),
        (
            "multi",
            [*LABELLED, "Robustness"],
        ),
        ("regression", ["Answers and errors", "Slices", "Rows that were lost"]),
    ],
)
def test_a_version_carries_a_page_of_what_its_task_has(made, shape, own):
    html = (made(shape).pulled() / "report" / "report.html").read_text()
    assert titles(html) == ["Verdict", "Quality", *own, "Why it answers so", "Learning", "Data", "Lineage"]
    assert "Learning rate over 76 steps" in html
    assert len(html) < 400_000


def test_the_verdict_tells_how_good_against_what_and_where_to_look(made):
    html = (made("single").pulled() / "report" / "report.html").read_text()
    measured = made("single").outcome.release.evaluations[made("single").outcome.release.model.default_variant]
    assert f"reaches accuracy {measured.metrics['accuracy']:.3f} (95 % interval " in html
    assert re.search(r"It is (surely|not surely) better than an answer without a model \(0\.\d+\); ", html)
    assert "better than a linear model of the words (0." in html
    assert "Of its labels it tells least well &#x27;" in html


def test_a_linear_model_of_the_same_rows_is_the_floor(made, plan_of):
    floor = linear_floor(plan_of(made("single")), "accuracy")
    assert floor.rows == 300
    assert set(floor.metrics) == {"accuracy", "macro_f1", "mcc"}
    # One common word decides, which a model of words sees.
    assert floor.metrics["accuracy"] > 0.75
    assert floor.intervals["accuracy"][0] < floor.metrics["accuracy"] < floor.intervals["accuracy"][1]


def test_the_words_of_the_training_rows_stand_in_the_page(made):
    html = (made("single").pulled() / "report" / "report.html").read_text()
    assert "of 300 training rows, not of the model that is served" in html
    assert "Explanations (POST /explain) of 6 test rows were held against random orders" in html


def test_the_version_that_holds_the_alias_stands_beside(made, plan_of):
    one = made("single")
    holder = Holder("tiny:7", {"accuracy": 0.4})
    html = page_of(Subject(one.outcome.release, plan_of(one), Trained("fp32", "cpu"), {}, None, holder))
    assert "better than tiny:7, which it would replace, (0.400)" in html
    assert "tiny:7 (holds the alias)" in html
    assert "Learning" not in titles(html)


def test_a_hostile_row_is_text_in_the_page(of_labels, subject_of):
    subject = subject_of(of_labels([0, 1], [1, 1], [0.9, 0.8]), labels=[HOSTILE, "b"], inputs=[HOSTILE, "fine"])
    html = rows.lost(subject).content + labels.labels(subject).content + certainty.certainty(subject).content
    assert "<script" not in html
    assert "<img" not in html
    assert html.count("&lt;script&gt;") >= 3


def test_a_page_of_100_000_rows_stays_small(of_labels, subject_of):
    random = np.random.default_rng(0)
    truths = random.integers(0, 77, 100_000)
    said = np.where(random.uniform(size=100_000) < 0.9, truths, random.integers(0, 77, 100_000))
    names = [f"a label of some length {number}" for number in range(77)]
    answers = of_labels(truths, said, random.uniform(size=100_000))
    subject = subject_of(answers, labels=names, inputs=["x " * 400] * 100_000)
    sections = [labels.labels, certainty.certainty, rows.slices, rows.lost]
    assert sum(len(part(subject).content) for part in sections) < 1_000_000

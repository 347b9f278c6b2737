"""Subjects of a report, made by hand: answers whose figures can be counted on the fingers."""

from types import SimpleNamespace

import numpy as np
import pytest

from tunewright.job.measure.evaluation import Evaluation
from tunewright.job.measure.rows.answers import LabelAnswers
from tunewright.job.report.subject import Subject
from tunewright.job.train.state import Trained


class Rows(list):
    """Inputs as a data set gives them."""

    columns = ()
    """What was kept beside each."""

    def select(self, rows):
        some = Rows([self[row] for row in rows])
        some.columns = [self.columns[row] for row in rows] if self.columns else []
        return some

    def inputs(self):
        return list(self)

    def kept(self):
        return self.columns

    def batches(self):
        yield list(self), [None] * len(self)


@pytest.fixture
def of_labels():
    """of_labels([0, 1], [0, 0], [0.9, 0.6]): what is true, what was answered, how sure."""
    return _of_labels


def _of_labels(truths, predicted, sure, scores=None):
    """What was lost of a row is 1 less how sure it was where it is right, and 1 more where it is not."""
    truths, predicted = np.array(truths, np.int32), np.array(predicted, np.int32)
    sure = np.array(sure, np.float32)
    right = truths == predicted
    losses = np.where(right if right.ndim == 1 else right.all(axis=-1), 1 - sure, 1 + sure).astype(np.float32)
    return LabelAnswers(truths, predicted, sure, losses, None if scores is None else np.array(scores, np.float32))


@pytest.fixture
def subject_of():
    """subject_of(answers, labels=..., inputs=...): a run whose served file answers so."""

    def make(
        answers,
        *,
        labels=("no", "yes"),
        inputs=None,
        problem="single_label",
        details=(),
        others=None,
        media="",
        calibration=None,
        min_score=None,
        columns=None,
        robustness=None,
        vectors=None,
        faithfulness=None,
        scope=None,
        imported=False,
    ):
        rows = len(answers.truths)
        measured = {
            name: Evaluation({"accuracy": 0.5}, {"accuracy": (0.25, 0.75)}, list(details), 1.5, rows, one, calibration)
            for name, one in {"fp32": answers, **(others or {})}.items()
        }
        model = SimpleNamespace(
            default_variant="fp32",
            variants={name: SimpleNamespace(min_score=min_score) for name in measured},
            labels=list(labels),
            problem=problem,
            thresholds=None,
            left_out={},
            max_length=64,
        )
        release = SimpleNamespace(
            model=model,
            evaluations=measured,
            headline="accuracy",
            baseline={"accuracy": 0.5},
            short=None,
            sizes={},
            robustness=robustness,
            vectors=vectors,
            faithfulness=faithfulness,
            scope=scope,
        )
        held = Rows(inputs or [f"row {number}" for number in range(rows)])
        held.columns = list(zip(*(columns or {}).values(), strict=True))
        task = SimpleNamespace(columns=SimpleNamespace(media=media), purpose=lambda model: "Gives one label to a text")
        prepared = SimpleNamespace(task=task, test=SimpleNamespace(data=held), train=held, problem=problem)
        prepared.imported, prepared.validation = imported, [] if imported else held
        settings = SimpleNamespace(train=SimpleNamespace(epochs=3), export=SimpleNamespace(abstain=min_score and 0.2))
        settings.report = SimpleNamespace(slices=list(columns or {}))
        plan = SimpleNamespace(prepared=prepared, settings=settings)
        return Subject(release, plan, Trained("fp32", "cpu"), {})

    return make

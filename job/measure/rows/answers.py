"""What one variant answers to each row of the test side, beside what is true: what a report is drawn from.

Axes: N rows, L labels.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tunewright.job.measure.labels import Answered
from tunewright.serving.runtime.scores import log_softmax, scores

Numbers = NDArray[np.float32]
Labels = NDArray[np.integer]
_MOST_SCORES = 4_000_000
"""Scores of all labels are kept up to so many."""


@dataclass(frozen=True)
class LabelAnswers:
    """Labels, one a row or several."""

    truths: Labels
    """`[N]` label numbers, from L on for labels that training never saw; or `[N, L or more]` zeros and ones."""
    predicted: Labels
    """Likewise."""
    sure: Numbers
    """`[N]` the score of the label that is answered; of several labels the score of the least sure decision."""
    losses: Numbers
    """`[N]` minus the logarithm of the score of what is true; of several labels their mean."""
    scores: Numbers | None
    """`[N, L]`, where there are not too many to keep."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """`[N]` whether all labels of a row are."""
        same = np.asarray(self.truths == self.predicted)
        return same if same.ndim == 1 else np.asarray(same.all(axis=-1))


@dataclass(frozen=True)
class NumberAnswers:
    """One number a row."""

    truths: Numbers
    answers: Numbers


@dataclass(frozen=True)
class TagAnswers:
    """A tag for each word of each row."""

    truths: list[list[str]]
    answers: list[list[str]]


@dataclass(frozen=True)
class TextAnswers:
    """A text a row."""

    truths: list[list[str]]
    """All right ones; of a question without an answer the empty one."""
    answers: list[str]
    scores: Numbers
    """`[N]` how near each comes, from 0 to 1."""
    figure: str
    """What these scores are."""
    rows: list[int]
    """The test rows that they are of."""


RowAnswers = LabelAnswers | NumberAnswers | TagAnswers | TextAnswers
_KINDS = {kind.__name__: kind for kind in (LabelAnswers, NumberAnswers, TagAnswers, TextAnswers)}


def label_answers(logits: Numbers, targets: NDArray[np.generic], answers: Answered, problem: str) -> LabelAnswers:
    """What logits mean, with how sure they are and how much was lost on each row."""
    several = problem != "single_label"
    each = scores(logits, "sigmoid" if several else "softmax")
    if several:
        known = np.asarray(targets[:, : logits.shape[1]], dtype=np.float32)
        decided = answers.predicted[:, : logits.shape[1]]
        sure = np.where(decided > 0, each, 1 - each).min(axis=-1)
        losses = np.logaddexp(0.0, np.where(known > 0, -logits, logits)).mean(axis=-1)
    else:
        sure = each.max(axis=-1)
        numbers = np.asarray(targets, dtype=np.int64)
        seen = numbers < logits.shape[1]
        right = log_softmax(logits)[np.arange(len(logits)), np.where(seen, numbers, 0)]
        # What training never saw has no score at all: it counts as lost as can be told in float32.
        losses = np.where(seen, -right, np.float32(87.0))
    kept = np.asarray(each, dtype=np.float32) if each.size <= _MOST_SCORES else None
    truths, predicted = (_small(one) for one in (targets, answers.predicted))
    return LabelAnswers(truths, predicted, _single(sure), _single(losses), kept)


def _single(numbers: NDArray[np.floating]) -> Numbers:
    return np.asarray(numbers, dtype=np.float32)


def _small(labels: NDArray[np.generic]) -> Labels:
    return np.asarray(labels, dtype=np.int32 if labels.ndim == 1 else np.int8)


def reached_by(answers: RowAnswers | None) -> tuple[NDArray[np.float64], str] | None:
    """What each row reached, more is better, and what that is called."""
    if isinstance(answers, LabelAnswers):
        return answers.right.astype(np.float64), "share that is right"
    if isinstance(answers, NumberAnswers):
        return -np.abs(answers.answers.astype(np.float64) - answers.truths), "mean error, below 0"
    if isinstance(answers, TagAnswers):
        pairs = zip(answers.truths, answers.answers, strict=True)
        return np.array(
            [np.mean([a == b for a, b in zip(*pair, strict=True)]) for pair in pairs]
        ), "words that are right"
    if isinstance(answers, TextAnswers):
        return answers.scores.astype(np.float64), answers.figure
    return None


def to_json(answers: RowAnswers | None) -> object:
    """Answers as JSON says them; arrays in base64."""
    if answers is None:
        return None
    held = {one.name: _dumped(getattr(answers, one.name)) for one in fields(answers)}
    return {"kind": type(answers).__name__, **held}


def from_json(kept: Mapping[str, object] | None) -> RowAnswers | None:
    """What `to_json` made; ValueError, TypeError or KeyError for anything else."""
    if kept is None:
        return None
    kind = _KINDS[str(kept["kind"])]
    return kind(**{one.name: _loaded(kept[one.name]) for one in fields(kind)})  # type: ignore[arg-type]


def _dumped(value: object) -> object:
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"dtype": value.dtype.str, "shape": list(value.shape), "data": data}
    return value


def _loaded(value: object) -> object:
    if not isinstance(value, dict):
        return value
    shape: Sequence[int] = value["shape"]
    return np.frombuffer(base64.b64decode(value["data"]), dtype=np.dtype(value["dtype"])).reshape(shape)

"""Why an answer is what it is: the parts of an input with what each adds to the score, on the file that is served."""

import hashlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from tunewright.serving.engines.engine import Row
from tunewright.serving.errors import InputError
from tunewright.serving.explain.kinds import KINDS
from tunewright.serving.explain.shapley import Numbers, Sets, choose_sets, fit_weights
from tunewright.serving.explain.subject import Answered, Asked, Subject
from tunewright.serving.predictor import Predictor
from tunewright.serving.text.windows import Windowed

Explanation = dict[str, object]
"""`target`, its `score` for the whole input and its `base` with everything hidden, `parts` with their weights, which
add up to what the score has over the base on the `scale`."""
Result = TypeVar("Result")
Steps = Generator[Sequence[Row], Sequence[Any], Result]
"""Gives rows to run, is sent what the model gave for each, and returns what comes of them."""

_LEAST_SHARE = 1e-6
_AT_ONCE = 32
"""Rows that are made and run together: an image of any size takes memory for so many."""


def explain(predictor: Predictor, one: object, asked: Asked) -> Steps[list[Explanation]]:
    """The explanations of the answer to one input: of an entity each, of any other answer one.

    Runs at most `asked.budget` rows. The same for the same input: what is drawn at random is drawn by its bytes.
    """
    found = yield from weigh(predictor, one, asked)
    return [{**told, "rows": found.rows} for one_of in found.weighed for told in _told(one_of)]


@dataclass(frozen=True, slots=True)
class Weighed:
    """A subject with what each of its parts adds."""

    subject: Subject
    base_K: Numbers
    """The numbers with all parts hidden."""
    weights_NK: Numbers


@dataclass(frozen=True, slots=True)
class Found:
    """All that is explained of one input."""

    weighed: Sequence[Weighed]
    rows: int
    """Rows of the model that it took."""


def weigh(predictor: Predictor, one: object, asked: Asked) -> Steps[Found]:
    """What each part of an input adds to each number that is explained."""
    parameters = predictor.task.read_parameters({}, predictor.model)
    rows = predictor.prepare([one], parameters)
    spent = sum(map(_cost, rows))
    if spent > asked.budget:
        raise InputError(f"the input alone takes {spent} rows of the model; the budget is {asked.budget}: raise it")
    (output,) = yield rows
    subjects = _subjects(Answered(predictor, one, parameters, rows[0], output), asked)
    weighed: list[Weighed] = []
    for number, subject in enumerate(subjects):
        sets_SN = _sets(len(subject.parts), (asked.budget - spent) // (len(subjects) - number), _seed(one))
        values_SK = yield from values_of(subject, sets_SN)
        spent += len(sets_SN)
        weighed.append(_fitted(subject, sets_SN, values_SK))
    return Found(weighed, spent)


def _subjects(answered: Answered, asked: Asked) -> list[Subject]:
    """What of the input is explained. Its module brings, of files, the decoders of images and sounds."""
    module, _, function = KINDS[answered.predictor.model.task].partition(":")
    made: list[Subject] = getattr(import_module(f"tunewright.serving.explain.{module}"), function)(answered, asked)
    return made


def run_steps(predictor: Predictor, steps: Steps[Result]) -> Result:
    """Take the steps where nobody else waits for the model."""
    try:
        rows = next(steps)
        while True:
            rows = steps.send(list(predictor.engine.run(rows)))
    except StopIteration as done:
        result: Result = done.value
        return result


def values_of(subject: Subject, sets_SN: Sets) -> Steps[Numbers]:
    """The numbers of a subject for each set of parts that are shown, `[S, K]`."""
    values: list[Numbers] = []
    for start in range(0, len(sets_SN), _AT_ONCE):
        outputs = yield [subject.masked(shown_N) for shown_N in sets_SN[start : start + _AT_ONCE]]
        values += map(subject.values, outputs)
    return np.array(values, dtype=np.float64).reshape(len(sets_SN), len(subject.targets))


def _sets(parts: int, budget: int, seed: int) -> Sets:
    """What is shown in each row: nothing first."""
    if parts == 0 or budget < 1:
        return np.zeros((0, parts), dtype=bool)
    return np.concatenate([np.zeros((1, parts), dtype=bool), choose_sets(parts, budget - 1, seed)])


def _fitted(subject: Subject, sets_SN: Sets, values_SK: Numbers) -> Weighed:
    if not len(sets_SN):  # nothing can be hidden, or there was no row left to do so
        return Weighed(subject, subject.whole_K, np.zeros((len(subject.parts), len(subject.targets))))
    scaled = _log_odds if subject.are_shares else np.asarray
    weights_NK = fit_weights(sets_SN[1:], scaled(values_SK[1:]), scaled(subject.whole_K), scaled(values_SK[0]))
    return Weighed(subject, values_SK[0], weights_NK)


def _log_odds(shares: Numbers) -> Numbers:
    """What evidence adds to; a share of all or nothing has none that is finite."""
    bounded = np.clip(shares, _LEAST_SHARE, 1 - _LEAST_SHARE)
    return np.asarray(np.log(bounded / (1 - bounded)))


def _told(one: Weighed) -> Iterator[Explanation]:
    """What is told of each number of a subject."""
    for number, target in enumerate(one.subject.targets):
        weights = zip(one.subject.parts, one.weights_NK[:, number], strict=True)
        yield {
            **target,
            "score": float(one.subject.whole_K[number]),
            "base": float(one.base_K[number]),
            "scale": "log-odds" if one.subject.are_shares else "score",
            "parts": [{**part, "weight": float(weight)} for part, weight in weights],
        }


def _cost(row: Row) -> int:
    """Rows of the model that a prepared input is."""
    return len(row.windows) if isinstance(row, Windowed) else 1


def _seed(one: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(one).encode()).digest()[:8], "big")

"""Whether two versions say the same: what an answer comes to, without figures that differ between any two models."""

import hashlib
import math
import operator
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from tunewright.serving.predictor import Predictor

_COSINE = 0.95
"""Vectors of two versions that stand for the same text have at least this."""
_SHARE = 0.05
"""Of the larger number: what two numbers may differ by where the version does not say how far off it is."""
_TEXTS = ("token_str", "answer", "generated_text", "translation_text", "summary_text")


def agree(one: object, other: object, predictor: Predictor) -> bool:
    """Whether the answers of two versions to one input come to the same. `predictor`: that of one of them."""
    mine, theirs = decided(one), decided(other)
    if predictor.model.problem == "regression":
        return abs(number(one) - number(other)) <= _tolerance(number(one), number(other), predictor)
    if _is_vector(mine) and _is_vector(theirs):
        return _cosine(mine, theirs) >= _COSINE
    return mine == theirs


def decided(answer: object) -> object:
    """What an answer comes to: the label, the labels that reach thresholds, the entities, the text, the vector."""
    if isinstance(answer, Mapping):
        return next((answer[key] for key in ("label", *_TEXTS) if key in answer), dict(answer))
    if not isinstance(answer, Sequence) or isinstance(answer, str) or not answer or _is_vector(answer):
        return answer
    first = answer[0]
    if not isinstance(first, Mapping):
        return [decided(one) for one in answer]
    if "predicted" in first:
        return sorted(one["label"] for one in answer if one["predicted"])
    if "start" in first and "answer" not in first:
        return [(one.get("entity_group", one.get("entity")), one["start"], one["end"]) for one in answer]
    return decided(first)


def kept(answer: object, predictor: Predictor, *, texts: bool) -> object:
    """What an answer comes to, as it may be kept: written texts as their digests, unless texts are wanted too."""
    if predictor.model.problem == "regression":
        return number(answer)
    come_to = decided(answer)
    if _is_vector(come_to):
        return f"{len(come_to)} numbers"
    if isinstance(come_to, str) and come_to not in predictor.model.labels and not texts:
        return digest(come_to.encode())
    return come_to


def digest(data: bytes) -> str:
    """What tells one text from another without holding it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()[:16]


def number(answer: object) -> float:
    """That of a regression: `[{"label", "score"}]`."""
    assert isinstance(answer, Sequence)
    return float(answer[0]["score"])


def _tolerance(one: float, other: float, predictor: Predictor) -> float:
    """As far as the version was off in its own measurement: two that are as good may differ by that."""
    measured = predictor.model.variants[predictor.variant].metrics.get("rmse")
    return measured if measured else _SHARE * max(abs(one), abs(other))


def _is_vector(come_to: object) -> TypeGuard[Sequence[float]]:
    return isinstance(come_to, Sequence) and bool(come_to) and isinstance(come_to[0], float)


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    if len(one) != len(other):
        return -1.0
    lengths = math.hypot(*one) * math.hypot(*other)
    return sum(map(operator.mul, one, other)) / lengths if lengths else 1.0

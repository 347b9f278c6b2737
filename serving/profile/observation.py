"""One answered row, as numbers that drift can be seen in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import from_json

from tunewright.serving.text.windows import Windowed

NO_LABEL = "(none)"
"""Counted where a text holds no entity, or an input reaches no label's threshold."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What is kept of one row: no text, and nothing a text could be made from."""

    tokens: int | None = None
    """Tokens of the row; None for files."""
    unknown: float | None = None
    """Share of them that the vocabulary does not have; None where the tokenizer has no such token."""
    confidence: float | None = None
    """Score of the first answer, of entities the mean; None where there is none between 0 and 1."""
    labels: tuple[str, ...] = ()
    """The labels that were answered."""
    number: float | None = None
    """What a regression answered."""


def observe(row: object, answer: object, *, unknown_id: int | None, regression: bool) -> Observation:
    """What is kept of a prepared row and its answer, in the form that the engine of a task gives both."""
    ids = _ids(row)
    unknown = ids.count(unknown_id) / len(ids) if ids and unknown_id is not None else None
    tokens = len(ids) if ids is not None else None
    answers = [one for one in (answer if isinstance(answer, list) else [answer]) if isinstance(one, Mapping)]
    if regression:
        return Observation(tokens, unknown, number=_number(answers[0].get("score")) if answers else None)
    kinds = [_label(one) for one in answers]
    if answer == [] or any("start" in one and _label(one) is not None for one in answers):
        scores = [score for one in answers if (score := _number(one.get("score"))) is not None]
        confidence = sum(scores) / len(scores) if scores else None
        return Observation(tokens, unknown, _share(confidence), tuple(filter(None, kinds)) or (NO_LABEL,))
    if any("predicted" in one for one in answers):
        reached = tuple(str(one["label"]) for one in answers if one.get("predicted"))
        return Observation(tokens, unknown, _share(_first_score(answers)), reached or (NO_LABEL,))
    return Observation(tokens, unknown, _share(_first_score(answers)), tuple(filter(None, kinds[:1])))


def read_unknown_id(folder: Path) -> int | None:
    """The id that the tokenizer of a bundle gives to what its vocabulary does not have; None where it has none."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    # A vocabulary of a million words is read in a seventh of the time that Python's own reader takes.
    content = from_json(path.read_bytes(), cache_strings="none")
    model = content.get("model", {})
    if model.get("type") == "Unigram":
        number = model.get("unk_id")
        return number if isinstance(number, int) else None
    token, vocabulary = model.get("unk_token"), model.get("vocab")
    number = vocabulary.get(token) if isinstance(vocabulary, Mapping) else None
    return number if isinstance(number, int) else None


def _ids(row: object) -> list[int] | None:
    if isinstance(row, Windowed):
        return [one for window in row.windows for one in window.row.ids]
    ids = getattr(row, "ids", None)
    return ids if isinstance(ids, list) else None


def _label(one: Mapping[str, object]) -> str | None:
    found = one.get("label") or one.get("entity_group") or one.get("entity")
    return found if isinstance(found, str) else None


def _first_score(answers: Iterable[Mapping[str, object]]) -> float | None:
    return next((_number(one.get("score")) for one in answers), None)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _share(value: float | None) -> float | None:
    """A caller may have asked for scores that are none."""
    return value if value is not None and 0 <= value <= 1 else None

"""What is counted of the tags and the answers in a file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """What is counted of tags and answers."""

    scheme: str = "plain"
    """How tags are spelt, as options.scheme calls it."""
    tags: int = 0
    """How many different ones there are."""
    wrong: int = 0
    """Answers that do not stand where they say."""
    empty: int = 0
    """Rows without a question or a context."""


def scheme_of(tags: Iterable[object]) -> str:
    """How tags are spelt, as options.scheme calls it."""
    prefixes = {str(tag)[:2] for tag in set(tags) if str(tag) != "O"}
    if prefixes and prefixes <= {"B-", "I-"}:
        return "BIO"
    return "BIOES" if prefixes and prefixes <= {"B-", "I-", "E-", "S-"} else "plain"


def wrong_answers(rows: Iterable[Mapping[str, object]]) -> int:
    """Rows whose answer does not stand where it says."""
    return sum(not stands(row) for row in rows)


def is_whole(row: Mapping[str, object]) -> bool:
    """Whether a row has a question and a context."""
    return all(str(row.get(name) or "").strip() for name in ("question", "context"))


def stands(row: Mapping[str, object]) -> bool:
    """Whether the answers of a row stand in its context where they say."""
    answers, context = row.get("answers"), row.get("context")
    if not isinstance(answers, dict) or not isinstance(context, str):
        return False
    texts, starts = answers.get("text"), answers.get("answer_start")
    if not isinstance(texts, list) or not isinstance(starts, list):
        return False
    pairs = zip(texts, starts, strict=False)
    return all(isinstance(at, int) and context[at : at + len(str(text))] == text for text, at in pairs)

"""Which task a data set is for, guessed from what its columns hold.

What is not clear is asked, in one sentence that names the choices.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from tunewright.job.commands.guess.columns import FILL
from tunewright.job.commands.guess.filling import ROLES, Asked, Filling, Guess, Unclear
from tunewright.job.commands.guess.names import (
    LABELS,
    LANGUAGES,
    LONG,
    PROMPTS,
    RESPONSES,
    SCORES,
    SHORT,
    by_names,
    named,
)
from tunewright.job.commands.guess.sample import Sample, word_columns
from tunewright.job.data.faults import listed
from tunewright.job.errors import SettingsError

_TASK_OF = {
    "label": "text-classification",
    "labels": "text-classification",
    "score": "text-regression",
    "tokens": "token-classification",
    "tags": "token-classification",
    "question": "question-answering",
    "context": "question-answering",
    "answers": "question-answering",
    "prompt": "text-generation",
    "response": "text-generation",
    "messages": "text-generation",
}


def guess(seen: Sample, asked: Asked) -> Guess:
    """The task and the columns. Unclear where there is more than one answer, or none."""
    for role, name in asked.columns.items():
        if role not in ROLES:
            near = get_close_matches(role, ROLES, 1)
            raise SettingsError(f"--columns.{role} names no part of a task; {_hint(near, ROLES)}")
        if seen.columns and seen.column(name) is None:
            have = listed((column.name for column in seen.columns), 20)
            raise Unclear(f"--columns.{role} names {name!r}, which is no column; the columns are {have}")
    task = asked.task or _task_of_files(seen, asked) or _task_of_roles(asked.columns) or _task(seen)
    if task not in FILL:
        near = get_close_matches(task, FILL, 1)
        raise SettingsError(f"--task is {task!r}; {_hint(near, FILL)}")
    return FILL[task](Filling(seen, asked, task))


def _hint(near: Sequence[str], names: Iterable[str]) -> str:
    return f"did you mean {near[0]}?" if near else f"expected {', '.join(names)}"


def _task_of_files(seen: Sample, asked: Asked) -> str:
    """The task where a column names images or recordings; empty where none does."""
    files = [
        column for column in seen.columns if column.name in (asked.columns.get("image"), asked.columns.get("audio"))
    ]
    files = files or seen.of_kind("file")
    if not files:
        return ""
    labels = {"label", "labels"} & set(asked.columns) or seen.of_kind("label", "labels")
    is_number = "score" in asked.columns or (seen.of_kind("number") and not labels)
    kind = "regression" if is_number else "classification"
    return f"{'audio' if 'audio' in asked.columns or files[0].is_sound else 'image'}-{kind}"


def _task_of_roles(roles: Iterable[str]) -> str:
    found = {_TASK_OF[role] for role in roles if role in _TASK_OF}
    return found.pop() if len(found) == 1 else ""


def _task(seen: Sample) -> str:
    """The task that the columns are made for."""
    if found := _OF_FORMAT.get(seen.format) or _task_of_shape(seen):
        return found
    labels, numbers = seen.of_kind("label", "labels"), seen.of_kind("number")
    if not (named(labels, LABELS) or named(numbers, SCORES)):
        if by_names(seen, PROMPTS, RESPONSES):
            return "text-generation"
        if by_names(seen, LONG, SHORT):
            return "summarization"
    # Words that come over and over are labels; numbers beside them may be anything.
    if labels:
        return "text-classification"
    return "text-regression" if numbers else _task_of_texts(seen)


def _task_of_shape(seen: Sample) -> str:
    """The task of values that are no plain texts, labels or numbers; empty where there are none."""
    if {"question", "context", "answers"} <= {column.name.lower() for column in seen.columns}:
        return "question-answering"
    if word_columns(seen.columns):
        return "token-classification"
    if seen.of_kind("messages"):
        return "text-generation"
    if len(seen.columns) == 1 and seen.columns[0].kind != "object":
        raise Unclear(
            f"there is one column, {seen.columns[0].name}, and nothing to learn beside it: add a column of labels or "
            "scores, or say --task text-generation or --task masked-language-modelling to learn from texts alone"
        )
    return ""


_OF_FORMAT = {
    "squad": "question-answering",
    "conll": "token-classification",
    "conllu": "token-classification",
    "text": "text-generation",
}


def _task_of_texts(seen: Sample) -> str:
    """The task of texts with nothing beside them but texts."""
    texts = seen.of_kind("text")
    if len(texts) == 2:
        one, other = texts
        if {one.name.lower(), other.name.lower()} <= LANGUAGES:
            return "translation"
        if max(one.length, other.length) >= 3 * min(one.length, other.length):
            return "summarization"
        raise Unclear(
            f"columns {one.name} and {other.name} hold texts, and nothing is beside them: say --task translation, "
            "--task summarization, --task text-generation (a prompt and its response) or --task text-classification "
            "with --columns.label"
        )
    have = "; ".join(f"{column.called} holds {column.holds}" for column in seen.columns[:8]) or "there are none"
    raise Unclear(
        f"no column looks like what is to be learned ({have}): name it, --columns.label NAME for a class, "
        "--columns.labels NAME for several, --columns.score NAME for a number, or --columns.target NAME with --task "
        "translation or summarization for a text"
    )

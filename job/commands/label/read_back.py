"""What came back from Label Studio (JSON, JSON-MIN) and Argilla (JSON), as rows that `data.train` reads.

Of a row that several people labelled, what most of them say holds; one on which as many say something else is left out.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tunewright.job.commands.label.item import places, tags
from tunewright.job.errors import DataError
from tunewright.serving.tasks.token_classification import Scheme

Record = dict[str, object]
Answer = tuple[str, ...] | tuple[tuple[int, int, str], ...]
"""Labels, or what is marked from one character to another."""
ROLES = ("label", "labels", "tags")


class Read(NamedTuple):
    """The rows of an export, and how many have none."""

    rows: list[Record]
    unlabelled: int
    disputed: int
    """As many people say one thing as another."""


def read_export(path: Path, scheme: Scheme) -> Read:
    """The labelled rows of an export. `scheme`: how tags shall be spelt. DataError for a file of another form."""
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({type(error).__name__}); {_EXPECTED}") from error
    if not isinstance(records, list) or not records or not all(isinstance(one, dict) for one in records):
        raise DataError(f"{path}: holds no list of records; {_EXPECTED}")
    read = Read([], 0, 0)
    for number, record in enumerate(records):
        try:
            texts, role, answers = _parts(record)
            row, is_disputed = _row(texts, role, list(answers), scheme)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{path}, record {number + 1}: has an unknown form ({error}); {_EXPECTED}") from error
        if row:
            read.rows.append(row)
        read = read._replace(
            unlabelled=read.unlabelled + (row is None and not is_disputed), disputed=read.disputed + is_disputed
        )
    return read


_EXPECTED = (
    "expected an export of Label Studio (JSON or JSON-MIN) or of Argilla (records.to_json) whose question is called "
    "label, labels or tags, as `tunewright label --to` names it"
)


def _parts(record: Record) -> tuple[Record, str, Iterator[Answer]]:
    """The texts of a record, the question, and what each person answered."""
    if "fields" in record:
        responses = _dict(record.get("responses") or {})
        named = {**_dict(record.get("suggestions") or {}), **responses}
        if not named:
            return {}, ROLES[0], iter(())
        role = _role(named)
        given = (_dict(one) for one in _list(responses.get(role, [])))
        kept = (one["value"] for one in given if one.get("status", "submitted") == "submitted")
        return _dict(record["fields"]), role, (_argilla(value, role) for value in kept)
    if "annotations" in record:
        made = [_dict(one) for one in _list(record["annotations"])]
        results = [_list(one["result"]) for one in made if not one.get("was_cancelled")]
        marks = [_dict(part) for result in results for part in result]
        role = _role({str(part["from_name"]): None for part in marks}) if marks else ROLES[0]
        return _dict(record["data"]), role, (_studio(result, role) for result in results)
    if "annotation_id" in record and not set(ROLES) & set(record):
        # JSON-MIN of a row to which nothing was said.
        return record, ROLES[0], iter(())
    role = _role({name: None for name, value in record.items() if value is not None})
    return record, role, iter([_plain(record[role], role)])


def _role(named: Record) -> str:
    found = [role for role in ROLES if role in named]
    if len(found) != 1:
        raise ValueError(f"its questions are {', '.join(named) or 'none'}")
    return found[0]


def _argilla(value: object, role: str) -> Answer:
    if role != "tags":
        return (str(value),) if role == "label" else tuple(sorted(map(str, _list(value))))
    return tuple(_mark(_dict(one), "label") for one in _list(value))


def _studio(result: Sequence[object], role: str) -> Answer:
    values = [_dict(_dict(part)["value"]) for part in result]
    if role != "tags":
        return tuple(sorted({str(one) for value in values for one in _list(value["choices"])}))
    return tuple(sorted(_mark(value, "labels") for value in values))


def _plain(value: object, role: str) -> Answer:
    """As JSON-MIN writes it."""
    if role == "tags":
        return tuple(sorted(_mark(_dict(one), "labels") for one in _list(value)))
    if isinstance(value, dict):
        value = value["choices"]
    return tuple(sorted(map(str, value))) if isinstance(value, list) else (str(value),)


def _mark(value: Record, name: str) -> tuple[int, int, str]:
    labels = value[name]
    start, end = value["start"], value["end"]
    if not isinstance(start, int) or not isinstance(end, int):
        raise TypeError("start and end are no numbers of characters")
    return start, end, str(labels[0] if isinstance(labels, list) else labels)


def _row(texts: Record, role: str, answers: list[Answer], scheme: Scheme) -> tuple[Record | None, bool]:
    """The row with what most people say; None where nobody has said anything, or as many say something else."""
    if not answers:
        return None, False
    (answer, count), *others = Counter(answers).most_common(2)
    if others and others[0][1] == count:
        return None, True
    if role == "tags":
        words = texts.get("tokens") or str(texts["text"]).split(" ")
        tokens = [str(word) for word in _list(words)]
        marked = [one for one in answer if isinstance(one, tuple)]
        return {"tokens": tokens, "tags": tags(places(tokens), marked, scheme)}, False
    if role == "label" and len(answer) != 1:
        return None, bool(answer)
    inputs: Record = {name: texts[name] for name in ("text", "text_pair") if name in texts}
    return {**inputs, role: answer[0] if role == "label" else list(answer)}, False


def _dict(value: object) -> Record:
    if not isinstance(value, dict):
        raise TypeError(f"{type(value).__name__} where an object belongs")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"{type(value).__name__} where a list belongs")
    return value

"""Rows for people: as tables, and as imports of Label Studio and Argilla with what a version predicts."""

import csv
import io
import json
from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

from tunewright.job.commands.label.item import Entity, Item, Question, entities, places

Json = dict[str, object]


def as_csv(items: Sequence[Item], asked: Question) -> str:
    """A table with an empty column to fill in."""
    file = io.StringIO()
    writer = csv.DictWriter(file, [*asked.columns, asked.role, "predicted", "score", "doubt"], lineterminator="\n")
    writer.writeheader()
    for item in items:
        row = _row(item, asked)
        writer.writerow({**row, asked.role: "", "predicted": ",".join(item.predicted)})
    return file.getvalue()


def as_jsonl(items: Sequence[Item], asked: Question) -> str:
    """The same, a line each."""
    return "".join(json.dumps(_row(item, asked), ensure_ascii=False) + "\n" for item in items)


def as_label_studio(items: Sequence[Item], asked: Question) -> str:
    """Tasks with predictions, as its import reads them."""
    return _written([_task(item, asked) for item in items])


def as_argilla(items: Sequence[Item], asked: Question) -> str:
    """Records with suggestions, as `dataset.records.from_json` reads them."""
    return _written([_record(number, item, asked) for number, item in enumerate(items)])


WRITERS = {"csv": as_csv, "jsonl": as_jsonl, "label-studio": as_label_studio, "argilla": as_argilla}


def label_studio_config(asked: Question) -> str:
    """The labelling interface that the tasks fit."""
    shown = [
        f'  <Text name="{name}" value="${name}"/>' for name in (asked.columns if asked.role != "tags" else ["text"])
    ]
    if asked.role == "tags":
        head, tag, tail = '  <Labels name="tags" toName="text">', "Label", "  </Labels>"
    else:
        choice = "single" if asked.role == "label" else "multiple"
        head = f'  <Choices name="{asked.role}" toName="text" choice="{choice}">'
        tag, tail = "Choice", "  </Choices>"
    values = [f"    <{tag} value={quoteattr(label)}/>" for label in asked.labels]
    return "\n".join(["<View>", *shown, head, *values, tail, "</View>"]) + "\n"


def _row(item: Item, asked: Question) -> Json:
    texts = {"tokens": list(item.texts)} if asked.role == "tags" else dict(zip(asked.columns, item.texts, strict=True))
    predicted: object = item.predicted[0] if asked.role == "label" else list(item.predicted)
    score = round(min(item.scores, default=0.0), 6)
    return {**texts, asked.role: None, "predicted": predicted, "score": score, "doubt": round(item.doubt, 6)}


def _task(item: Item, asked: Question) -> Json:
    if asked.role == "tags":
        text, words = " ".join(item.texts), places(item.texts)
        data: Json = {"text": text, "tokens": list(item.texts)}
        result = [_mark(one, text, words) for one in entities(item.predicted, asked.scheme)]
    else:
        data = dict(zip(asked.columns, item.texts, strict=True))
        result = [_choice(item, asked)] if item.predicted else []
    score = round(min(item.scores, default=0.0), 6)
    return {"data": data, "predictions": [{"model_version": asked.version, "score": score, "result": result}]}


def _choice(item: Item, asked: Question) -> Json:
    value = {"choices": list(item.predicted)}
    return {"id": "0", "from_name": asked.role, "to_name": "text", "type": "choices", "value": value}


def _mark(one: Entity, text: str, words: Sequence[tuple[int, int]]) -> Json:
    start, end = words[one.first][0], words[one.end - 1][1]
    value = {"start": start, "end": end, "text": text[start:end], "labels": [one.kind]}
    return {"id": str(one.first), "from_name": "tags", "to_name": "text", "type": "labels", "value": value}


def _record(number: int, item: Item, asked: Question) -> Json:
    suggestion: Json = {"agent": asked.version, "score": None}
    if asked.role == "tags":
        words = places(item.texts)
        fields = {"text": " ".join(item.texts)}
        suggestion["value"] = [
            {"start": words[one.first][0], "end": words[one.end - 1][1], "label": one.kind}
            for one in entities(item.predicted, asked.scheme)
        ]
    else:
        fields = dict(zip(asked.columns, item.texts, strict=True))
        several = asked.role == "labels"
        suggestion["value"] = list(item.predicted) if several else item.predicted[0]
        suggestion["score"] = list(item.scores) if several else item.scores[0]
    suggestions = {asked.role: suggestion} if suggestion["value"] else {}
    return {
        "id": str(number),
        "fields": fields,
        "metadata": {},
        "suggestions": suggestions,
        "responses": {},
        "vectors": {},
    }


def _written(records: Sequence[Json]) -> str:
    return json.dumps(records, indent=1, ensure_ascii=False) + "\n"

"""Every setting of `data` changes which rows a task learns from, or is refused with its reason, for every task."""

import csv
import gzip
import hashlib
import io
import json

import pytest

from tunewright.job.data.readers.formats import READERS
from tunewright.job.errors import JobError
from tunewright.job.settings.data import DataSettings
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.contradictions import used
from tunewright.job.steps.prepare import prepare
from tunewright.job.tasks import TASKS
from tunewright.serving.text.cleaning import Cleaning

OF_FORMATS = {name for reader in READERS.built_in.values() for name in reader.settings}
TABLES = [name for name in TASKS.built_in if name not in ("token-classification", "question-answering")]
"""Tasks whose rows have a plain value in each cell."""
FORMATS = {
    **dict.fromkeys(TABLES, ("jsonl", "csv")),
    "question-answering": ("jsonl",),
    "token-classification": ("jsonl", "conll"),
    "masked-language-modelling": ("jsonl", "csv", "text"),
}
CHANGES = {
    "train": "OTHER",
    "validation": "OTHER",
    "test": "OTHER",
    "columns": "COLUMNS",
    "header": False,
    "format": "json",
    "comment": "# ",
    "sample_by": "document",
    "delimiter": ";",
    "quoting": False,
    "quote": "'",
    "encoding": "utf-16-le",
    "label_separator": ";",
    "label_names": {"a": "c", "with": "c", "B-T": "B-C"},
    "skip_labels": ["a", "with", "B-T"],
    "unknown_labels": "wrong",
    "drop_empty": True,
    "validation_fraction": 0.3,
    "test_fraction": 0.3,
    "limit": 20,
    "max_expansion": 1e4,
    "cleaning.html": True,
    "cleaning.nfc": False,
    "cleaning.control": False,
    "cleaning.whitespace": False,
}
"""A value of each setting. What is in capitals depends on the task."""
MENDING = ("unknown_labels", "drop_empty", "max_expansion", "comment")
"""Settings that let data be used which is refused without."""
ODD = "cafe\u0301 &amp;  tea\u0007."
"""A text that every kind of cleaning changes."""


def inputs_of(task):
    return [role for form in TASKS[task].forms for role in (*form.inputs, *form.optional)]


def as_file(rows, kind, name):
    """Rows as the bytes of a file, with what the setting is for."""
    if kind == "csv":
        content = io.StringIO()
        writer = csv.DictWriter(content, rows[0], quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
        return content.getvalue().encode()
    if kind == "text":
        return "".join(row["text"] + "\n" for row in rows).encode()
    if kind == "conll":
        lines = [[f"{word}\t{tag}" for word, tag in zip(row["tokens"], row["tags"], strict=True)] for row in rows]
        return "".join("# id 7\n" * (name == "comment") + "\n".join(some) + "\n\n" for some in lines).encode()
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if name == "max_expansion":
        return gzip.compress((text + json.dumps(rows[0] | {"unused": "x" * 3_000_000}) + "\n").encode())
    return text.encode()


def changed_rows(rows, task, name):
    """The rows with something that the setting is for."""
    text = next((role for role in inputs_of(task) if isinstance(rows[0].get(role), str | list)), None)
    if name == "drop_empty" and text:
        return [*rows, rows[0] | {text: [] if task == "token-classification" else ""}]
    if name.startswith("cleaning.") and "data.cleaning" in used(TASKS[task]):
        role = "text" if task == "image-text-classification" else text
        odd = [ODD, *rows[0]["tokens"][1:]] if task == "token-classification" else ODD
        return [rows[0] | {role: odd}, *rows[1:]]
    if name == "label_separator" and "label" in rows[0]:
        made = [{key: value for key, value in row.items() if key != "label"} for row in rows]
        return [row | {"labels": ["a,b", "b"][number % 2]} for number, row in enumerate(made)]
    return rows


@pytest.fixture(scope="module")
def settings_of(rows_of):
    """settings_of(task, name, kind): those of a job without and with the setting, over files of that kind."""

    def make(task, name, kind):
        rows, folder = rows_of(task)
        rows = changed_rows(rows, task, name)
        end = {"jsonl": "jsonl", "csv": "csv", "text": "txt", "conll": "conll"}[kind]
        path = folder / f"{task}-{name}.{end}{'.gz' * (name == 'max_expansion')}"
        path.write_bytes(as_file(rows, kind, name))
        other = folder / f"{task}-{name}-other.{end}"
        unknown = [unlike(row) for row in rows[:9]] if name == "unknown_labels" else rows[:9]
        other.write_bytes(as_file(unknown, kind, name))
        columns = {role: role for role in rows[0] if role != "spare"} if kind in ("jsonl", "csv") else {}
        data = {"train": str(path), "columns": columns}
        data |= {"test": str(other)} if name == "unknown_labels" else {}
        first = inputs_of(task)[0] if task != "text-generation" else "prompt"
        value = CHANGES[name]
        # What is written keeps its white space unless that is asked for.
        value = not value if (task, name) == ("text-generation", "cleaning.whitespace") else value
        value = str(other) if value == "OTHER" else columns | {first: "spare"} if value == "COLUMNS" else value
        outer, _, inner = name.partition(".")
        return [
            JobSettings(task=task, model_name="x", data=one)
            for one in (data, data | {outer: {inner: value} if inner else value})
        ]

    return make


def unlike(row):
    """A row with a label that no other row has."""
    return row | ({"tags": ["B-N" for _ in row["tags"]]} if "tags" in row else {"label": "new"})


def outcome(settings, folder):
    """What is learned from, as a digest, or the sentence of its refusal."""
    try:
        prepared = prepare(settings, folder / "cache", folder / "work")
    except JobError as error:
        return f"{type(error).__name__}: {error}"
    found = [prepared.labels]
    for part in (prepared.train, prepared.validation, prepared.test):
        found += [part.data.inputs(), list(part.data.targets()), part.targets[:].tolist()]
    return hashlib.sha256(repr(found).encode()).hexdigest()


def is_digest(said):
    return len(said) == 64


def kind_for(task, name):
    """The first kind of file that has the setting; else the first."""
    kinds = FORMATS[task]
    fitting = [kind for kind in kinds if name not in OF_FORMATS or name in READERS[kind].settings]
    return fitting[0] if fitting else kinds[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "name"),
    # Answers are places in a text as it stands, which is cleaned when it is encoded: `test_effects.py`.
    [
        (task, name)
        for task in TASKS.built_in
        for name in CHANGES
        if not (task == "question-answering" and name.startswith("cleaning."))
    ],
)
def test_a_setting_changes_what_is_learned_from_or_is_refused(settings_of, tmp_path, task, name):
    kind, setting = kind_for(task, name), name.partition(".")[0]
    plain, changed = (outcome(one, tmp_path) for one in settings_of(task, name, kind))
    if f"data.{setting}" not in used(TASKS[task]):
        assert changed.startswith(f"SettingsError: data.{setting} would have no effect: {task} does not use it")
    elif name in OF_FORMATS - READERS[kind].settings:
        assert changed.startswith(
            (f"SettingsError: data.{name} has no meaning for {kind} ", "SettingsError: data.header")
        )
    else:
        assert changed != plain
        assert is_digest(changed if name in MENDING else plain), (plain, changed)


def test_every_setting_is_tried():
    # Rows without labels: tests/job/steps/teachers. Bounds: tests/job/steps/test_diagnose.py.
    elsewhere = ("cleaning", "unlabelled", "out_of_scope", "gate")
    there = {name for name in DataSettings.model_fields if name not in elsewhere}
    assert there | {f"cleaning.{name}" for name in Cleaning.model_fields} == set(CHANGES)
    assert set(FORMATS) == set(TASKS.built_in)

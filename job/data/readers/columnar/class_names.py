"""Names of classes that a file of columns tells for its whole numbers, as the library `datasets` writes them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from tunewright.job.data.faults import listed, shown
from tunewright.job.data.readers.columnar.messages import open_arrow
from tunewright.job.data.readers.content import ARROW_FILE, ARROW_STREAM, PARQUET_FILE
from tunewright.job.data.readers.reader import Layout, Row

_KEY = b"huggingface"
"""The entry of the file's metadata: {"info": {"features": {column: {"_type": "ClassLabel", "names": [...]}}}}."""
_MOST = 50
"""Names that a sentence gives so that they can be copied."""


def told_names(path: Path, layout: Layout) -> dict[str, tuple[str, ...]]:
    """Column to the names of its classes, as a file tells them; nothing where they are not used, or none is told."""
    with path.open("rb") as file:
        start = file.read(len(ARROW_FILE))
    if not layout.use_names or not start.startswith((PARQUET_FILE, ARROW_FILE, ARROW_STREAM)):
        return {}
    try:
        if start.startswith(PARQUET_FILE):
            return class_names(pq.read_schema(path).metadata)
        with open_arrow(path) as source:
            return class_names(pa.ipc.read_schema(source).metadata)
    except (pa.ArrowException, OSError, ValueError):
        return {}


def is_class(label: str, names: Sequence[str]) -> bool:
    """Whether a label is the number of one of these names."""
    return label.isdecimal() and len(label) <= len(str(len(names))) and int(label) < len(names)


def advised_names(names: Sequence[str]) -> str:
    """The line of the settings that says the same of numbers as the file with these names."""
    told = {str(number): name for number, name in enumerate(names)}
    if len(names) > _MOST:
        return f"set data.label_names: {listed(f'{number} is {name}' for number, name in told.items())}"
    return f"add `label_names: {json.dumps(told, ensure_ascii=False)}` under data:"


def class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, tuple[str, ...]]:
    """Column to the names of its classes, in the order of their numbers; of a column of lists those of its elements."""
    try:
        features = json.loads((metadata or {})[_KEY])["info"]["features"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}
    if not isinstance(features, dict):
        return {}
    found = {str(column): _names(feature) for column, feature in features.items()}
    return {column: names for column, names in found.items() if names}


def _names(feature: object) -> tuple[str, ...]:
    # Older files: [feature] for a list; newer ones {"_type": "Sequence" or "List", "feature": feature}.
    if isinstance(feature, list) and len(feature) == 1:
        return _names(feature[0])
    if not isinstance(feature, dict):
        return ()
    names = feature.get("names")
    if feature.get("_type") == "ClassLabel" and isinstance(names, list) and all(isinstance(n, str) for n in names):
        return tuple(names)
    return _names(feature["feature"]) if "feature" in feature else ()


def named_row(row: Row, names: Mapping[str, Sequence[str]]) -> Row:
    """The row with names for numbers; a fault for a number that stands for none. -1 is how `datasets` says "none"."""
    values = dict(row.values)
    for column, classes in names.items():
        value = values.get(column)
        numbers: list[object] = value if isinstance(value, list) else [value]
        for number in numbers:
            if _is_number(number) and not -1 <= number < len(classes):
                fault = f"column {column!r} holds a number that none of the {len(classes)} names in the file belongs to"
                return replace(row, values={}, fault=fault, found=shown(number))
        named = [_named(number, classes) for number in numbers]
        if column in values:
            values[column] = named if isinstance(value, list) else named[0]
    return replace(row, values=values)


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _named(value: object, classes: Sequence[str]) -> object:
    if not _is_number(value):
        return value
    return None if value == -1 else classes[value]

"""The rows that a run has learned from, as the library `datasets` keeps them: typed, and opened by its load_from_disk.

The library holds rows here and nothing else: it reads no data (`job.data.readers` do), and asks nothing of the network.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.ipc

from tunewright.job.data.columns import Roles
from tunewright.job.data.dataset import ROWS_FILE, Dataset, Values, write_state
from tunewright.registry.transfer.download import sha256_of

_MEDIA = {"image": "Image", "audio": "Audio"}
"""Roles of files, and the features that stand for them."""
_NO_CLASS = -1
"""How `datasets` writes a label that is none of the names."""

Column = Callable[[Values, Values], Values]
"""The values of one column, from the inputs and targets of some rows."""


@dataclass(frozen=True)
class Kind:
    """What the rows of a job are: which column plays which part, the types of both, and the names of the classes."""

    roles: Roles
    types: tuple[pa.DataType, pa.DataType]
    """Of an input and of a target, as `job.data.dataset` keeps them."""
    labels: Sequence[str]


def save_taught(folder: Path, sides: Mapping[str, Dataset], rows: Kind) -> None:
    """Write the rows of every side to a folder that `datasets.load_from_disk` opens; their columns are the roles."""
    # Imported here: it takes a second of processor time and 80 MB.
    library = _library()
    made = _input_columns(rows, library) | _target_column(rows, library)
    columns = {name: column for name, (_, column) in made.items()}
    features = library.Features({name: feature for name, (feature, _) in made.items()})
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    for side, data in sides.items():
        (new / side).mkdir(parents=True)
        # Not by save_to_disk, which asks every address in a column of images or recordings for its size.
        _write(new / side / ROWS_FILE, data, columns, features.arrow_schema)
        library.DatasetInfo(features=features).write_to_directory(str(new / side))
        write_state(new / side, side, sha256_of(new / side / ROWS_FILE))
    (new / "dataset_dict.json").write_text(json.dumps({"splits": list(sides)}))
    shutil.rmtree(folder, ignore_errors=True)
    new.replace(folder)


def _library() -> ModuleType:
    # Read when it is imported: the library may look for files and counts only where it is allowed to.
    os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
    import datasets

    library: ModuleType = datasets
    return library


def _input_columns(rows: Kind, library: ModuleType) -> dict[str, tuple[object, Column]]:
    """A feature for each input, and how its values are taken from inputs: one value, a tuple, or an object."""
    names, kind = list(rows.roles.inputs), rows.types[0]
    if len(names) == 1:
        return {names[0]: _of_value(names[0], kind, lambda inputs, _: inputs, library)}
    if pa.types.is_struct(kind):
        parts = [kind.field(number) for number in range(kind.num_fields)]
        return {part.name: _of_value(part.name, part.type, _member(part.name), library) for part in parts}
    return {name: _of_value(name, kind.value_type, _member(place), library) for place, name in enumerate(names)}


def _member(key: str | int) -> Column:
    return lambda inputs, _: [value[key] for value in inputs]


def _of_value(name: str, kind: pa.DataType, column: Column, library: ModuleType) -> tuple[object, Column]:
    if name in _MEDIA and pa.types.is_struct(kind):
        feature = getattr(library, _MEDIA[name])()
        return feature, lambda inputs, targets: [
            {"bytes": file["bytes"], "path": file["path"]} for file in column(inputs, targets)
        ]
    return library.features.features.generate_from_arrow_type(kind), column


def _target_column(rows: Kind, library: ModuleType) -> dict[str, tuple[object, Column]]:
    """The feature of the target, of labels their classes by name; none where nothing is to be learned beside inputs."""
    role, kind, labels = rows.roles.target_role, rows.types[1], rows.labels
    if not role or pa.types.is_null(kind):
        return {}
    if role not in ("label", "labels", "tags") or not labels:
        return {role: (library.features.features.generate_from_arrow_type(kind), lambda _, targets: targets)}
    numbers = {label: number for number, label in enumerate(labels)}
    one = library.ClassLabel(names=list(labels))
    if role == "label":
        return {role: (one, lambda _, targets: [numbers.get(names[0], _NO_CLASS) for names in targets])}
    many = library.Sequence(one)
    return {role: (many, lambda _, targets: [[numbers.get(name, _NO_CLASS) for name in names] for names in targets])}


def _write(path: Path, data: Dataset, columns: Mapping[str, Column], schema: pa.Schema) -> None:
    with pa.ipc.new_stream(str(path), schema) as writer:
        for inputs, targets in data.batches():
            values = {name: column(inputs, targets) for name, column in columns.items()}
            writer.write_batch(pa.RecordBatch.from_pydict(values, schema=schema))

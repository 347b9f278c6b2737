"""Rows checked and cleaned into data sets on disk, before any weight is loaded.

Every row is read; what is wrong with single rows is counted by kind and told at once, with the place of the first.
"""

import hashlib
from array import array
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.dataset import Dataset, DatasetWriter, open_dataset
from job.errors import DataError, SettingsError
from job.faults import Faults, listed, shown
from job.formats import KNOWN_NAMES, Layout, Row, format_of, read_rows
from job.settings import DataSettings
from job.source import SourceFile
from job.tasks.task import Task
from serving.cleaning import clean
from serving.encoding import Text


@dataclass(frozen=True)
class Roles:
    """Which column plays which part."""

    texts: tuple[str, ...]
    """Names of the one or two text columns."""
    target: str
    """Name of the column to learn."""
    target_role: str
    """`label`, `labels` or `score`."""


@dataclass(frozen=True)
class Checked:
    """The rows of one setting (train, validation or test), checked."""

    data: Dataset
    keys: NDArray[np.uint64]
    """One number per row, equal for rows whose texts are equal but for case."""
    files: list[SourceFile]
    dropped: int
    """Rows without text that were left out on request."""


def read_roles(settings: DataSettings, task: Task) -> Roles:
    """The roles of the settings; SettingsError for one that the task does not have, or a setting without effect."""
    known = (*task.TEXTS, *task.TARGETS)
    unknown = [role for role in settings.columns if role not in known]
    if unknown:
        raise SettingsError(f"data.columns has a role {unknown[0]!r}; this task knows {', '.join(known)}")
    given = {role: str(column) for role, column in settings.columns.items()}
    targets = [role for role in task.TARGETS if role in given]
    if len(targets) > 1:
        raise SettingsError(f"data.columns sets {' and '.join(targets)}; choose one")
    target_role = targets[0] if targets else task.TARGETS[0]
    names = [given.get(role, role) for role in task.TEXTS if role in given or role == task.TEXTS[0]]
    target = given.get(target_role, target_role)
    _check_columns([*names, target], settings.header, f"{{{task.TEXTS[0]}: 0, {target_role}: 1}}")
    _refuse_useless(settings, target_role)
    return Roles(tuple(names), target, target_role)


def _check_columns(columns: list[str], header: bool, example: str) -> None:
    if not header and not all(column.isdecimal() for column in columns):
        raise SettingsError(
            f"data.header is false, so data.columns must give positions from 0, such as {example}; "
            f"the columns are {', '.join(columns)}"
        )
    twice = [column for column in columns if columns.count(column) > 1]
    if twice:
        raise SettingsError(f"data.columns gives two roles to the column {twice[0]!r}; each role needs its own")


def _refuse_useless(settings: DataSettings, target_role: str) -> None:
    """A setting that would be ignored is a mistake."""
    useless = {
        "label_separator": target_role != "labels" and "it divides the role labels, which data.columns does not have",
        "label_names": target_role == "score" and "scores have no names",
        "validation_fraction": settings.validation is not None and "data.validation is given",
        "test_fraction": settings.test is not None and "data.test is given",
    }
    for name, reason in useless.items():
        if reason and name in settings.model_fields_set:
            raise SettingsError(f"data.{name} would have no effect: {reason}; remove it")


def layout_of(name: str, settings: DataSettings) -> Layout:
    """How to read a file of this name; DataError when its format is unknown, SettingsError for a useless setting."""
    found = settings.format or format_of(name)
    if found is None:
        raise DataError(f"{name}: the format is not told by the name ({KNOWN_NAMES}); rename it or set data.format")
    if found not in ("csv", "tsv"):
        for setting in ("header", "delimiter", "quoting"):
            if setting in settings.model_fields_set:
                raise SettingsError(f"data.{setting} has no meaning for {found} ({name}); remove it")
    return Layout(
        format=found,
        header=settings.header,
        delimiter=settings.delimiter or ("\t" if found == "tsv" else ","),
        quoting=settings.quoting if settings.quoting is not None else found == "csv",
        max_expansion=settings.max_expansion,
    )


@dataclass
class _Reading:
    """One pass over the files of a setting."""

    task: Task
    roles: Roles
    settings: DataSettings
    labels: Collection[str] | None
    writer: DatasetWriter
    faults: Faults = field(default_factory=Faults)
    # Not a list, so that a row costs eight bytes (Python 3.11 cannot subscript `array` itself).
    keys: "array[int]" = field(default_factory=lambda: array("Q"))
    kinds: dict[str, str] = field(default_factory=dict)
    dropped: int = 0

    def take(self, row: Row, place: str) -> None:
        """Check one row and write it, or count what is wrong with it."""
        if row.fault:
            self.faults.add(row.fault, place)
            return
        text = self._text(row, place)
        target = self._target(row, place)
        if text is not None and target is not None:
            self.writer.add(text, target)
            self.keys.append(_key(text))

    def _has(self, row: Row, column: str, place: str) -> bool:
        if column in row.values:
            return True
        have = ", ".join(shown(name) for name in row.values) or "none"
        self.faults.add(f"has no column {column!r}", place, f"the columns are {have}; set data.columns")
        return False

    def _text(self, row: Row, place: str) -> Text | None:
        parts = [self._part(row, column, place) for column in self.roles.texts]
        if "" in parts and self.settings.drop_empty:
            self.dropped += 1
            return None
        if "" in parts:
            column = self.roles.texts[parts.index("")]
            self.faults.add(f"column {column!r} is empty", place, "fill it, remove the row or set data.drop_empty")
        texts = [part for part in parts if part]
        if len(texts) < len(parts):
            return None
        return texts[0] if len(texts) == 1 else (texts[0], texts[1])

    def _part(self, row: Row, column: str, place: str) -> str | None:
        """One text, cleaned; None where a fault was counted."""
        if not self._has(row, column, place):
            return None
        value = row.values[column]
        if isinstance(value, str):
            return clean(value, self.settings.cleaning)
        # Tables call an empty cell null.
        if value is None:
            return ""
        self.faults.add(f"column {column!r} is {type(value).__name__}, not text", f"{place} value {shown(value)}:")
        return None

    def _target(self, row: Row, place: str) -> Any:
        if not self._has(row, self.roles.target, place):
            return None
        value = row.values[self.roles.target]
        self._watch_kind(value, place)
        try:
            target = self.task.read_target(value, self.roles.target_role, self.settings)
            # JSON can write half of a character, which no file can hold.
            "".join(target if isinstance(target, list) else ()).encode()
        except UnicodeEncodeError:
            self.faults.add(f"column {self.roles.target!r} holds half a character", f"{place} value {shown(value)}:")
        except (ValueError, OverflowError) as error:
            self.faults.add(f"column {self.roles.target!r} {error}", f"{place} value {shown(value)}:")
        else:
            return target if self._is_known(target, place) else None
        return None

    def _is_known(self, target: Any, place: str) -> bool:
        """Whether the training rows have the labels too."""
        unseen = [label for label in target if label not in self.labels] if self.labels is not None else []
        for label in unseen:
            fault = f"column {self.roles.target!r} holds the label {shown(label)}, which no row of data.train has"
            self.faults.add(fault, place, f"the training labels are {listed(self.labels or [])}")
        return not unseen

    def _watch_kind(self, value: Any, place: str) -> None:
        """Labels 1 and "1" would silently become one label."""
        if self.roles.target_role != "label" or value is None:
            return
        kind = type(value).__name__
        self.kinds.setdefault(kind, place.removesuffix(":"))
        first = next(iter(self.kinds))
        if kind != first:
            fault = f"column {self.roles.target!r} is {kind} here but {first} in {self.kinds[first]}"
            self.faults.add(fault, place, "write all labels alike")


def check(
    files: list[SourceFile],
    task: Task,
    roles: Roles,
    settings: DataSettings,
    target: Path,
    *,
    labels: list[str] | None = None,
) -> Checked:
    """Read and check the files of one setting into an Arrow file; DataError tells all that is wrong.

    `labels` are those of the training rows where no others are allowed.
    """
    with closing(DatasetWriter(target, task.TARGET_TYPE)) as writer:
        reading = _Reading(task, roles, settings, dict.fromkeys(labels) if labels is not None else None, writer)
        for row, place in _rows(files, settings):
            reading.take(row, place)
        reading.faults.raise_any()
    data = open_dataset(target, pair=len(roles.texts) == 2)
    if not len(data):
        dropped = f" besides {reading.dropped:,} without text" if reading.dropped else ""
        raise DataError(f"{', '.join(file.address for file in files)}: no rows{dropped}")
    return Checked(data, np.frombuffer(reading.keys, dtype=np.uint64), files, reading.dropped)


def _rows(files: list[SourceFile], settings: DataSettings) -> Iterator[tuple[Row, str]]:
    """Every row with its place."""
    for file in files:
        layout = layout_of(file.address, settings)
        unit = "row" if layout.format in ("json", "parquet") else "line"
        for row in read_rows(file.path, file.address, layout):
            yield row, f"{file.address}, {unit} {row.line}:"


def _key(text: Text) -> int:
    parts = (text,) if isinstance(text, str) else text
    folded = "\0".join(part.casefold() for part in parts)
    return int.from_bytes(hashlib.blake2b(folded.encode(), digest_size=8).digest(), "little")

"""Rows checked and cleaned into data sets on disk, before any weight is loaded.

Every row is read; what is wrong with single rows is counted by kind and told at once, with the place of the first.
"""

import hashlib
import math
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tunewright.job.data.columns import Form, Options, Roles
from tunewright.job.data.dataset import Dataset, DatasetWriter, open_dataset
from tunewright.job.data.faults import Faults, listed, shown
from tunewright.job.data.joined_labels import JoinedLabels
from tunewright.job.data.labels import label_of, parts_of
from tunewright.job.data.layout import layout_of
from tunewright.job.data.readers.class_names import advised_names, is_class, told_names
from tunewright.job.data.readers.formats import read_rows, unit_of
from tunewright.job.data.readers.reader import Layout, Row
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.data.sources.media import Fingerprint, Media
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.progress import warn
from tunewright.job.settings.data import DataSettings
from tunewright.serving.text.cleaning import clean, clean_label, is_visible, legible

Target = TypeVar("Target")
_NO_VALUE = object()
_FOLDED = "labels that differ only in what nobody sees (kinds of blanks, accents composed or not) are made one"
_MISSED = "a label is what tables write for a missing value (data.skip_labels leaves its rows out)"
_MISSING = frozenset(("nan", "NaN", "NaT", "<NA>"))


class Checking(Protocol):
    """What is asked of a task while rows are checked."""

    @property
    def forms(self) -> tuple[Form, ...]:
        """The sets of columns it can learn from; the first where the settings name none."""

    @property
    def media(self) -> str:
        """Role of the column that names files; empty where there is none."""

    @property
    def options(self) -> type[Options]:
        """The task's own settings."""

    def arrow_types(self, roles: Roles) -> tuple[pa.DataType, pa.DataType]:
        """Arrow types of a checked input and of a checked target."""

    def read(self, cells: "Cells") -> tuple[object, object]:
        """Input and target of one row, checked; of no use where a fault was counted or the row is left out."""

    def identity(self, value: object) -> str:
        """Equal for inputs that must not stand on two sides."""


@dataclass(frozen=True)
class Checked:
    """The rows of one setting (train, validation or test), checked."""

    data: Dataset
    keys: NDArray[np.uint64]
    """One number per row, equal for rows whose texts are equal but for case."""
    files: list[SourceFile]
    dropped: int
    """Rows without text that were left out on request."""
    left_out: Mapping[str, int]
    """Other rows that were left out on request: why, and how many."""
    media: list[Fingerprint]
    """For each table of files: how many files its rows name, their bytes and one digest of all of them."""
    classes: tuple[str, ...] = ()
    """The names that a file gives the numbers of its labels, in the order of these."""


def read_roles(settings: DataSettings, task: Checking) -> Roles:
    """The roles of the settings; SettingsError for one that the task does not have, or a setting without effect."""
    given = {role: str(column) for role, column in settings.columns.items()}
    form = _form(given, task.forms)
    inputs = {role: given.get(role, role) for role in form.roles if role in (*form.inputs, *form.optional)}
    for role in form.optional:
        if role not in given:
            del inputs[role]
    target = given.get(form.target, form.target)
    columns = [*inputs.values(), *([target] if target else [])]
    example = ", ".join(f"{role}: {at}" for at, role in enumerate((form.inputs[0], form.target)) if role)
    _check_columns(columns, settings.header, f"{{{example}}}")
    return Roles(inputs, target, form.target)


def _form(given: Mapping[str, str], forms: Sequence[Form]) -> Form:
    """The form that has all roles of the settings; of several the first."""
    known = list(dict.fromkeys(role for form in forms for role in form.roles))
    unknown = [role for role in given if role not in known]
    if unknown:
        raise SettingsError(f"data.columns has a role {unknown[0]!r}; this task knows {', '.join(known)}")
    for form in forms:
        if set(given) <= set(form.roles):
            return form
    targets = [role for role in given if role in {form.target for form in forms}]
    if len(targets) > 1:
        raise SettingsError(f"data.columns sets {' and '.join(targets)}; choose one")
    sets = "; ".join(", ".join(form.roles) for form in forms)
    raise SettingsError(f"data.columns sets {', '.join(given)}, which do not belong together; the sets are: {sets}")


def _check_columns(columns: list[str], header: bool, example: str) -> None:
    if not header and not all(column.isdecimal() for column in columns):
        raise SettingsError(
            f"data.header is false, so data.columns must give positions from 0, such as {example}; "
            f"the columns are {', '.join(columns)}"
        )
    twice = [column for column in columns if columns.count(column) > 1]
    if twice:
        raise SettingsError(f"data.columns gives two roles to the column {twice[0]!r}; each role needs its own")


@dataclass
class _Reading:
    """One pass over the files of a setting."""

    task: Checking
    roles: Roles
    settings: DataSettings
    options: Options
    labels: Collection[str] | None
    writer: DatasetWriter
    known_classes: tuple[str, ...] = ()
    """The names that a training file, else one of these, gives the numbers of its labels."""
    layout: Layout = field(default_factory=lambda: Layout("csv"))
    """Of the file that is being read."""
    faults: Faults = field(default_factory=Faults)
    # Not a list, so that a row costs eight bytes (Python 3.11 cannot subscript `array` itself).
    keys: "array[int]" = field(default_factory=lambda: array("Q"))
    kinds: dict[str, str] = field(default_factory=dict)
    dropped: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    bare: list[str] = field(default_factory=list)
    """Files without a row."""
    lacking: Faults = field(default_factory=Faults)
    """Rows of the file that lack a column and are left out for it."""
    is_complete: bool = False
    """Whether a row of the file has all columns."""
    joined: JoinedLabels = field(default_factory=JoinedLabels)
    classes: tuple[str, ...] = ()
    """The names that the file gives the numbers of its labels."""

    def take_all(self, rows: Iterable[tuple[Row, str]], address: str) -> None:
        """Take every row of a file."""
        is_bare = True
        self.lacking, self.is_complete = Faults(), False
        for row, place in rows:
            is_bare = False
            self.take(row, place)
        if is_bare:
            self.bare.append(address)
        if not self.is_complete:
            # What no row has is no empty cell but another name.
            self.faults.add_all(self.lacking)

    def take(self, row: Row, place: str) -> None:
        """Check one row and write it, or count what is wrong with it."""
        if row.is_empty and self.settings.drop_empty:
            self.dropped += 1
            return
        if row.fault:
            self.faults.add(row.fault, f"{place} value {row.found}:" if row.found else place, row.hint)
            return
        cells = Cells(self, row, place)
        try:
            found = self.task.read(cells)
        except RecursionError:
            self.faults.add("holds a value that is nested too deeply", place)
            return
        self.is_complete |= not cells.is_lacking
        if cells.is_dropped:
            # Whatever else is wrong with a row that is left out does not matter.
            self.left_out[cells.reason] += bool(cells.reason)
            self.dropped += not cells.reason
            return
        cells.tell()
        if cells.is_faulty:
            return
        self.writer.add(*found)
        self.keys.append(_number(self.task.identity(found[0])))


class Cells:
    """One row by the parts its columns play, and where to say what is wrong with it."""

    def __init__(self, reading: _Reading, row: Row, place: str) -> None:
        self._reading, self._row, self._place = reading, row, place
        self.roles = reading.roles
        self.settings, self.options = reading.settings, reading.options
        self.is_faulty = False
        """Whether something was found wrong with the row."""
        self.is_dropped = False
        """Whether the row shall be left out, as the settings ask for."""
        self.is_lacking = False
        """Whether it lacks a column of an input."""
        self.reason = ""
        """Why it is left out; empty for a row without an input."""
        self._faults: list[tuple[str, str, str, str]] = []

    def fault(self, what: str, hint: str = "", *, value: object = _NO_VALUE) -> None:
        """Count a fault of this row: what is wrong, what to do, and the value where it says more than the place."""
        place = self._place if value is _NO_VALUE else f"{self._place} value {shown(value)}:"
        self._faults.append((what, place, hint, "" if value is _NO_VALUE else shown(value)))
        self.is_faulty = True

    def tell(self) -> None:
        """Hand over the faults of the row, which is not left out."""
        for what, place, hint, value in self._faults:
            self._reading.faults.add(what, place, hint, value=value)

    def leave_out(self, reason: str = "") -> None:
        """Leave the row out, as the settings ask for: without a reason because it has no input."""
        if not self.is_dropped:
            self.is_dropped, self.reason = True, reason

    def note(self, what: str, example: str = "") -> None:
        """Count something odd that does not keep the row from being used; told once for all rows, with one example."""
        self._reading.notes[what] += 1
        self._reading.examples.setdefault(what, example)

    def has(self, role: str) -> bool:
        """Whether the row has the column of a role; a fault is counted where it has not."""
        if self.column(role) in self._row.values:
            return True
        have = listed(map(shown, self._row.values)) or "none"
        what, hint = f"has no column {self.column(role)!r}", f"the columns are {have}; {self._advice(role)}"
        self.is_lacking = self.is_lacking or role in self.roles.inputs
        if self.is_lacking and self.settings.drop_empty:
            self._reading.lacking.add(what, self._place, hint)
            self.leave_out()
        else:
            self.fault(what, hint)
        return False

    def _advice(self, role: str) -> str:
        """The setting that most likely helps where a column is not there."""
        told, found = self.settings.format, self._reading.layout.format
        if role in ("tokens", "tags") and told is None:
            return "add `format: conll` under data: where each line is a word and its tag, else set data.columns"
        if role in ("question", "context", "answers") and told is None:
            return "add `format: squad` under data: where the file is SQuAD's JSON, else set data.columns"
        if found == "text":
            return (
                "a text file has no other; add `format: csv` under data: where it is a table (data.delimiter says what "
                "separates its columns); labels in a second file are joined by `paste -d'\\t' texts.txt "
                "labels.txt > all.tsv`"
            )
        if found in ("csv", "tsv") and self.settings.header:
            return "set data.columns, or data.header to false where the first line is data already"
        return "set data.columns"

    def value(self, role: str) -> object:
        """What stands in the column of a role, whatever it is; None where there is no such column."""
        return whole(self._row.values.get(self.column(role)))

    def column(self, role: str) -> str:
        """The name of a role's column."""
        return self.roles.target if role == self.roles.target_role else self.roles.inputs[role]

    def text(self, role: str) -> str | None:
        """A text, cleaned, never empty; None where a fault was counted or the row is dropped."""
        if not self.has(role):
            return None
        value = self.value(role)
        # Tables call an empty cell null, and Python writes one of pandas as NaN.
        if isinstance(value, float) and math.isnan(value):
            value = None
        if value is not None and not isinstance(value, str):
            self.fault(f"column {self.column(role)!r} is {type(value).__name__}, not text", value=value)
            return None
        text = clean(value or "", self.settings.cleaning)
        if is_visible(text):
            return text
        self.empty(role)
        return None

    def empty(self, role: str) -> None:
        """The input of the row is empty, which is a fault unless the settings leave such rows out."""
        if self.settings.drop_empty:
            self.leave_out()
        else:
            self.fault(f"column {self.column(role)!r} is empty", "fill it, remove the row or set data.drop_empty")

    def texts(self) -> str | tuple[str, ...] | None:
        """The texts of all input roles: one, or a tuple of several."""
        found = [self.text(role) for role in self.roles.inputs]
        texts = tuple(text for text in found if text is not None)
        if len(texts) < len(found):
            return None
        return texts[0] if len(texts) == 1 else texts

    def target(self, read: Callable[[object, str, DataSettings], Target | None]) -> Target | None:
        """The target; `read` gets its value and role, and its ValueError says what is wrong with the value."""
        role = self.roles.target_role
        if not self.has(role):
            return None
        value = self.value(role)
        try:
            return read(value, role, self.settings)
        except OverflowError:
            self.fault(
                f"column {self.roles.target!r} is too large a number", "the largest is about 1.8e308", value=value
            )
        except ValueError as error:
            self.fault(f"column {self.roles.target!r} {error}", value=value)
        return None

    def labels(self) -> list[str] | None:
        """The labels, which the training rows must have too; None where a fault was counted or the row is left out."""
        # A row without an input may lack its label too.
        if self.is_dropped:
            return None
        named = self.target(self._read_labels)
        if named is None or self.is_dropped:
            return None
        self._watch_kind(self.value(self.roles.target_role))
        labels = sorted(set(named))
        if self.roles.target_role == "labels":
            self._reading.joined.see(labels)
        return labels if self.are_known(labels) else None

    def _read_labels(self, value: object, role: str, settings: DataSettings) -> list[str] | None:
        """The labels of a value by their names; None where the row is left out."""
        if isinstance(value, float) and math.isnan(value):
            value = None
        whole_value = clean_label(value) if isinstance(value, str) else "" if value is None else None
        if whole_value in (settings.label_names.keys() | set(settings.skip_labels)):
            return self.names([str(whole_value)])
        parts = parts_of(value, role, settings.label_separator)
        return self.names([self.cleaned(part) for part in parts])

    def cleaned(self, part: object) -> str:
        """One label or tag, cleaned; ValueError for what is none."""
        label = label_of(part)
        if isinstance(part, str) and part.strip() != label:
            self.note(_FOLDED, f"{shown(part)} is read as {shown(label)}")
        if label in _MISSING and label not in self.settings.label_names:
            self.note(_MISSED, shown(label))
        return label

    def names(self, labels: list[str]) -> list[str] | None:
        """The names that cleaned labels are served with; None where the row is left out for one of them."""
        names, skipped = self.settings.label_names, self.settings.skip_labels
        for label in labels:
            if label in skipped or names.get(label) in skipped:
                self.leave_out("with a label of data.skip_labels")
                return None
        for label in labels:
            if names and label not in names and self.roles.target_role != "tags":
                raise ValueError(f"is not among data.label_names ({listed(names)})")
        return [names.get(label, label) for label in labels]

    def are_known(self, labels: list[str]) -> bool:
        """Whether the row may stay although its labels are not those of the training rows, as the settings say."""
        known = self._reading.labels
        if known is None:
            return self._are_named(labels)
        unseen = [label for label in dict.fromkeys(labels) if label not in known]
        if not unseen:
            return True
        if self.settings.unknown_labels == "wrong":
            self.note("a label that no row of data.train has, counted as wrong", shown(unseen[0]))
            return True
        if self.settings.unknown_labels == "leave_out":
            self.leave_out("with a label that no row of data.train has")
            return False
        hint = f"the training labels are {listed(known)}; {self._names_advice(unseen, known)}"
        for label in unseen:
            self.fault(f"column {self.roles.target!r} holds a label that no row of data.train has", hint, value=label)
        return False

    def _are_named(self, labels: list[str]) -> bool:
        """Whether no label is a number where another of the files has names for numbers; a fault is counted."""
        told, own = self._reading.known_classes, self._reading.classes
        for label in labels if told and not own else ():
            if label not in told and is_class(label, told):
                what = f"column {self.roles.target!r} holds a number where another file of data.train names its classes"
                self.fault(what, advised_names(told), value=label)
                return False
        return True

    def _names_advice(self, unseen: Collection[str], known: Collection[str]) -> str:
        """What to do about unknown labels: names and their numbers belong together."""
        told = self._reading.known_classes
        if told and all(is_class(label, told) for label in unseen):
            return f"the file of data.train names its classes and this file does not; {advised_names(told)}"
        told = self._reading.classes
        if told and all(map(str.isdecimal, known)):
            return f"this file names its classes and the file of data.train does not; {advised_names(told)}"
        if all(map(str.isdecimal, unseen)) and not any(map(str.isdecimal, known)):
            return "say in data.label_names which of them the numbers stand for, or set data.unknown_labels"
        return "correct it, or set data.unknown_labels"

    def _watch_kind(self, value: object) -> None:
        """Labels 1 and "1" would silently become one label, unless the settings name each."""
        if self.roles.target_role != "label" or value is None or self.settings.label_names:
            return
        kinds, kind = self._reading.kinds, type(value).__name__
        kinds.setdefault(kind, self._place.removesuffix(":"))
        first = next(iter(kinds))
        if kind != first:
            fault = f"column {self.roles.target!r} is {kind} here but {first} in {kinds[first]}"
            self.fault(fault, "write all labels alike")


def check(
    files: list[SourceFile],
    task: Checking,
    roles: Roles,
    settings: DataSettings,
    target: Path,
    *,
    labels: list[str] | None = None,
    classes: tuple[str, ...] = (),
    options: Options | None = None,
    cache: Path = Path(),
) -> Checked:
    """Read and check the files of one setting into an Arrow file; DataError tells all that is wrong.

    `labels` are those of the training rows where no others are allowed, `classes` the names that the training files
    give the numbers of their labels.
    """
    media: list[Fingerprint] = []
    with closing(DatasetWriter(target, task.arrow_types(roles))) as writer:
        known = dict.fromkeys(labels) if labels is not None else None
        reading = _Reading(task, roles, settings, options or task.options(), known, writer)
        layouts = [layout_of(file.address, settings, roles, file.path) for file in files]
        told = [told_names(file.path, one).get(roles.target, ()) for file, one in zip(files, layouts, strict=True)]
        reading.known_classes = classes or next(filter(None, told), ())
        for file, reading.layout, reading.classes in zip(files, layouts, told, strict=True):
            named = Media(file, roles.inputs[task.media], cache) if task.media else None
            reading.take_all(_rows(file, named, reading.layout), file.address)
            media += [named.fingerprint()] if named else []
        reading.faults.raise_any()
    if reading.bare and len(reading.bare) < len(files):
        have = "file has" if len(reading.bare) == 1 else "files have"
        warn("data", f"{len(reading.bare):,} {have} no rows ({listed(reading.bare, 3)})")
    for what, count in reading.notes.items():
        example = reading.examples.get(what)
        warn(
            "data",
            f"{what}: {count:,} {'row' if count == 1 else 'rows'}" + (f"; {example}" if example else ""),
            rows=count,
        )
    if joined := reading.joined.sentence(settings.label_separator):
        warn("data", f"column {roles.target!r}: {joined}")
    data = open_dataset(target)
    if not len(data):
        left = {"without text": reading.dropped, **reading.left_out}
        dropped = "".join(f" besides {count:,} {why}" for why, count in left.items() if count)
        raise DataError(f"{', '.join(file.address for file in files)}: no rows{dropped}")
    keys = np.frombuffer(reading.keys, dtype=np.uint64)
    return Checked(data, keys, files, reading.dropped, reading.left_out, media, reading.known_classes)


def _rows(file: SourceFile, media: Media | None, layout: Layout) -> Iterator[tuple[Row, str]]:
    """Every row of a file with its place."""
    unit = unit_of(file.address, layout)
    for row in read_rows(file.path, file.address, layout) if media is None else media.rows(layout):
        yield row, f"{file.address}, {unit} {row.line}:"


def whole(value: Any) -> Any:
    """A value of JSON without halves of characters, which no file can hold: each becomes U+FFFD."""
    if isinstance(value, str):
        return legible(value)
    if isinstance(value, list):
        return [whole(part) for part in value]
    if isinstance(value, dict):
        return {whole(key): whole(part) for key, part in value.items()}
    return value


def _number(identity: str) -> int:
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest(), "little")

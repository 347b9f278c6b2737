"""One row by the parts its columns play: its values read and cleaned, and what is wrong with them."""

import math
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TypeVar

from tunewright.job.data.columns import Options, Roles
from tunewright.job.data.faults import Faults, listed, shown
from tunewright.job.data.joined_labels import JoinedLabels
from tunewright.job.data.labels import label_of, parts_of
from tunewright.job.data.readers.columnar.class_names import advised_names, is_class
from tunewright.job.data.readers.reader import Layout, Row
from tunewright.job.settings.data import DataSettings
from tunewright.serving.text.cleaning import clean, clean_label, is_visible, legible

Target = TypeVar("Target")
_NO_VALUE = object()
_FOLDED = "labels that differ only in what nobody sees (kinds of blanks, accents composed or not) are made one"
_MISSED = "a label is what tables write for a missing value (data.skip_labels leaves its rows out)"
_LONGEST = 60
"""Characters of a value that the report is cut by."""
_MISSING = frozenset(("nan", "NaN", "NaT", "<NA>"))


@dataclass
class Tally:
    """What is known of the rows of one setting, and what is counted while they are read."""

    roles: Roles
    settings: DataSettings
    options: Options
    labels: Collection[str] | None
    """Those of the training rows, or of the model, where no others are allowed."""
    known_classes: tuple[str, ...] = ()
    """The names that a training file, else one of these, gives the numbers of its labels."""
    layout: Layout = field(default_factory=lambda: Layout("csv"))
    """Of the file that is being read."""
    classes: tuple[str, ...] = ()
    """The names that the file gives the numbers of its labels."""
    faults: Faults = field(default_factory=Faults)
    lacking: Faults = field(default_factory=Faults)
    """Rows of the file that lack a column and are left out for it."""
    kinds: dict[str, str] = field(default_factory=dict)
    """How labels are written, and where first."""
    joined: JoinedLabels = field(default_factory=JoinedLabels)
    notes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    of_model: bool = False
    """Whether the labels are those of a model that was taught elsewhere."""


class Cells:
    """One row by the parts its columns play, and where to say what is wrong with it."""

    def __init__(self, tally: Tally, row: Row, place: str) -> None:
        self._tally, self._row, self._place = tally, row, place
        self.roles = tally.roles
        self.settings, self.options = tally.settings, tally.options
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
            self._tally.faults.add(what, place, hint, value=value)

    def leave_out(self, reason: str = "") -> None:
        """Leave the row out, as the settings ask for: without a reason because it has no input."""
        if not self.is_dropped:
            self.is_dropped, self.reason = True, reason

    def note(self, what: str, example: str = "") -> None:
        """Count something odd that does not keep the row from being used; told once for all rows, with one example."""
        self._tally.notes[what] += 1
        self._tally.examples.setdefault(what, example)

    def has(self, role: str) -> bool:
        """Whether the row has the column of a role; a fault is counted where it has not."""
        if self.column(role) in self._row.values:
            return True
        have = listed(map(shown, self._row.values)) or "none"
        what, hint = f"has no column {self.column(role)!r}", f"the columns are {have}; {self._advice(role)}"
        self.is_lacking = self.is_lacking or role in self.roles.inputs
        if self.is_lacking and self.settings.drop_empty:
            self._tally.lacking.add(what, self._place, hint)
            self.leave_out()
        else:
            self.fault(what, hint)
        return False

    def _advice(self, role: str) -> str:
        """The setting that most likely helps where a column is not there."""
        told, found = self.settings.format, self._tally.layout.format
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

    def kept(self) -> list[str]:
        """What stands in the columns that the report is cut by, as it is shown; empty for a cell without a value."""
        found = []
        for column in self._tally.layout.kept:
            if column not in self._row.values:
                have = listed(map(shown, self._row.values)) or "none"
                self.fault(f"has no column {column!r}", f"the columns are {have}; report.slices names it")
            found.append(_said(whole(self._row.values.get(column))))
        return found

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
            self._tally.joined.see(labels)
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
        known = self._tally.labels
        if known is None:
            return self._are_named(labels)
        unseen = [label for label in dict.fromkeys(labels) if label not in known]
        if not unseen:
            return True
        lacking, whose = "a label that no row of data.train has", "the training labels"
        if self._tally.of_model:
            lacking, whose = "a label that the model does not have", "the labels of the model"
        if self.settings.unknown_labels == "wrong":
            self.note(f"{lacking}, counted as wrong", shown(unseen[0]))
            return True
        if self.settings.unknown_labels == "leave_out":
            self.leave_out(f"with {lacking}")
            return False
        hint = f"{whose} are {listed(known)}; {self._names_advice(unseen, known)}"
        for label in unseen:
            self.fault(f"column {self.roles.target!r} holds {lacking}", hint, value=label)
        return False

    def _are_named(self, labels: list[str]) -> bool:
        """Whether no label is a number where another of the files has names for numbers; a fault is counted."""
        told, own = self._tally.known_classes, self._tally.classes
        for label in labels if told and not own else ():
            if label not in told and is_class(label, told):
                what = f"column {self.roles.target!r} holds a number where another file of data.train names its classes"
                self.fault(what, advised_names(told), value=label)
                return False
        return True

    def _names_advice(self, unseen: Collection[str], known: Collection[str]) -> str:
        """What to do about unknown labels: names and their numbers belong together."""
        told = self._tally.known_classes
        if told and all(is_class(label, told) for label in unseen):
            return f"the file of data.train names its classes and this file does not; {advised_names(told)}"
        told = self._tally.classes
        if told and all(map(str.isdecimal, known)):
            return f"this file names its classes and the file of data.train does not; {advised_names(told)}"
        if all(map(str.isdecimal, unseen)) and not any(map(str.isdecimal, known)):
            return "say in data.label_names which of them the numbers stand for, or set data.unknown_labels"
        return "correct it, or set data.unknown_labels"

    def _watch_kind(self, value: object) -> None:
        """Labels 1 and "1" would silently become one label, unless the settings name each."""
        if self.roles.target_role != "label" or value is None or self.settings.label_names:
            return
        kinds, kind = self._tally.kinds, type(value).__name__
        kinds.setdefault(kind, self._place.removesuffix(":"))
        first = next(iter(kinds))
        if kind != first:
            fault = f"column {self.roles.target!r} is {kind} here but {first} in {kinds[first]}"
            self.fault(fault, "write all labels alike")


def _said(value: object) -> str:
    """The name of the group that a row with this value belongs to: one line, cut where it is long."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    line = " ".join(str(value).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def whole(value: object) -> object:
    """A value of JSON without halves of characters, which no file can hold: each becomes U+FFFD."""
    if isinstance(value, str):
        return legible(value)
    if isinstance(value, list):
        return [whole(part) for part in value]
    if isinstance(value, dict):
        return {whole(key): whole(part) for key, part in value.items()}
    return value

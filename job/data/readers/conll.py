"""Sentences whose tokens stand in lines, with columns: CoNLL-like files and CoNLL-U.

A blank line ends a sentence. A row is a sentence: a list for each column that was asked for. Its line is that of
its first token, or of its first fault.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tunewright.job.data.faults import shown
from tunewright.job.data.readers.lines import of_lines
from tunewright.job.data.readers.reader import Layout, Reader, Row
from tunewright.job.errors import DataError, SettingsError

_UNIVERSAL = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The ten columns of CoNLL-U (https://universaldependencies.org/format.html)."""
_LONGEST = 100_000
"""Tokens of one sentence; a longer one is a file without blank lines."""
_DOCUMENT = "-DOCSTART-"
_SEPARATORS = re.compile(r"[ \t]+")


def positions_of(columns: Mapping[str, str | int], reader: Reader) -> dict[str, int]:
    """The columns of the settings (role to column) as `Layout.positions`; SettingsError for what is no column.

    Roles that are not given keep the usual place.
    """
    given = {str(column): _position(str(column), reader.name) for column in columns.values()}
    return given | {role: place for role, place in reader.positions.items() if role not in columns}


def _position(column: str, kind: str) -> int:
    if kind == "conllu" and column.lower() in _UNIVERSAL:
        return _UNIVERSAL.index(column.lower())
    if re.fullmatch(r"-?[0-9]{1,4}", column):
        return int(column)
    names = f", or one of {', '.join(_UNIVERSAL)}" if kind == "conllu" else ""
    raise SettingsError(
        f"data.columns names {column!r}, which is no column of {kind}; "
        f"expected a position from 0, or from the end as -1{names}"
    )


def read_conll(text: Iterator[str], address: str, layout: Layout) -> Iterator[Row]:
    """The sentences in these lines. DataError for one without end, or where a token cannot be told from a comment."""
    universal = layout.format == CONLLU.name
    sentence = _Sentence(layout.positions or (CONLLU if universal else CONLL).positions)
    comment = "#" if universal else layout.comment
    for number, line in enumerate(text, 1):
        if not line.strip() or (not universal and line.startswith(_DOCUMENT)):
            yield from sentence.end()
        elif comment and line.startswith(comment):
            continue
        else:
            if comment is None:
                _refuse_doubt(line, address, number)
                comment = ""
            sentence.take(number, line.rstrip("\r\n"), layout.delimiter, universal=universal)
            if sentence.tokens > _LONGEST:
                raise DataError(
                    f"{address}, line {number}: the sentence that starts in line {sentence.line} has over {_LONGEST:,} "
                    "tokens; put a blank line after every sentence"
                )
    yield from sentence.end()


def _refuse_doubt(line: str, address: str, number: int) -> None:
    """Whether `# id 7` is a comment or the token `#` cannot be told, and a wrong guess would teach nonsense."""
    if line.startswith("# "):
        raise DataError(
            f"{address}, line {number}: {shown(line.rstrip())} may be a comment or the token '#'; "
            "set data.comment to '# ' if it is a comment, or to '' if it is a token"
        )


@dataclass
class _Sentence:
    """The sentence that is being read."""

    positions: Mapping[str, int]
    line: int = 0
    tokens: int = 0
    width: int = 0
    """Columns of the first token."""
    columns: list[list[str]] = field(default_factory=list)
    fault: Row | None = None

    def take(self, number: int, line: str, delimiter: str | None, *, universal: bool) -> None:
        """Add the token of a line; only the first fault of a sentence is kept."""
        if self.fault:
            return
        self.line = self.line or number
        cells = _cells(line, "\t" if universal else delimiter)
        if universal:
            self.fault = _universal_fault(number, line, cells)
            # A range (4-5) spells words that follow, an empty node (8.1) spells none.
            if self.fault or not cells[0].isdecimal():
                return
        self.width = self.width or len(cells)
        self.fault = self._fault(number, line, cells)
        if self.fault:
            return
        self.columns = self.columns or [[] for _ in self.positions]
        for values, position in zip(self.columns, self.positions.values(), strict=True):
            values.append(cells[position])
        self.tokens += 1

    def end(self) -> Iterator[Row]:
        """The row of the sentence, if it is one; then begin the next."""
        if self.fault:
            yield self.fault
        elif self.tokens:
            yield Row(self.line, dict(zip(self.positions, self.columns, strict=True)))
        self.line = self.tokens = self.width = 0
        self.columns, self.fault = [], None

    def _fault(self, number: int, line: str, cells: list[str]) -> Row | None:
        places = {position % len(cells) for position in self.positions.values() if -len(cells) <= position < len(cells)}
        if len(places) < len(self.positions):
            wanted = ", ".join(str(position) for position in self.positions.values())
            has = f"has {len(cells)} {'column' if len(cells) == 1 else 'columns'}"
            return Row(number, {}, f"{has} where the columns {wanted} are read", shown(line), _SPLITTING)
        if len(cells) != self.width:
            what = f"has {len(cells)} columns where its sentence began with {self.width}"
            return Row(number, {}, what, shown(line), _SPLITTING)
        for name, position in self.positions.items():
            if not cells[position].strip():
                what = f"column {name!r} is empty"
                return Row(number, {}, what, shown(line), "give every token all its columns")
        return None


_SPLITTING = "data.delimiter says what separates columns, data.columns which are read, data.comment what is no token"


def _cells(line: str, delimiter: str | None) -> list[str]:
    return line.split(delimiter) if delimiter else _SEPARATORS.split(line.strip(" \t"))


def _universal_fault(number: int, line: str, cells: list[str]) -> Row | None:
    if len(cells) != len(_UNIVERSAL):
        hint = "set data.format to conll for other files"
        return Row(number, {}, f"has {len(cells)} columns where CoNLL-U has 10, separated by tabs", shown(line), hint)
    if not re.fullmatch(r"[0-9]+([-.][0-9]+)?", cells[0]):
        hint = "expected a number (1), a range (1-2) or an empty node (1.1)"
        return Row(number, {}, "does not begin with the id of a word", shown(cells[0]), hint)
    return None


CONLL = Reader(
    "conll",
    of_lines(read_conll),
    (".conll", ".bio", ".iob", ".iob2"),
    settings=frozenset(("encoding", "delimiter", "comment")),
    positions={"tokens": 0, "tags": -1},
)
CONLLU = Reader("conllu", of_lines(read_conll), (".conllu",), positions={"tokens": 1, "tags": 3})
"""FORM and UPOS."""

"""A data file looked at: its format, how it is laid out, and what its columns hold."""

import itertools
import re
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import cast

from tunewright.job.commands.guess.facts import Facts, is_whole, scheme_of, stands, wrong_answers
from tunewright.job.commands.guess.profile import MOST_ROWS, Column, columns_of
from tunewright.job.data.faults import listed, shown
from tunewright.job.data.readers.content import refuse_other_content
from tunewright.job.data.readers.formats import KNOWN_NAMES, format_of, read_rows
from tunewright.job.data.readers.lines import lines, open_data
from tunewright.job.data.readers.reader import Layout
from tunewright.job.data.readers.shape import shape_of
from tunewright.job.data.readers.tables.dialect import name_of, parsed, separator
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.errors import DataError

TABLES = ("csv", "tsv")
_LOOKED_AT = 30
"""Lines of a table that tell its separator."""
_COMMON = (",", ";", "\t", "|")
_NAME = re.compile(r"[^\W\d][\w .:/()#-]{0,40}")
"""What a header calls a column."""
_NUMBER = re.compile(r"[-+]?[\d.]+")
_USUAL = frozenset(
    "id text label labels class category score sentence sentence1 sentence2 text_a text_b text_pair target source "
    "title question context answer review content comment tweet premise hypothesis sentiment intent prompt "
    "response".split()
)
"""How headers call columns, in lower case."""


@dataclass(frozen=True)
class Sample:
    """What a file is, and what its first rows hold."""

    layout: Layout
    columns: list[Column]
    rows: int
    settings: dict[str, object] = field(default_factory=dict)
    """What `data` must say so that the file is read in this way, but for the columns."""
    notes: tuple[str, ...] = ()
    """What these settings were told from."""
    facts: Facts = field(default_factory=Facts)
    """More that was counted."""

    @property
    def format(self) -> str:
        """The format, as data.format would say it."""
        return self.layout.format

    def of_kind(self, *kinds: str) -> list[Column]:
        """The columns of these kinds."""
        return [column for column in self.columns if column.kind in kinds]

    def column(self, name: str) -> Column | None:
        """The column of this name, if there is one."""
        return next((column for column in self.columns if column.name == name), None)


def sample(file: SourceFile) -> Sample:
    """A file looked at. DataError for one that is no data, or that has no rows."""
    name = PurePosixPath(file.address).name
    named = format_of(name)
    kind = _format(file, named)
    found = {
        "csv": _table,
        "tsv": _table,
        "text": _text,
        "conll": _sentences,
        "conllu": _sentences,
        "squad": _questions,
    }
    seen = found.get(kind, _rows)(file, Layout(kind, quoting=kind != "tsv"))
    if not seen.rows:
        raise DataError(f"{file.address}: no rows")
    if kind == named:
        return seen
    note = f"{name} is read as {kind}, as its content shows"
    return replace(seen, settings={"format": kind, **seen.settings}, notes=(note, *seen.notes))


def sample_as(file: SourceFile, other: Sample) -> Sample:
    """A file looked at that is laid out as another one. DataError where it cannot be read so."""
    columns = columns_of(_values(file, other.layout))
    return replace(other, columns=columns, rows=columns[0].rows if columns else 0, facts=Facts())


def _format(file: SourceFile, named: str | None) -> str:
    """The format of a file: what its name promises, or what its content shows where that is another one."""
    refuse_other_content(file.path, file.address, named or "")
    if named is None and _is_binary(file):
        raise DataError(
            f"{file.address} is no text, and of no format that is known: a data file is named {KNOWN_NAMES}; "
            "images and recordings stand in folders, one for each label"
        )
    if named in ("parquet", "conllu", *TABLES):
        return named
    first = _first_lines(file)
    # A name that no object has: one whole file on a line is not taken for a row.
    wanted = ("\0",) if "".join(first[:1]).lstrip("\ufeff \t")[:1] in ("{", "[") else ()
    shape = shape_of(file.path, file.address, Layout(named or "csv", roles=("tokens", "tags"), wanted=wanted))
    if shape and shape.format:
        return shape.format
    if shape and shape.do:
        raise DataError(shape.sentence(file.address))
    found = separator(first, Layout("csv")) if len(first) > 2 and named in (None, "text") else None
    if found in _COMMON:
        return "tsv" if found == "\t" else "csv"
    return named or "text"


def _is_binary(file: SourceFile) -> bool:
    """Whether a file begins with bytes that no text holds."""
    with open_data(file.path, file.address, Layout("csv").max_expansion) as opened:
        start = opened.read(4096)
    controls = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in start)
    return controls > 0.05 * len(start) and not start.startswith((b"\xff\xfe", b"\xfe\xff"))


def _first_lines(file: SourceFile) -> list[str]:
    with open_data(file.path, file.address, Layout("csv").max_expansion) as opened:
        return list(itertools.islice(lines(opened, file.address), _LOOKED_AT))


def _values(file: SourceFile, layout: Layout) -> Generator[Mapping[str, object]]:
    """The values of the rows without a fault."""
    for row in itertools.islice(read_rows(file.path, file.address, layout), MOST_ROWS):
        if not row.fault:
            yield row.values


def _rows(file: SourceFile, layout: Layout) -> Sample:
    """JSON or Parquet."""
    columns = columns_of(_values(file, layout))
    facts = Facts()
    pair = word_columns(columns)
    if pair:
        facts = replace(facts, scheme=scheme_of(itertools.chain.from_iterable(pair[1].lists)))
    answers = next((column.name for column in columns if column.name.lower() == "answers"), "")
    if answers:
        facts = replace(facts, wrong=wrong_answers(_values(file, layout)))
    return Sample(layout, columns, columns[0].rows if columns else 0, facts=facts)


def _table(file: SourceFile, layout: Layout) -> Sample:
    first = _first_lines(file)
    usual = "\t" if layout.format == "tsv" else ","
    found = separator(first, replace(layout, delimiter=usual)) or usual
    settings: dict[str, object] = {}
    notes = []
    if found != usual:
        layout = replace(layout, quoting=True)
        settings["delimiter"] = found
        notes.append(f"{name_of(found)} separates the columns")
    layout = replace(layout, delimiter=found, header=False)
    columns = columns_of(_values(file, layout))
    head = (parsed(first[:1], layout) or parsed(first[:1], replace(layout, quoting=False)) or [[]])[0]
    head = [cell.strip().lstrip("\ufeff") for cell in head]
    if not _is_header(head, columns):
        notes.append(f"the first line ({listed(map(shown, head), 3)}) is data like the others: header: false")
        return Sample(layout, columns, columns[0].rows if columns else 0, settings | {"header": False}, tuple(notes))
    layout = replace(layout, header=True)
    columns = columns_of(_values(file, layout))
    notes.append(f"the first line names the columns: {listed(head)}")
    return Sample(layout, columns, columns[0].rows if columns else 0, settings, tuple(notes))


def _is_header(head: Sequence[str], columns: Sequence[Column]) -> bool:
    """Whether the first row names the columns: it holds no numbers, and words that the rows below it do not have."""
    if not head or len(set(head)) < len(head) or not all(head) or any(_NUMBER.fullmatch(cell) for cell in head):
        return False
    if _USUAL & {cell.lower().replace(" ", "_") for cell in head}:
        return True
    pairs = list(zip(head, columns, strict=False))
    if any(column.counts[cell] > 1 for cell, column in pairs):
        return False
    if any(_is_apart(cell, column) for cell, column in pairs):
        return True
    are_names = all(_NAME.fullmatch(cell) for cell in head)
    return are_names and any(column.length > 3 * len(cell) for cell, column in pairs)


def _is_apart(cell: str, column: Column) -> bool:
    """Whether a cell is none of the numbers, or of the words over and over, that stand below it."""
    below = column.counts - Counter([cell])
    return bool(below) and (all(map(_NUMBER.fullmatch, below)) or len(below) <= len(column.lengths) / 4)


def _text(file: SourceFile, layout: Layout) -> Sample:
    last, gaps, rows = 0, 0, []
    for row in itertools.islice(read_rows(file.path, file.address, layout), MOST_ROWS):
        gaps += row.line > last + 1 and bool(last)
        last = row.line
        rows.append(row.values)
    if gaps < 0.05 * len(rows) or len(rows) < 2:
        return Sample(layout, columns_of(rows), len(rows))
    note = f"{gaps:,} blank lines divide the text into paragraphs"
    return Sample(layout, columns_of(rows), len(rows), {"sample_by": "paragraph"}, (note,))


def _sentences(file: SourceFile, layout: Layout) -> Sample:
    """CoNLL: a word and its tag a line."""
    tags: Counter[str] = Counter()
    settings: dict[str, object] = {}
    notes = []
    if layout.format == "conll" and _has_comments(file):
        layout = replace(layout, comment="# ")
        settings["comment"] = "# "
        notes.append('lines that begin with "# " are comments')
    count = 0
    for values in _values(file, layout):
        tags.update(cast(list[str], values["tags"]))
        count += 1
    if not count:
        # Whoever reads it with these settings is told the fault.
        next(read_rows(file.path, file.address, layout), None)
    return Sample(layout, [], count, settings, tuple(notes), Facts(scheme=scheme_of(tags), tags=len(tags)))


def _has_comments(file: SourceFile) -> bool:
    """Whether lines `# id 7` stand where a sentence begins, and a word is never alone in its line."""
    with open_data(file.path, file.address, Layout("conll").max_expansion) as opened:
        before = ""
        for line in itertools.islice(lines(opened, file.address), MOST_ROWS):
            if line.startswith("# ") and "\t" not in line and not before.strip():
                return True
            before = line
    return False


def _questions(file: SourceFile, layout: Layout) -> Sample:
    rows = [(stands(row), is_whole(row)) for row in _values(file, layout)]
    wrong, empty = (sum(not sound for sound in every) for every in zip(*rows, strict=True)) if rows else (0, 0)
    return Sample(layout, [], len(rows), facts=Facts(wrong=wrong, empty=empty))


def word_columns(columns: Sequence[Column]) -> tuple[Column, Column] | None:
    """The columns of words and of their tags: lists of one length in every row; None where there are none."""
    lists = [column for column in columns if column.kind in ("texts", "labels", "bits") and _are_words(column)]
    pairs = [
        (one, other)
        for one, other in itertools.permutations(lists, 2)
        if len(one.lists) == len(other.lists)
        and all(len(a) == len(b) for a, b in zip(one.lists, other.lists, strict=True))
        and _distinct(one) > _distinct(other)
    ]
    return pairs[0] if len(pairs) == 1 else None


def _are_words(column: Column) -> bool:
    """Whether the lists of a column hold words or tags, which are shorter than sentences."""
    sizes = [len(str(one)) for part in column.lists[:100] for one in part]
    return bool(sizes) and sum(sizes) < 20 * len(sizes)


def _distinct(column: Column) -> int:
    return len({str(one) for part in column.lists for one in part})

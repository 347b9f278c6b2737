"""A data file looked at: its format, how it is laid out, and what its columns hold."""

import codecs
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
from tunewright.job.data.readers.formats import KNOWN_NAMES, READERS, format_of, read_rows
from tunewright.job.data.readers.lines import lines, open_data
from tunewright.job.data.readers.reader import Layout
from tunewright.job.data.readers.shape import shape_of
from tunewright.job.data.readers.tables.dialect import name_of, parsed, separator
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.errors import DataError

TABLES = ("csv", "tsv")
_LOOKED_AT = 30
"""Lines of a table that tell its separator."""
_BYTES = 16 * 1024 * 1024
"""Of a file that tell its encoding."""
_MOST_HIGH = 0.2
"""Share of the bytes of a Western text that are no ASCII; of Chinese or Russian ones it is half and more."""
_UNDEFINED = frozenset(b"\x81\x8d\x8f\x90\x9d")
"""Bytes that windows-1252 does not have."""
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


def sample(file: SourceFile, encoding: str = "") -> Sample:
    """A file looked at. DataError for one that is no data, or that has no rows. `encoding`: where it is known."""
    name = PurePosixPath(file.address).name
    named = format_of(name)
    has_one = "encoding" in READERS[named].settings if named else True
    encoding = encoding or (encoding_of(file) if has_one else "utf-8")
    kind = _format(file, named, encoding)
    found = {
        "csv": _table,
        "tsv": _table,
        "text": _text,
        "conll": _sentences,
        "conllu": _sentences,
        "squad": _questions,
    }
    seen = found.get(kind, _rows)(file, Layout(kind, quoting=kind != "tsv", encoding=encoding))
    if not seen.rows:
        raise DataError(f"{file.address}: no rows")
    if encoding != "utf-8":
        note = f"{name} is no UTF-8, and reads well as {encoding}: look at a few of its letters that are not English"
        seen = replace(seen, settings={**seen.settings, "encoding": encoding}, notes=(*seen.notes, note))
    if kind == named:
        return seen
    note = f"{name} is read as {kind}, as its content shows"
    return replace(seen, settings={"format": kind, **seen.settings}, notes=(note, *seen.notes))


def sample_as(file: SourceFile, other: Sample) -> Sample:
    """A file looked at that is laid out as another one. DataError where it cannot be read so."""
    columns = columns_of(_values(file, other.layout))
    return replace(other, columns=columns, rows=columns[0].rows if columns else 0, facts=Facts())


def encoding_of(file: SourceFile) -> str:
    """How the file is written: UTF-8 (or with a mark that tells), or where it is not and a few of its letters are no
    ASCII, as Western files of old are."""
    with open_data(file.path, file.address, Layout("csv").max_expansion) as opened:
        start = opened.read(_BYTES)
    try:
        codecs.utf_8_decode(start, "strict", False)
    except UnicodeDecodeError:
        high = sum(byte > 127 for byte in start)
        if b"\0" in start or high > _MOST_HIGH * len(start):
            return "utf-8"
        return "latin-1" if _UNDEFINED & set(start) else "windows-1252"
    return "utf-8"


def _format(file: SourceFile, named: str | None, encoding: str) -> str:
    """The format of a file: what its name promises, or what its content shows where that is another one."""
    refuse_other_content(file.path, file.address, named or "")
    if named is None and _is_binary(file):
        raise DataError(
            f"{file.address} is no text, and of no format that is known: a data file is named {KNOWN_NAMES}; "
            "images and recordings stand in folders, one for each label"
        )
    if named in ("parquet", "conllu", *TABLES):
        return named
    first = _first_lines(file, encoding)
    # A name that no object has: one whole file on a line is not taken for a row.
    wanted = ("\0",) if "".join(first[:1]).lstrip("\ufeff \t")[:1] in ("{", "[") else ()
    layout = Layout(named or "csv", roles=("tokens", "tags"), wanted=wanted, encoding=encoding)
    shape = shape_of(file.path, file.address, layout)
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


def _first_lines(file: SourceFile, encoding: str) -> list[str]:
    with open_data(file.path, file.address, Layout("csv").max_expansion) as opened:
        return list(itertools.islice(lines(opened, file.address, encoding), _LOOKED_AT))


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
    first = _first_lines(file, layout.encoding)
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
    if layout.format == "conll" and _has_comments(file, layout.encoding):
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


def _has_comments(file: SourceFile, encoding: str) -> bool:
    """Whether lines `# id 7` stand where a sentence begins, and a word is never alone in its line."""
    with open_data(file.path, file.address, Layout("conll").max_expansion) as opened:
        before = ""
        for line in itertools.islice(lines(opened, file.address, encoding), MOST_ROWS):
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

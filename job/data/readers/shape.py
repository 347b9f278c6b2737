"""What the text of a file looks like, whatever its name says, and the line of the settings that reads it."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunewright.job.data.faults import listed, shown
from tunewright.job.data.readers.documents.text import PieceText
from tunewright.job.data.readers.fasttext import PREFIX
from tunewright.job.data.readers.lines import open_data, pieces
from tunewright.job.data.readers.reader import Layout
from tunewright.job.data.readers.tables.dialect import advice, dialect, separator
from tunewright.job.errors import DataError

_START = 2**16
"""Characters at the beginning of a file that are looked at."""
_MOST_KEYS = 100
"""Keys of an object that are looked at."""
_TAG = re.compile(r"O|[BIESLU]-\S+")
"""What stands in the last column of a file of named entities."""
_PANDAS = "write it with pandas' to_json(orient='records')"


@dataclass(frozen=True)
class Shape:
    """What a file is."""

    what: str
    format: str = ""
    """The format that reads it with no other setting; empty where that is not enough."""
    do: str = ""
    """What to do where a format is not enough."""
    is_table: bool = False
    """Whether it is a table, whose separator `job.data.readers.tables` finds or names."""

    def sentence(self, address: str) -> str:
        """What a user is told."""
        return f"{address} is {self.what}; {self.do or f'add `format: {self.format}` under data:'}"


_LINES = Shape("JSON objects, one a line", "jsonl")


def shape_of(path: Path, address: str, layout: Layout) -> Shape | None:
    """What the file is, looked at with the wanted columns of the layout; None where that cannot be told."""
    try:
        with open_data(path, address, layout.max_expansion) as file:
            text = pieces(file, address, layout.encoding)
            start = next(text, "")
            found = _json(start, itertools.chain([start], text), layout)
    except DataError:
        return None
    start = start[:_START].lstrip("\ufeff \t\r\n")
    if found or start[:1] in ("", "{", "["):
        return found
    return _markup(start) or _lines(start.splitlines(keepends=True), layout)


def _json(start: str, text: Iterator[str], layout: Layout) -> Shape | None:
    begins = re.match(r"\ufeff?\s*([\[{])\s*([^\s]?)\s*([^\s]?)", start)
    if begins is None:
        return None
    lines = [line for line in start[:_START].lstrip("\ufeff").splitlines() if line.strip()]
    one = _loaded(lines[0])
    follows = lines[1].lstrip()[:1] if len(lines) > 1 else ""
    if begins[1] == "[":
        return _array(begins[2], one, follows, layout) if begins[3] != "[" else None
    if isinstance(one, dict) and (follows == "{" or (not follows and _is_row(one, layout))):
        return _LINES
    if begins[2] == "'":
        return Shape("Python's notation, not JSON", do="write it with json.dumps, one object a line, as *.jsonl")
    try:
        return _object(PieceText(text), layout, isinstance(one, dict))
    except (ValueError, RecursionError):
        return None


def _loaded(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _is_row(value: object, layout: Layout) -> bool:
    """Whether an object holds the wanted columns, each with a value and not with all values of the column."""
    return isinstance(value, dict) and set(layout.wanted) <= set(value) and not holds_columns(value, layout)


def holds_columns(members: Mapping[str, object], layout: Layout) -> bool:
    """Whether every wanted key of an object holds many values, where one is meant."""
    wanted = [members[name] for name in layout.wanted if name in members]
    return len(wanted) > 1 and "tokens" not in layout.roles and all(isinstance(one, list | dict) for one in wanted)


def _array(inner: str, one: object, follows: str, layout: Layout) -> Shape | None:
    by_place = "{" + ", ".join(f"{json.dumps(name)}: .[{place}]" for place, name in enumerate(layout.wanted)) + "}"
    if inner == "{":
        return Shape("a JSON array of objects", "json")
    if isinstance(one, list) and follows == "[":
        return Shape(
            "JSON arrays, one a line, not objects", do=f"name their values: `jq -c '{by_place}' OLD > NEW.jsonl`"
        )
    if inner == "[":
        return Shape("a JSON array of arrays", do=f"name their values: `jq 'map({by_place})' OLD > NEW.json`")
    return None


def _columns(layout: Layout) -> str:
    return ", ".join(f'"{name}": ...' for name in layout.wanted)


def _object(text: PieceText, layout: Layout, is_line: bool) -> Shape:
    """The shape of text that begins with an object and does not hold one object a line."""
    members, behind = _members(text)
    lists = [key for key, value in members.items() if isinstance(value, list)]
    data = members.get("data")
    if isinstance(data, list) and data and isinstance(data[0], dict) and "paragraphs" in data[0]:
        return Shape("a file of questions as SQuAD has them", "squad")
    if isinstance(data, list) and isinstance(members.get("columns"), list):
        return Shape("a table as pandas writes it with orient='split'", do=_PANDAS)
    if behind in ("{", ","):
        what = "JSON objects that do not stand one a line" if behind == "{" else "JSON objects with commas between them"
        command = "`jq -c . OLD > NEW.jsonl`" if behind == "{" else "`(echo '['; cat OLD; echo ']') > NEW.json`"
        last = "" if behind == "{" else ", without a comma behind the last"
        return Shape(what, do=f"{command} writes what is read{last}")
    if holds_columns(members, layout):
        return Shape("one JSON object that holds a whole column under each key", do=_PANDAS)
    if members and all(_is_row(value, layout) for value in members.values()):
        return Shape(
            "one JSON object that holds a row under each key", do="`jq '[.[]]' OLD > NEW.json` writes what is read"
        )
    if _is_row(members, layout):
        return Shape("one JSON object", do="`jq -c . OLD > NEW.jsonl` writes what is read")
    if is_line and not lists:
        return _LINES
    return _of_lists(members, lists, layout)


def _of_lists(members: Mapping[str, object], lists: Sequence[str], layout: Layout) -> Shape:
    if not lists:
        return Shape(
            f"one JSON object with the keys {listed(map(shown, members), 5) or 'none'}",
            do="expected objects, such as {" + _columns(layout) + "}, in an array or one a line",
        )
    key = lists[0]
    held = members[key]
    inner = held[:1] if isinstance(held, list) else []
    turned = ""
    if inner and isinstance(inner[0], list):
        by_place = ", ".join(f"{json.dumps(name)}: .[{place}]" for place, name in enumerate(layout.wanted))
        turned = f" | map({{{by_place}}})"
    return Shape(
        f"one JSON object whose key {shown(key)} holds a list",
        do=f"write the list under each key to a file of its own: `jq '.[{json.dumps(key)}]{turned}' OLD > NEW.json`",
    )


def _members(text: PieceText) -> tuple[dict[str, object], str]:
    """The keys of the object, each with its value or the beginning of it, and what stands behind the object.

    That is unknown ("?") where the reading ended at a list that is too long to be read.
    """
    members: dict[str, object] = {}
    text.take()
    while text.peek() == '"' and len(members) < _MOST_KEYS:
        key = str(text.value())
        if text.take() != ":":
            raise ValueError("no JSON object")
        if text.peek() == "[":
            members[key], is_whole = _head(text)
            if not is_whole:
                return members, "?"
        else:
            members[key] = text.value()
        if text.peek() == ",":
            text.take()
    return members, text.peek() if text.take() == "}" else "?"


def _head(text: PieceText) -> tuple[list[object], bool]:
    """The first elements of a list, and whether these are all."""
    found: list[object] = []
    text.take()
    while text.peek() not in ("]", "") and len(found) < _MOST_KEYS:
        found.append(text.value())
        if text.peek() == ",":
            text.take()
    return found, text.take() == "]"


def _markup(start: str) -> Shape | None:
    if re.match(r"<(!doctype html|html|head|body|table)\b", start, re.IGNORECASE):
        return Shape("a web page (HTML)", do="download the file itself, not the page that shows it")
    if re.match(r"<(\?xml|!--|!doctype|[A-Za-z][\w:.-]*[\s/>])", start, re.IGNORECASE):
        return Shape("XML", do="which is not read; write its rows as CSV, JSON or Parquet")
    return None


def _lines(lines: list[str], layout: Layout) -> Shape | None:
    if len(lines) > 1 and not lines[-1].endswith("\n"):
        # It may be cut off.
        lines = lines[:-1]
    return _fasttext(lines) or _conll(lines, layout) or _table(lines[:50], layout)


def _fasttext(lines: Sequence[str]) -> Shape | None:
    written = [line for line in lines if line.strip()]
    if not written or sum(line.startswith(PREFIX) for line in written) < 0.9 * len(written):
        return None
    return Shape(f"lines of fastText, each with {PREFIX} before its labels", "fasttext")


def _conll(lines: Sequence[str], layout: Layout) -> Shape | None:
    """Words with their tags, by what stands in the columns or by what the task wants."""
    tokens = [line for line in lines if line.strip() and not line.startswith(("#", "-DOCSTART-"))]
    cells = [line.rstrip("\r\n").split("\t") for line in tokens]
    if cells and all(len(row) == 10 and row[0][:1].isdecimal() for row in cells):
        return Shape("CoNLL-U", "conllu")
    cells = [line.split() for line in tokens]
    widths = {len(row) for row in cells}
    if len(cells) < 2 or len(widths) != 1 or widths.pop() < 2:
        return None
    are_tags = sum(bool(_TAG.fullmatch(row[-1])) for row in cells) > 0.9 * len(cells)
    are_sentences = any(not line.strip() for line in lines)
    if are_tags or (are_sentences and "tags" in layout.roles):
        return Shape("lines of a word and its tag (CoNLL)", "conll")
    return None


def _table(lines: Sequence[str], layout: Layout) -> Shape | None:
    table = Layout("csv", wanted=layout.wanted, roles=layout.roles)
    if not lines or not layout.wanted:
        return None
    for above in range(min(len(lines), 20)):
        guess = dialect(lines[above : above + 20], table)
        if guess:
            return Shape("a table", "tsv" if guess.delimiter == "\t" else "csv", is_table=True)
    found = separator(lines[:20], table)
    if found is None:
        return None
    return Shape("a table", do=f"add `format: csv` under data:; {advice(lines, found, table)}", is_table=True)

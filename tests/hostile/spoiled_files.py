"""Sound data files of every format and sound objects of a registry, and seeded changes of them."""

import copy
import gzip
import hashlib
import io
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from mutations import VALUES, spoiled, spoiled_json

from tunewright.registry.versions.document import seal
from tunewright.registry.versions.layout import blob_key, move_key, run_key, version_key

ROWS = [
    {"text": f'row {number}, "quoted"; it\'s naïve 东京 👩', "label": ["good", "bad", "so so"][number % 3]}
    for number in range(12)
]
ANSWER = {"text": "tide", "answer_start": 2}
PARAGRAPH = {
    "context": "A tide is the rise and fall of the sea.",
    "qas": [{"id": number, "question": "What is it?", "answers": [ANSWER]} for number in ("a", "b")],
}
QUESTIONS = {"version": "1.1", "data": [{"title": "Sea", "paragraphs": [PARAGRAPH]} for _ in range(3)]}


def table(rows: list[list[str]], separator: str) -> str:
    """Lines of cells, quoted where they must be."""
    quoted = [[f'"{cell.replace(chr(34), 2 * chr(34))}"' if separator == "," else cell for cell in row] for row in rows]
    return "".join(separator.join(row) + "\n" for row in quoted)


CELLS = [["text", "label"], *([row["text"], row["label"]] for row in ROWS)]


def changed_table(separator: str) -> Callable[[Random], bytes]:
    """A table of which one cell is another value, or bytes are changed."""

    def make(random: Random) -> bytes:
        cells = copy.deepcopy(CELLS)
        if random.random() < 0.5:
            random.choice(cells)[random.randrange(2)] = random.choice(VALUES)
            return table(cells, separator).encode()
        return spoiled(table(cells, separator).encode(), random)

    return make


def changed_json(content: Any) -> Callable[[Random], bytes]:
    """JSON with one place changed, or with changed bytes."""

    def make(random: Random) -> bytes:
        return spoiled(json.dumps(content).encode(), random) if random.random() < 0.4 else json_of(content, random)

    return make


def json_of(content: Any, random: Random) -> bytes:
    """JSON with one place changed, as bytes that may hold half a character."""
    return spoiled_json(content, random).encode("utf-8", "surrogatepass")


def changed_lines(random: Random) -> bytes:
    """Rows of JSON of which one is changed, or bytes of them."""
    lines = [json.dumps(row, ensure_ascii=False).encode() for row in ROWS]
    if random.random() < 0.6:
        lines[random.randrange(len(lines))] = json_of(random.choice(ROWS), random)
        return b"\n".join(lines)
    return spoiled(b"\n".join(lines), random)


def changed_parquet(random: Random) -> bytes:
    """A Parquet file with changed bytes, more often where it describes itself; or with columns of rare types."""
    columns: dict[str, Any] = {name: [row[name] for row in ROWS] for name in ("text", "label")}
    if random.random() < 0.3:
        columns[random.choice(["text", "label", "more"])] = pa.array(*random.choice(ARRAYS))
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, compression=random.choice(["none", "snappy", "gzip", "zstd"]))
    data = file.getvalue()
    if random.random() < 0.2:
        return data
    at = len(data) - int.from_bytes(data[-8:-4], "little") - 8 if random.random() < 0.7 else 0
    return data[:at] + spoiled(data[at:], random)


def changed_arrow(random: Random) -> bytes:
    """An Arrow file of either form with changed bytes, some inside compressed columns."""
    columns: dict[str, Any] = {name: pa.array([row[name] for row in ROWS]) for name in ("text", "label")}
    if random.random() < 0.3:
        columns[random.choice(["text", "label", "more"])] = pa.array(*random.choice(ARRAYS))
    if random.random() < 0.5 and pa.types.is_string(columns["label"].type):
        columns["label"] = columns["label"].dictionary_encode()
    table, file = pa.table(columns), io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=random.choice([None, "lz4", "zstd"]))
    write = random.choice([pa.ipc.new_stream, pa.ipc.new_file])
    with write(file, table.schema, options=options) as writer:
        writer.write_table(table)
    return file.getvalue() if random.random() < 0.1 else spoiled(file.getvalue(), random)


NUMBERS = list(range(len(ROWS)))
ARRAYS: list[tuple[Any, ...]] = [
    (NUMBERS, pa.decimal128(38, 10)),
    (NUMBERS, pa.timestamp("ns", tz="Pacific/Auckland")),
    (NUMBERS, pa.time64("ns")),
    (NUMBERS, pa.duration("ns")),
    ([[(b"a", number)] for number in NUMBERS], pa.map_(pa.binary(), pa.float64())),
    ([{"": [number]} for number in NUMBERS], pa.struct([("", pa.list_(pa.int8()))])),
    ([b"\xff\xfe" for _ in NUMBERS], pa.large_binary()),
    ([None for _ in NUMBERS], pa.null()),
    ([9e18 for _ in NUMBERS], pa.float32()),
]
CONLL = (
    "".join(f"Ada{n}\tB-PER\nlives O\nin O\nParis B-LOC\n\n" for n in range(6))
    .replace(" O", "\tO")
    .replace(" B", "\tB")
)
CONLLU = "".join(
    f"# sent_id = {n}\n1-2\tdes\t_\t_\t_\t_\t_\t_\t_\t_\n"
    + "".join(f"{i}\tword\tword\tB-THING\tNN\tNumber=Sing\t{i - 1}\tdep\t_\t_\n" for i in range(1, 4))
    + "\n"
    for n in range(4)
)
PLAIN = "".join(f"A line of text, number {n}.\n" + "\n" * (n % 3 == 0) for n in range(20))


def changed_bytes(text: str) -> Callable[[Random], bytes]:
    """The text with changed bytes, now and then with a line that nobody writes."""

    def make(random: Random) -> bytes:
        lines = text.split("\n")
        if random.random() < 0.4:
            lines.insert(random.randrange(len(lines)), random.choice(VALUES) + random.choice(["", "\tO", " _ _"]))
        return spoiled("\n".join(lines).encode(), random)

    return make


def zipped(make: Callable[[Random], bytes]) -> Callable[[Random], bytes]:
    """A compressed file: changed before, or after."""

    def make_zipped(random: Random) -> bytes:
        data = gzip.compress(make(random), mtime=0)
        return spoiled(data, random) if random.random() < 0.7 else data

    return make_zipped


DATA: dict[str, tuple[str, dict[str, Any], Callable[[Random], bytes]]] = {
    "csv": ("text-classification", {}, changed_table(",")),
    "tsv": ("text-classification", {}, changed_table("\t")),
    "json": ("text-classification", {}, changed_json(ROWS)),
    "jsonl": ("text-classification", {}, changed_lines),
    "parquet": ("text-classification", {}, changed_parquet),
    "arrow": ("text-classification", {}, changed_arrow),
    "squad.json": ("question-answering", {"format": "squad"}, changed_json(QUESTIONS)),
    "conll": ("token-classification", {}, changed_bytes(CONLL)),
    "conllu": ("token-classification", {}, changed_bytes(CONLLU)),
    "txt": ("masked-language-modelling", {}, changed_bytes(PLAIN)),
    "csv.gz": ("text-classification", {}, zipped(changed_table(","))),
    "jsonl.gz": ("text-classification", {}, zipped(changed_lines)),
}
"""How a file's name ends, to the task that reads it, its settings beside `train`, and what makes one."""


def changed_record(folder: Path, random: Random) -> None:
    """A record with one place changed, more often than not with the seal of what it holds then."""
    path = folder / random.choice(RECORDS)
    fields = {name: value for name, value in json.loads(path.read_bytes()).items() if name != "sha256"}
    data = json_of(fields, random)
    if random.random() < 0.8:
        with suppress(ValueError, TypeError, RecursionError):
            data = seal(json.loads(data))
    path.write_bytes(data)


def changed_manifest(folder: Path, random: Random) -> None:
    """A manifest with one place changed, named by the record with its own digest."""
    path = folder / version_key("reviews", 1)
    record = {name: value for name, value in json.loads(path.read_bytes()).items() if name != "sha256"}
    data = json_of(json.loads((folder / blob_key(record["digest"])).read_bytes()), random)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    (folder / blob_key(digest)).write_bytes(data)
    path.write_bytes(seal(record | {"digest": digest}))


def changed_object(folder: Path, random: Random) -> None:
    """The bytes of any object."""
    path = random.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    path.write_bytes(spoiled(path.read_bytes(), random))


def changed_name(folder: Path, random: Random) -> None:
    """An object under a name that no publisher gives."""
    path = random.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    names = [path.name.upper(), "x" + path.name, path.name * 2, f"{10**19}.json", "\u202e.json", ".json", " "]
    path.rename(path.with_name(random.choice(names)))


RECORDS = [version_key("reviews", 1), version_key("reviews", 2), run_key("reviews", "one")]
RECORDS += [move_key("reviews", "production", 1), move_key("reviews", "production", 2)]
OBJECTS = [*[changed_record] * 3, changed_manifest, changed_object, changed_name]
"""What changes a registry with two versions of `reviews` and two moves of its alias."""


def changed_model(folder: Path, random: Random) -> None:
    """A model.json with one place changed, or bytes of it."""
    path = folder / "model.json"
    path.write_bytes(changed_json(json.loads(path.read_bytes()))(random))


def changed_tokenizer(folder: Path, random: Random) -> None:
    """A tokenizer.json with one place changed, seldom in its long vocabulary, or bytes of it."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_bytes())
    if random.random() < 0.2:
        path.write_bytes(spoiled(path.read_bytes(), random))
        return
    words, content["model"]["vocab"] = content["model"]["vocab"], "words"
    path.write_bytes(json_of(content, random).replace(b'"words"', json.dumps(words).encode()))


def changed_graph(folder: Path, random: Random) -> None:
    """A graph with changed bytes."""
    path = folder / "onnx/fp32/model.onnx"
    path.write_bytes(spoiled(path.read_bytes(), random))


BUNDLES = [changed_model, changed_model, changed_tokenizer, changed_tokenizer, changed_graph]
"""What changes the files of a version before it is published."""

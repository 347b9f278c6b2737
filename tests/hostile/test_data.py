"""Data files made to exhaust a reader: each ends in a sentence, within 10 seconds of processor time and 1 GiB."""

import gzip
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

GIB = 1 << 30
CPU_SECONDS = 10
PROGRAM = """
import os, resource, sys
from pathlib import Path
from tunewright.job.data.check import check
from tunewright.job.data.columns import read_roles
from tunewright.job.errors import DataError
from tunewright.job.settings.data import DataSettings
from tunewright.job.data.sources.fetch import fetch
from tunewright.job.tasks import TASKS

def read(name, folder):
    data, task = DataSettings(train=name), TASKS["text-classification"]
    try:
        check(fetch(data.train, folder), task, read_roles(data, task.forms), data, folder / "rows.arrow")
    except DataError as error:
        return str(error)
    return "read"

for name in sys.argv[2:]:
    child = os.fork()
    if not child:
        used = resource.getrusage(resource.RUSAGE_SELF)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + {seconds},) * 2)
        Path(name + ".said").write_text(read(name, Path(sys.argv[1])))
        Path(name + ".memory").write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used.ru_maxrss))
        os._exit(0)
    os.waitpid(child, 0)
"""


def ragged(path):
    rows = "".join("a" + ",b" * (number + 3) + "\n" for number in range(1200))
    path.write_text(f"text,label,{'N' * (4 << 20)}\n{rows}")


def ragged_without_a_header(path):
    path.write_text("text,label\n" + "".join("a" + ",b" * (number % 3000 + 3) + "\n" for number in range(2500)))


def wide_header(path):
    path.write_text("text,label," + ",".join(f"c{number}" for number in range(100_000)) + "\n")


def wide_rows(path):
    path.write_text("text,label\n" + ",".join("x" * 3 for _ in range(2_000_000)) + "\n")


def keys(path):
    path.write_text(json.dumps({f"key {number}": 1 for number in range(300_000)}) + "\n")


def long_key(path):
    path.write_text(json.dumps({"k" * (8 << 20): 1}) + "\n")


def many_kinds(path):
    path.write_text(
        "".join(json.dumps({f"k{number}": 1}) + "\n" + json.dumps([number]) + "\n" for number in range(50_000))
    )


def nulls(path):
    schema = pa.schema([("text", pa.null()), ("label", pa.null())])
    with pq.ParquetWriter(path, schema) as writer:
        for _ in range(5):
            writer.write_table(pa.table({"text": pa.nulls(40_000_000), "label": pa.nulls(40_000_000)}))


def null_strings(path):
    table = pa.table({"text": pa.nulls(20_000_000, pa.string()), "label": pa.nulls(20_000_000, pa.string())})
    pq.write_table(table, path)


def arrow(path, table, **options):
    with pa.ipc.new_stream(str(path), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)


def arrow_nulls(path):
    arrow(path, pa.table({"text": pa.nulls(200_000_000), "label": pa.nulls(200_000_000)}))


def arrow_of_one_long_text(path):
    arrow(path, pa.table({"text": ["x" * (200 << 20)], "label": ["a"]}), compression="zstd")


def arrow_of_lists_of_nulls(path):
    inside = pa.ListArray.from_arrays(pa.array([0, 2**31 - 1], pa.int32()), pa.nulls(2**31 - 1))
    arrow(path, pa.table({"text": ["x"], "label": ["a"], "labels": inside}))


def arrow_of_one_value_many_times(path):
    """A row whose list holds a text of a megabyte ten million times."""
    words = pa.DictionaryArray.from_arrays(np.zeros(10_000_000, np.int8), ["x" * (1 << 20)])
    lists = pa.ListArray.from_arrays(pa.array([0, len(words)], pa.int32()), words)
    arrow(path, pa.table({"text": lists, "label": ["a"]}))


def flipped_name(path):
    pq.write_table(pa.table({"text": ["x"], "label": ["a"]}), path)
    data = bytearray(path.read_bytes())
    places = [at for at in range(len(data) - 5) if data[at : at + 5] == b"label"]
    for at in places:
        data[at] = 0xFF
    path.write_bytes(data)


def zipped_rows(path):
    path.write_bytes(gzip.compress(b"a,b\n" * (64 << 20), 9))


def zipped_line(path):
    path.write_bytes(gzip.compress(b"text,label\n" + b"x" * (300 << 20)))


def deep(path):
    path.write_text("[" * 200_000 + "\n")


def deep_value(path):
    path.write_text('{"text": ' + "[" * 900 + '"\\ud800"' + "]" * 900 + ', "label": "a"}\n')


BOMBS = {
    "a.csv": ragged, "b.csv": ragged_without_a_header, "c.csv": wide_header, "d.csv": wide_rows, "e.jsonl": keys,
    "f.jsonl": long_key, "g.jsonl": many_kinds, "h.parquet": nulls, "i.parquet": null_strings,
    "j.parquet": flipped_name, "p.arrow": arrow_nulls, "q.arrow": arrow_of_one_long_text,
    "r.arrow": arrow_of_lists_of_nulls, "s.arrow": arrow_of_one_value_many_times,
    "k.csv.gz": zipped_rows, "l.csv.gz": zipped_line, "m.jsonl": deep, "n.json": deep, "o.jsonl": deep_value,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of bombs, each read by a child of one program with limits of its own."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, make in BOMBS.items():
        make(folder / name)
    names = [str(folder / name) for name in BOMBS]
    command = [sys.executable, "-c", PROGRAM.format(seconds=CPU_SECONDS), str(folder), *names]
    subprocess.run(command, stdout=subprocess.DEVNULL, timeout=500, check=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_file_made_to_exhaust_the_reader_is_a_sentence(name, folder):
    said = folder / f"{name}.said"
    assert said.exists(), "the limit of processor time was reached"
    assert name in said.read_text()
    assert len(said.read_text()) < 8_000
    assert int((folder / f"{name}.memory").read_text()) << 10 < GIB

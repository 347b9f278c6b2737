"""Our readers and our row files beside the library `datasets`: rows a second, processor time, memory, and what is said.

Every figure is the median of five fresh processes; one thread. `python tests/bench/bench_rows.py`
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS = 100_000
TIMES = 5
BATCH = 1024
FORMATS = ("jsonl", "csv", "parquet")
FAULTS = {
    "NA.csv": "text,label\nNA,a\nx,b\n",
    "zeros.csv": "text,label\nx,007\ny,01\n",
    "missing.jsonl": '{"text": "x", "label": "a"}\n{"text": "y"}\n',
    "broken.jsonl": '{"text": "x", "label": "a"}\n{"text": "y", \n',
    "latin.csv": b"text,label\nx,a\ncaf\xe9,b\n",
}


def write_data(folder: Path) -> None:
    """The same rows in every format, and files with faults."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghij", k=draw.randint(2, 9))) for _ in range(5000)]
    rows = [
        {"text": " ".join(draw.choices(words, k=draw.randint(5, 40))), "label": draw.choice(["good", "bad", "fair"])}
        for _ in range(ROWS)
    ]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = pa.Table.from_pylist(rows)
    pa.csv.write_csv(table, folder / "a.csv")
    pa.parquet.write_table(table, folder / "a.parquet")
    for name, content in FAULTS.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def check_file(name: str, folder: Path) -> int:
    """Read and check a file into rows on disk, as the job does."""
    from tunewright.job.data.check import check
    from tunewright.job.data.columns import read_roles
    from tunewright.job.data.sources.fetch import fetch
    from tunewright.job.settings.data import DataSettings
    from tunewright.job.tasks import TASKS

    settings, task = DataSettings(train=str(folder / name)), TASKS["text-classification"]
    started = time.process_time()
    target = folder / f"{os.getpid()}.rows"
    checked = check(fetch(settings.train, folder), task, read_roles(settings, task.forms), settings, target)
    tell(started, len(checked.data))
    return len(checked.data)


def prepare_file(name: str, folder: Path) -> int:
    """All of the job up to the split, which uses rows again that it has checked before."""
    from tunewright.job.settings.job import JobSettings
    from tunewright.job.steps.prepare import prepare

    settings = JobSettings.model_validate({"model_name": "x", "data": {"train": str(folder / name)}})
    started = time.process_time()
    found = prepare(settings, folder / "cache", folder / f"{os.getpid()}.work")
    tell(started, sum(found.facts["rows"].values()))
    return 0


def load_file(name: str, folder: Path) -> int:
    """Read a file by the library's own reader into its cache."""
    import datasets

    datasets.disable_progress_bars()
    kind = {"jsonl": "json"}.get(name.rpartition(".")[2], name.rpartition(".")[2])
    started = time.process_time()
    cache = str(folder / f"{os.getpid()}.cache")
    found = datasets.load_dataset(kind, data_files=str(folder / name), split="train", cache_dir=cache)
    tell(started, len(found))
    if name in FAULTS:
        print("SAID " + json.dumps(found[:]))
    return len(found)


def tell(started: float, rows: int) -> None:
    used = time.process_time() - started
    print(f"FIGURE rows_s {rows / used:.0f}")
    tell_process()


def tell_process() -> None:
    """Processor time and the highest memory of this process alone: getrusage tells that of its parent too."""
    peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    print(f"FIGURE cpu_s {time.process_time():.2f}\nFIGURE peak_mb {int(peak) / 1024:.0f}")


def ours(folder: Path) -> None:
    """Batches in order and at random from our own row file."""
    from tunewright.job.data.dataset import open_dataset

    data = open_dataset(folder / "kept.arrow")
    read(len(data), lambda places: next(data.select(places).batches(len(places))))


def theirs(folder: Path) -> None:
    """The same by the library, from the same file."""
    import datasets

    data = datasets.Dataset.from_file(str(folder / "kept.arrow")).with_format("arrow")
    read(len(data), lambda places: data[places].to_pylist())


def read(rows: int, take) -> None:
    """Every row once in order, then half of them at random, 32 at a time."""
    places = list(range(rows))
    started = time.process_time()
    for start in range(0, rows, BATCH):
        take(range(start, min(rows, start + BATCH)))
    print(f"FIGURE in_order {rows / (time.process_time() - started):.0f}")
    random.Random(2).shuffle(places)
    started = time.process_time()
    for start in range(0, rows // 2, 32):
        take(places[start : start + 32])
    print(f"FIGURE at_random {rows / 2 / (time.process_time() - started):.0f}")
    tell_process()


def keep(folder: Path) -> None:
    """The rows as both keep them."""
    import pyarrow as pa

    from tunewright.job.data.dataset import DatasetWriter

    rows = [json.loads(line) for line in (folder / "a.jsonl").open()]
    types = (pa.large_string(), pa.list_(pa.string()))
    writer = DatasetWriter(folder / "kept.arrow", types)
    for row in rows:
        writer.add(row["text"], [row["label"]])
    writer.close()


def child(*arguments: str) -> tuple[dict[str, float], str]:
    """The figures of one fresh process, and the last line of what it said."""
    command = [sys.executable, __file__, *arguments]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    figures = dict(line.split()[1:] for line in done.stdout.splitlines() if line.startswith("FIGURE "))
    said = [line[5:] for line in done.stdout.splitlines() if line.startswith("SAID ")] or done.stderr.splitlines()[-1:]
    return {name: float(value) for name, value in figures.items()}, said[0] if said else ""


def medians(*arguments: str) -> str:
    runs = [child(*arguments)[0] for _ in range(TIMES)]
    return "  ".join(f"{name} {statistics.median(run[name] for run in runs):,.2f}" for name in runs[0])


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder)
        keep(folder)
        for kind in FORMATS:
            for who in ("check_file", "load_file"):
                print(f"{who:10} {kind:8} {medians(who, f'a.{kind}', name)}", flush=True)
        print(f"{'first':10} {'jsonl':8} {child('prepare_file', 'a.jsonl', name)[0]}", flush=True)
        print(f"{'again':10} {'jsonl':8} {medians('prepare_file', 'a.jsonl', name)}", flush=True)
        for who in ("ours", "theirs"):
            print(f"{who:10} {'rows':8} {medians(who, name)}", flush=True)
        for fault in FAULTS:
            for who in ("check_file", "load_file"):
                print(f"{who:10} {fault:14} {child(who, fault, name)[1]}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    elif sys.argv[1] in ("ours", "theirs"):
        globals()[sys.argv[1]](Path(sys.argv[2]))
    else:
        globals()[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))

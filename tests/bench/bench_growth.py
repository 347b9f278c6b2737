"""Memory and processor time of a job's data as its rows grow, stage by stage, without a model.

Rows of 12 words, of one label out of 20 or of 1 to 5 out of 20 (`--labels 1000` for more). Memory is what the process
has for itself, the most of it in a stage above what it had after 500 rows: mapped files are no part of it. One
thread. `python tests/bench/bench_growth.py --rows 100000 1000000`
"""

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

LENGTH, BATCH, SEED = 12, 32, 1
KINDS = ("single", "several")


def write_rows(path: Path, rows: int, labels: int, kind: str) -> list[str]:
    """A CSV file of random words, and the words."""
    draw = random.Random(SEED)
    words = ["".join(draw.choices("abcdefghij", k=draw.randint(2, 9))) for _ in range(5000)]
    with path.open("w") as file:
        file.write("text,label\n" if kind == "single" else "text,labels\n")
        for _ in range(rows):
            several = draw.sample(range(labels), 1 if kind == "single" else draw.randint(1, 5))
            file.write(
                " ".join(draw.choices(words, k=LENGTH)) + "," + "|".join(f"label {one}" for one in several) + "\n"
            )
    return words


def write_tokenizer(path: Path, words: list[str]) -> None:
    """One token for each word."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(
        models.WordLevel({"[PAD]": 0, "[UNK]": 1} | {w: n for n, w in enumerate(sorted(set(words)), 2)}, "[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path))


def own_mb() -> float:
    """Memory that is the process's own, without mapped files."""
    found = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "RssAnon" in line)
    return int(found) / 1024


@contextlib.contextmanager
def stage(name: str, start: float) -> Iterator[None]:
    """Print what a stage takes: processor seconds, the most memory in it, and what is left after it."""
    most, over = [own_mb()], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            most[0] = max(most[0], own_mb())

    watcher, began = threading.Thread(target=watch), time.process_time()
    watcher.start()
    yield
    over.set()
    watcher.join()
    used, left = time.process_time() - began, own_mb()
    print(
        f"    {name:28} {used:7.1f} s  most {max(most[0], left) - start:+7.0f} MB  left {left - start:+7.0f} MB",
        flush=True,
    )


def measure(folder: Path, kind: str) -> None:
    """All stages over the rows of a folder."""
    from tunewright.job.batches.by_length import LengthGroupedBatches
    from tunewright.job.batches.text import TextRows, encode
    from tunewright.job.settings.job import JobSettings
    from tunewright.job.steps.prepare import prepare
    from tunewright.serving.text.cleaning import Cleaning
    from tunewright.serving.text.encoding import Encoder, Padding

    columns = {} if kind == "single" else {"label_separator": "|", "columns": {"labels": "labels"}}

    def settings_of(name: str) -> JobSettings:
        return JobSettings.model_validate({"model_name": "x", "data": {"train": str(folder / name), **columns}})

    encoder = Encoder(folder / "tokenizer.json", max_length=64, padding=Padding(id=0), cleaning=Cleaning())
    # What is imported on the way is no part of what rows take.
    warm = prepare(settings_of("warm.csv"), folder / "cache", folder / "work").train
    encode(warm.data, encoder, warm.targets, folder / "warm", on_rows=lambda rows: None)
    settings, start = settings_of("rows.csv"), own_mb()
    with stage("read, check, split", start):
        prepare(settings, folder / "cache", folder / "work")
    with stage("split, checked before", start):
        train = prepare(settings, folder / "cache", folder / "work").train
    with stage("encode", start):
        split = encode(train.data, encoder, train.targets, folder / "encoded", on_rows=lambda rows: None)
    with stage("batches of an epoch", start):
        rows = TextRows(split, encoder, ["input_ids", "attention_mask"])
        batches = LengthGroupedBatches(rows.lengths, BATCH, SEED, room=BATCH * 64)
        for step in batches.steps():
            for part in step:
                rows.batch(part)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    asked.add_argument("--labels", type=int, default=20)
    asked.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    given = asked.parse_args()
    for rows in given.rows:
        for kind in given.kinds:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                write_rows(folder / "warm.csv", 500, 20, kind)
                write_tokenizer(folder / "tokenizer.json", write_rows(folder / "rows.csv", rows, given.labels, kind))
                print(f"{rows:,} rows, {kind}, {given.labels} labels", flush=True)
                one = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
                command = [sys.executable, __file__, "measure", name, kind]
                subprocess.run(command, check=True, env=os.environ | one, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(Path(sys.argv[2]), sys.argv[3])
    else:
        main()

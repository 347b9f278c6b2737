"""`make bench-distill`: a model with fewer layers, alone and taught by the whole one: accuracy, size and time a text.

SST-2: 1,000 rows teach, 300 validate, the 872 of dev test; 3,000 more have no label. Each student is a whole job with
the layers of all-MiniLM-L6-v2 that it names, and the exported fp32 file is measured. Printed as a table with the mean
and the spread of the seeds, and written to var/bench/distill.json, from where a run that was stopped goes on.

Data: $TUNEWRIGHT_DATA.
"""

import argparse
import contextlib
import csv
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.job.recipe import run
from tunewright.job.settings.job import JobSettings
from tunewright.registry.settings import RegistrySettings

OUT = Path("var/bench/distill.json")
SIZES = {"train": 1000, "validation": 300, "unlabelled": 3000}
TAUGHT = {"teacher": "whole", "weight": 0.9, "temperature": 2}
STUDENTS: dict[str, dict[str, Any]] = {
    "6 layers, the teacher": {},
    "3 lowest": {"keep_layers": 3},
    "3 lowest, taught": {"keep_layers": 3, "distill": TAUGHT},
    "4 lowest": {"keep_layers": 4},
    "4 lowest, taught": {"keep_layers": 4, "distill": TAUGHT},
    "3 spread (0, 2, 5)": {"keep_layers": [0, 2, 5]},
    "3 lowest, taught with unlabelled": {"keep_layers": 3, "distill": TAUGHT, "unlabelled": True},
    "3 lowest, pseudo-labels": {"keep_layers": 3, "pseudo_labels": {"floor": 0.9, "share": 3}, "unlabelled": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--students", nargs="+", help="some of: " + ", ".join(STUDENTS))
    asked = parser.parse_args()
    data = os.environ.get("TUNEWRIGHT_DATA")
    if not data:
        sys.exit("bench-distill needs the data sets: set TUNEWRIGHT_DATA to their folder")
    rows = json.loads(OUT.read_text()) if OUT.is_file() else []
    for seed in range(1, asked.seeds + 1):
        work = OUT.with_suffix("") / str(seed)
        done = [row["student"] for row in rows if row["seed"] == seed]
        if not done:
            shutil.rmtree(work, ignore_errors=True)
        sides = cut(Path(data), work, seed)
        for name in [name for name in STUDENTS if name not in done and (not asked.students or name in asked.students)]:
            train = STUDENTS[name]
            rows.append({"student": name, "seed": seed, **measured(dict(train), sides, work, seed)})
            print(rows[-1], flush=True)
            OUT.write_text(json.dumps(rows, indent=2))
    show(rows)


def cut(data: Path, work: Path, seed: int) -> dict[str, str]:
    """The sides as files."""
    work.mkdir(parents=True, exist_ok=True)
    rows = _rows(data / "sst2/train.tsv")
    order, start = np.random.default_rng(seed).permutation(len(rows)), 0
    for side, size in SIZES.items():
        _write(work / f"{side}.csv", (rows[number] for number in order[start : start + size]))
        start += size
    _write(work / "test.csv", _rows(data / "sst2/dev.tsv"))
    return {side: str(work / f"{side}.csv") for side in (*SIZES, "test")}


def measured(train: dict[str, Any], sides: dict[str, str], work: Path, seed: int) -> dict[str, float]:
    """One job, and what its fp32 file is."""
    is_teacher = not train
    given = dict(sides)
    if not train.pop("unlabelled", False):
        del given["unlabelled"]
    settings = JobSettings(
        model_name="whole" if is_teacher else "student",
        data={**given, "columns": {"text": "text", "label": "label"}},
        train={"epochs": 3, "seed": seed, **train},
        export={"variants": ["fp32"], "explained_rows": 0},
        output=str(work / "runs"),
    )
    registry = RegistrySettings(uri=str(work / "registry"), cache=Path("var/cache"))
    started = time.process_time()
    with (work / "log").open("a") as log, contextlib.redirect_stdout(log):
        released = run(settings, registry).release
    assert released is not None
    found = released.evaluations["fp32"]
    return {
        "accuracy": found.metrics["accuracy"],
        "MiB": released.sizes["fp32"] / 2**20,
        "ms a text": found.ms_per_text,
        "cpu seconds": round(time.process_time() - started, 1),
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Mean and standard deviation over the seeds."""
    figures = [name for name in rows[0] if name not in ("student", "seed")]
    print(f"{'':34}" + "".join(f"{name:>18}" for name in figures))
    for name in [name for name in STUDENTS if any(row["student"] == name for row in rows)]:
        cells = []
        for figure in figures:
            values = [row[figure] for row in rows if row["student"] == name]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):10.3f} ± {spread:5.3f}")
        print(f"{name:34}" + "".join(cells))


def _rows(path: Path) -> list[tuple[str, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(text, label) for text, _, label in (line.rpartition("\t") for line in lines)]


def _write(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(rows)


if __name__ == "__main__":
    main()

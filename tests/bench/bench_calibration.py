"""`make bench-calibration`: how far scores are from how often they are right, before the temperature and with it.

Sets of `make bench-tasks` (cases.py), learned as there from all-MiniLM-L6-v2 but in folders of this machine and without
a server: the temperature is fitted on a tenth of the training rows that is kept for validation, and the expected
calibration error (ECE) of fp32 and int8 is that of the test rows, as report/metrics.json has it, with its 95 %
interval. Printed as a table, and written to var/bench/calibration.json. The goal: at most 0.03 as served, and never
worse than before. A set is learned once for each of SEEDS; the mean of its errors is what is held against the goal.

Each is also asked rows that have none of its labels (`data.out_of_scope`), to see how well scores tell them from test
rows: sentences about films and news where it knows questions to a bank, questions to a bank and news where it knows
films; and in banking77-58 the test rows of 19 labels of banking77 that it was not taught, in the same words as those
that it was. `export.abstain` is 0.05: what is answered from the score that the job chose is in the second table.

Data: $TUNEWRIGHT_DATA.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import yaml
from cases import CASES
from sources import Sides

OUT = Path("var/bench/calibration.json")
WORK = Path("var/bench/calibration")
ABSTAIN = 0.05
_TAUGHT = 58
"""Labels of the 77 that banking77-58 is taught, the first of a permutation with the seed 0."""
_NEWS = 1000
MOST = 0.03
"""The error of served scores that is aimed at."""
Figures = dict[str, dict[str, Any]]


def rows_of(path: Path, kind: str = "comma") -> list[list[str]]:
    """Cells of each row of a file without a header, or with the header as its first row."""
    with path.open(newline="", encoding="utf-8") as file:
        if kind == "tab":
            return list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        return list(csv.reader(file))


def written(path: Path, rows: list[list[str]], kind: str = "comma") -> str:
    """The name of a file with these rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        if kind == "tab":
            csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None).writerows(rows)
        else:
            csv.writer(file).writerows(rows)
    return path.name


def news(data: Path) -> list[str]:
    """Headlines and first sentences."""
    return [f"{title} . {text}" for _, title, text in rows_of(data / "ag_news/test.csv")[:_NEWS]]


def strangers_of_bank(data: Path, out: Path) -> Sides:
    """Films and news."""
    texts = [row[0] for row in rows_of(data / "sst2/dev.tsv", "tab")] + news(data)
    return {"out_of_scope": written(out / "strangers.csv", [["text", "category"], *([text, ""] for text in texts)])}


def strangers_of_films(data: Path, out: Path) -> Sides:
    """Questions to a bank and news."""
    texts = [" ".join(row[0].split()) for row in rows_of(data / "banking77/test.csv")[1:]] + news(data)
    return {"out_of_scope": written(out / "strangers.tsv", [[text, ""] for text in texts], "tab")}


def some_labels(data: Path, out: Path) -> Sides:
    """banking77 without the rows of some labels, of which the test rows are out of scope."""
    heads, *train = rows_of(data / "banking77/train.csv")
    test = rows_of(data / "banking77/test.csv")[1:]
    names = sorted({label for _, label in train})
    taught = {names[at] for at in np.random.default_rng(0).permutation(len(names))[:_TAUGHT]}
    known, strange = ([row for row in test if (row[1] in taught) is wanted] for wanted in (True, False))
    return {
        "train": written(out / "train.csv", [heads, *(row for row in train if row[1] in taught)]),
        "test": written(out / "test.csv", [heads, *known]),
        "out_of_scope": written(out / "strangers.csv", [heads, *strange]),
    }


HERE = {
    "sst2": (CASES["sst2"], strangers_of_films),
    "banking77": (CASES["banking77"], strangers_of_bank),
    "banking77-frozen": (CASES["banking77-frozen"], strangers_of_bank),
    "banking77-58": (replace(CASES["banking77-frozen"], source=some_labels), None),
}
"""Each set, and what gives its rows out of scope where it does not itself."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SET", help=f"{', '.join(HERE)}: all when absent")
    parser.add_argument("--seeds", type=int, default=1, help="of each set")
    asked = parser.parse_args()
    data = os.environ.get("TUNEWRIGHT_DATA")
    if not data:
        sys.exit("bench-calibration needs the data sets: set TUNEWRIGHT_DATA to their folder")
    if unknown := [name for name in asked.names if name not in HERE]:
        sys.exit(f"no set is called {unknown[0]!r}; there are {', '.join(HERE)}")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    kept = json.loads(OUT.read_text()) if OUT.is_file() else {}
    heads = f"{'ECE before':24}{'ECE as served':24}chance"
    print(f"{'set':18}{'seed':>4}  {'variant':9}{'rows':>6}{'accuracy':>10}{'temperature':>13}  {heads}")
    for name in asked.names or HERE:
        started, kept[name] = time.monotonic(), []
        for seed in range(1, asked.seeds + 1):
            kept[name].append(trained(name, Path(data), seed))
            OUT.write_text(json.dumps(kept, indent=1))
            show(name, seed, kept[name][-1]["test"])
        if asked.seeds > 1:
            show_mean(name, [found["test"] for found in kept[name]])
        print(f"{name} took {time.monotonic() - started:.0f} s", file=sys.stderr)
    heads = f"{'AUROC':26}{'from score':>10}{'test rows':>11}  strangers answered"
    print(f"\n{'set':18}{'seed':>4}  {'strangers':>9}  {heads}")
    for name in asked.names or HERE:
        for seed, found in enumerate(kept[name], 1):
            show_scope(name, seed, found["out_of_scope"])


def trained(name: str, data: Path, seed: int) -> dict[str, Any]:
    """The report's figures."""
    work = (WORK / name).resolve()
    shutil.rmtree(work, ignore_errors=True)
    (work / "data").mkdir(parents=True)
    case, strangers = HERE[name]
    files = case.source(data, work / "data") | (strangers(data, work / "data") if strangers else {})
    sides = {side: str(work / "data" / file) for side, file in files.items()}
    # Few rows a label have no validation rows unless they are asked for, and then no temperature. What the report
    # explains row by row takes minutes and moves no score.
    settings = {
        **case.settings,
        "model_name": name,
        "data": {**case.settings["data"], **sides, "validation_fraction": 0.1},
        "train": {**case.settings["train"], "seed": seed},
        "export": {"explained_rows": 0, "abstain": ABSTAIN},
    }
    (work / "job.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True))
    environment = {
        **os.environ,
        "REGISTRY_URI": str(work / "registry"),
        "REGISTRY_CACHE": str(work / "cache"),
        "JOB_OUTPUT": str(work / "runs"),
        "JOB_KEEP_BUNDLE": "true",
        "JOB_RUN_ID": name,
    }
    command = [sys.executable, "-m", "tunewright", "train", "--config", str(work / "job.yaml")]
    with (work / "log").open("w") as log:
        code = subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT).returncode
    if code:
        sys.exit(f"the job of {name} ended with {code}: {(work / 'log').read_text()[-500:]}")
    found: dict[str, Any] = json.loads((work / "runs" / name / "bundle/report/metrics.json").read_text())
    return found


def show(name: str, seed: int, found: Figures) -> None:
    """A line a variant."""
    for variant, measured in found.items():
        calibration = measured["calibration"]
        before, after = calibration["before"], calibration["after"]
        cells = [f"{one['ece']:.3f} ({one['interval'][0]:.3f} to {one['interval'][1]:.3f})" for one in (before, after)]
        verdict = "  worse than before" if after["ece"] > before["ece"] else ""
        accuracy = measured["metrics"]["accuracy"]
        print(
            f"{name:18}{seed:4}  {variant:9}{measured['rows']:6,}{accuracy:10.4f}{calibration['temperature']:13.3f}  "
            f"{cells[0]:24}{cells[1]:24}{after['chance']:.3f}{verdict}",
            flush=True,
        )


def show_mean(name: str, found: list[Figures]) -> None:
    """A line a variant: the mean over the seeds."""
    for variant in found[0]:
        sides = [one[variant]["calibration"] for one in found]
        before, after = (mean(one[side]["ece"] for one in sides) for side in ("before", "after"))
        print(f"{name:18}mean  {variant:31}{before:.4f}{after:24.4f}{'  over the goal' if after > MOST else ''}")


def show_scope(name: str, seed: int, found: dict[str, Any]) -> None:
    """Two lines: from the score that 95 % of the test rows reach, and from that which the job chose."""
    low, high = found["interval"]
    head = f"{name:18}{seed:4}  {found['rows']:9,}  {found['auroc']:.3f} ({low:.3f} to {high:.3f})     "
    for told in filter(None, (found["usual"], found["abstaining"])):
        low, high = told["interval"]
        print(f"{head:59}{told['score']:10.3f}{told['inside']:11.1%}  {told['outside']:.1%} ({low:.1%} to {high:.1%})")
        head = ""


if __name__ == "__main__":
    main()

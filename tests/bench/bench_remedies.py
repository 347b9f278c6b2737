"""`make bench-remedies`: what the remedies for uneven, few and noisy labels give, with and without, over several seeds.

Each set is cut anew for each seed, and each way learns from the same cut through the whole job; the exported fp32 file
is measured on the test rows. Printed as a table with the mean and the spread of the seeds, and written to
var/bench/remedies.json.

sms_spam     1,000 rows, 2 % of them spam; recall and precision of spam, macro-F1
goemotions   1,500 rows, fear or not, 2 % of them fear; the same figures of fear
sst2         200 rows; accuracy
ag_news      1,500 rows with one crowd label each, every fifth of which is wrong; accuracy on clean labels
sign_digits  20 images of each digit, a small ResNet with random weights; accuracy
wnut17       700 sentences; F1 of entities

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
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cases import CASES

from tunewright.job.recipe import run
from tunewright.job.settings.job import JobSettings
from tunewright.registry.settings import RegistrySettings

OUT = Path("var/bench/remedies.json")
Row = tuple[str, str]
"""A text and its label."""
Settings = dict[str, Any]
UNEVEN: dict[str, Settings] = {
    "without": {},
    "balanced": {"class_weights": "balanced"},
    "effective": {"class_weights": "effective"},
    "over": {"sampling": "over"},
    "over, augmented": {"sampling": "over", "augment": {"swap": 0.05, "delete": 0.1, "typos": 0.05}},
    "adjusted": {"logit_adjustment": 1},
    "focal": {"focal_gamma": 2},
    "auto": {"imbalance": "auto"},
}
CALMER: dict[str, Settings] = {
    "without": {},
    "r_drop": {"r_drop": 1, "dropout": 0.1},
    "mixup": {"mixup": 0.4},
    "ema": {"ema": 0.99},
    "average": {"average": 3},
    "layer_drop": {"layer_drop": 0.1},
    "l1": {"l1": 0.01},
    "smoothing": {"label_smoothing": 0.1},
    "augment": {"augment": {"swap": 0.05, "delete": 0.1, "typos": 0.05}},
}


@dataclass(frozen=True)
class Set:
    """One data set, and the ways to learn it."""

    cut: Callable[[Path, Path, int], Settings]
    """The data sets, an empty folder and a seed to the settings of a job, its rows written there."""
    ways: dict[str, Settings]
    """Settings of `train` beside those of the set."""
    figures: tuple[str, ...]
    rare: str = ""
    """A label of which recall and precision are told."""
    train: Settings = field(default_factory=dict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ways", nargs="+", help="some of those of each set")
    asked = parser.parse_args()
    data = os.environ.get("TUNEWRIGHT_DATA")
    if not data:
        sys.exit("bench-remedies needs the data sets: set TUNEWRIGHT_DATA to their folder")
    rows = []
    for name in asked.names or SETS:
        ways = [way for way in SETS[name].ways if not asked.ways or way in asked.ways]
        for seed in range(1, asked.seeds + 1):
            for way in ways:
                rows.append({"set": name, "way": way, "seed": seed, **measured(name, way, seed, Path(data))})
                OUT.write_text(json.dumps(rows, indent=2))
        show([row for row in rows if row["set"] == name], ways)


def measured(name: str, way: str, seed: int, data: Path) -> dict[str, float]:
    """One job; what its fp32 file reaches on the test rows."""
    one, work = SETS[name], OUT.with_suffix("") / name / str(seed)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    asked = one.cut(data, work, seed)
    train = {**asked.pop("train", {}), "seed": seed, **one.train, **one.ways[way]}
    export = {"variants": ["fp32"], "explained_rows": 0}
    settings = JobSettings(
        **asked, model_name=name.replace("_", "-"), train=train, export=export, output=str(work / "runs")
    )
    registry = RegistrySettings(uri=str(work / "registry"), cache=Path("var/cache"))
    started = time.process_time()
    with (work / "log").open("a") as log, contextlib.redirect_stdout(log):
        released = run(settings, registry).release
    assert released is not None
    found = released.evaluations["fp32"]
    rare = next((line for line in found.details if line["label"] == one.rare), None)
    of_rare = {f"{figure} of {one.rare}": float(rare[figure]) for figure in ("recall", "precision")} if rare else {}
    figures = {figure: found.metrics[figure] for figure in one.figures}
    return {**figures, **of_rare, "cpu_seconds": round(time.process_time() - started, 1)}


def show(rows: list[dict[str, Any]], ways: list[str]) -> None:
    """The table of a set: mean and standard deviation over the seeds."""
    figures = [name for name in rows[0] if name not in ("set", "way", "seed")]
    print(f"\n{rows[0]['set']}, {len({row['seed'] for row in rows})} seeds")
    print(f"{'':16}" + "".join(f"{name:>21}" for name in figures))
    for way in ways:
        cells = []
        for figure in figures:
            values = [row[figure] for row in rows if row["way"] == way]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):13.3f} ± {spread:5.3f}")
        print(f"{way:16}" + "".join(cells), flush=True)


# The sets


def sms_spam(data: Path, work: Path, seed: int) -> Settings:
    """20 rows of spam and 980 of ham teach, 10 and 490 validate, 200 and 1,960 test; each text once."""
    lines = (data / "sms_spam/SMSSpamCollection").read_text(encoding="utf-8").splitlines()
    rows = {text: label for label, _, text in (line.partition("\t") for line in lines)}
    sizes = {"train": (20, 980), "validation": (10, 490), "test": (200, 1960)}
    return _uneven([*rows.items()], "spam", sizes, work, seed)


def goemotions(data: Path, work: Path, seed: int) -> Settings:
    """Fear or not: 30 and 1,470 rows teach, 15 and 735 validate, 150 and 2,850 test."""
    number = str((data / "goemotions/labels.txt").read_text().split().index("fear"))
    lines = (data / "goemotions/train.tsv").read_text(encoding="utf-8").splitlines()
    given = (line.split("\t") for line in lines)
    rows = {text: "fear" if number in labels.split(",") else "other" for text, labels, _ in given}
    sizes = {"train": (30, 1470), "validation": (15, 735), "test": (150, 2850)}
    return _uneven([*rows.items()], "fear", sizes, work, seed)


def sst2(data: Path, work: Path, seed: int) -> Settings:
    """200 rows teach and 200 validate; the 872 of dev test."""
    rows = _tab_separated(data / "sst2/train.tsv")
    order = np.random.default_rng(seed).permutation(len(rows))
    sides = {"train": order[:200], "validation": order[200:400]}
    for side, numbers in sides.items():
        _write(work / f"{side}.csv", (rows[number] for number in numbers))
    _write(work / "test.csv", _tab_separated(data / "sst2/dev.tsv"))
    return _texts(work)


def ag_news(data: Path, work: Path, seed: int) -> Settings:
    """1,500 rows with the label of one of the crowd teach, 300 such validate; 2,000 rows with clean labels test."""
    with (data / "ag_news/samples10000valMed.csv").open(newline="", encoding="utf-8") as file:
        rows = [(row["text"], row["label"], row["gt"]) for row in csv.DictReader(file)]
    order = np.random.default_rng(seed).permutation(len(rows))
    _write(work / "train.csv", (rows[number][:2] for number in order[:1500]))
    _write(work / "validation.csv", (rows[number][:2] for number in order[1500:1800]))
    _write(work / "test.csv", ((rows[number][0], rows[number][2]) for number in order[1800:3800]))
    return _texts(work)


def sign_digits(data: Path, work: Path, seed: int) -> Settings:
    """20 images of each digit teach and 10 validate; the others test."""
    case = CASES["sign_digits"]
    case.source(data, work / "all")
    random = np.random.default_rng(seed)
    for label in sorted(path for path in (work / "all/train").iterdir() if path.is_dir()):
        images = sorted(label.iterdir())
        sides = np.split(random.permutation(len(images)), [20, 30])
        for side, numbers in zip(("train", "validation", "test"), sides, strict=True):
            (work / side / label.name).mkdir(parents=True)
            for number in numbers:
                shutil.copyfile(images[number], work / side / label.name / images[number].name)
    assert case.base is not None
    (work / "base").mkdir()
    case.base(work, work / "base")
    sides = {side: str(work / side) for side in ("train", "validation", "test")}
    return {
        "task": "image-classification",
        "base_model": str(work / "base"),
        "data": {"format": "imagefolder", **sides},
        "train": case.settings["train"],
    }


def wnut17(data: Path, work: Path, seed: int) -> Settings:
    """The first 700 sentences of each side; the seed is that of the draws alone."""
    case = CASES["wnut17"]
    sides = {side: str(work / file) for side, file in case.source(data, work).items()}
    return {**case.settings, "data": {**case.settings["data"], **sides, "limit": 700}}


def _uneven(rows: list[Row], rare: str, sizes: dict[str, tuple[int, int]], work: Path, seed: int) -> Settings:
    """So many rows of the rare label and of the others on each side."""
    random, taken = np.random.default_rng(seed), defaultdict(int)
    of = {True: [row for row in rows if row[1] == rare], False: [row for row in rows if row[1] != rare]}
    shuffled = {kind: [some[number] for number in random.permutation(len(some))] for kind, some in of.items()}
    for side, counts in sizes.items():
        chosen = []
        for kind, count in zip((True, False), counts, strict=True):
            chosen += shuffled[kind][taken[kind] : taken[kind] + count]
            taken[kind] += count
        _write(work / f"{side}.csv", chosen)
    return _texts(work)


def _tab_separated(path: Path) -> list[Row]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(text, label) for text, _, label in (line.rpartition("\t") for line in lines)]


def _write(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(rows)


def _texts(work: Path) -> Settings:
    sides = {side: str(work / f"{side}.csv") for side in ("train", "validation", "test")}
    return {"data": {**sides, "columns": {"text": "text", "label": "label"}}}


TAGS = {way: CALMER[way] for way in ("without", "r_drop", "ema", "average", "layer_drop", "augment")}
IMAGES: dict[str, Settings] = {
    **{way: CALMER[way] for way in ("without", "mixup", "ema", "average", "smoothing")},
    "augment": {"augment": {"crop": 0.3, "colour": 0.2}},
}
SETS = {
    "sms_spam": Set(sms_spam, UNEVEN, ("macro_f1",), "spam"),
    "goemotions": Set(goemotions, UNEVEN, ("macro_f1",), "fear"),
    "sst2": Set(sst2, CALMER | {"few_shot": {"few_shot": {}}}, ("accuracy",), train={"epochs": 6}),
    "ag_news": Set(ag_news, CALMER, ("accuracy",)),
    "sign_digits": Set(sign_digits, IMAGES, ("accuracy",)),
    "wnut17": Set(wnut17, TAGS | {"effective": {"class_weights": "effective"}, "over": {"sampling": "over"}}, ("f1",)),
}


if __name__ == "__main__":
    main()

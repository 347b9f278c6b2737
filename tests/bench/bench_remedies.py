"""`make bench-remedies`: what the remedies for uneven, few and noisy labels give, with and without, over several seeds.

Each set is cut anew for each seed, and each way learns from the same cut by the job's own steps, in a short course; the
weights it keeps are measured on the test rows. `auto` is that of the ways of `train.imbalance: auto` which is best on
validation, as that setting would choose: the ways are its candidates. Seed by seed, so that what is done of an
interrupted run is whole; printed as a table with the mean and the standard deviation of the seeds, and written to
var/bench/remedies.json, from where --resume goes on.

sms_spam     500 rows, 2 % of them spam; recall and precision of spam, macro-F1
goemotions   600 rows, fear or not, 2 % of them fear; the same figures of fear
sst2         200 rows; accuracy
ag_news      300 rows with one crowd label each, every fifth of which is wrong; accuracy on clean labels
sign_digits  20 images of each digit, a small ResNet with random weights; accuracy
wnut17       400 sentences; F1 of entities
sst2_int8    1,000 rows of sst2, an int8 file that may lose nothing on 300 others; accuracy, and that with its rounding

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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from cases import CASES

from tunewright.job.batches.side import Rows
from tunewright.job.kinds.plan import Plan
from tunewright.job.measure.evaluation import gathered
from tunewright.job.measure.labels import details
from tunewright.job.recipe import prepare_all
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.train import TrainSettings
from tunewright.job.steps.remedies.imbalance import REMEDIES
from tunewright.job.steps.teach import teach
from tunewright.job.train.device.fake_int8 import int8_imitated
from tunewright.job.train.objective import scored
from tunewright.registry.settings import RegistrySettings

OUT = Path("var/bench/remedies.json")
Row = tuple[str, str]
"""A text and its label."""
Settings = dict[str, Any]
Measured = dict[str, Any]
"""The figures of one way of one set with one seed."""
WORDS = {"swap": 0.05, "delete": 0.1, "typos": 0.05}
UNEVEN: dict[str, Settings] = {
    "without": {},
    **{way: {"metric": "macro_f1", **changes} for way, changes in REMEDIES.items()},
    "over, augmented": {"metric": "macro_f1", "sampling": "over", "augment": WORDS},
}
"""`without` keeps the epoch that is best by accuracy, which is the default; the others go by macro-F1."""
CALMER: dict[str, Settings] = {
    "without": {},
    "r_drop": {"r_drop": 1, "dropout": 0.1},
    "mixup": {"mixup": 0.4},
    "ema": {"ema": 0.99},
    "average": {"average": 3},
    "layer_drop": {"layer_drop": 0.1},
    "l1": {"l1": 0.01},
    "smoothing": {"label_smoothing": 0.1},
    "augment": {"augment": WORDS},
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
    rounded: bool = False
    """Whether the figures are taken with the rounding of int8 too."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ways", nargs="+", help="some of those of each set")
    parser.add_argument("--resume", action="store_true", help="measure only what is not written yet")
    asked = parser.parse_args()
    data = os.environ.get("TUNEWRIGHT_DATA")
    if not data:
        sys.exit("bench-remedies needs the data sets: set TUNEWRIGHT_DATA to their folder")
    names = asked.names or [*SETS]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    rows: list[Measured] = json.loads(OUT.read_text()) if asked.resume and OUT.is_file() else []
    for seed in range(1, asked.seeds + 1):
        for name in names:
            done = {row["way"] for row in rows if (row["set"], row["seed"]) == (name, seed)}
            ways = [way for way in SETS[name].ways if way not in done and (not asked.ways or way in asked.ways)]
            if ways:
                for way, found in measured(name, ways, seed, Path(data)):
                    rows.append({"set": name, "way": way, "seed": seed, **found})
                    OUT.write_text(json.dumps(rows, indent=2))
    for name in names:
        show([row for row in rows if row["set"] == name])


def measured(name: str, ways: list[str], seed: int, data: Path) -> Iterable[tuple[str, Measured]]:
    """What each way reaches on the test rows of one cut."""
    one, work = SETS[name], OUT.with_suffix("") / name / str(seed)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    asked = one.cut(data, work, seed)
    train = {**asked.pop("train", {}), "seed": seed, **one.train}
    settings = JobSettings(**asked, model_name=name.replace("_", "-"), train=train, output=str(work / "runs"))
    registry = RegistrySettings(uri=str(work / "registry"), cache=Path("var/cache"))
    with (work / "log").open("a") as log, contextlib.redirect_stdout(log):
        plan, sides = prepare_all(settings, registry, work / "rows")
        test = plan.prepared.task.inputs.encode(plan, "test", work / "rows" / "test", on_rows=lambda _: None)
        for way in ways:
            own = settings.model_copy(update={"train": TrainSettings(**{**train, **one.ways[way]})})
            yield way, of_way(replace(plan, settings=own), sides, test, one)


def of_way(plan: Plan, sides: tuple[Rows, Rows], test: Rows, one: Set) -> Measured:
    """One training; what the weights that it keeps are worth."""
    started = time.process_time()
    taught = teach(plan, sides)
    seconds = round(time.process_time() - started, 1)
    objective, labels = plan.prepared.task.objective(plan), plan.prepared.labels
    answers = list(scored(taught.model, test, objective))
    found = objective.measure(iter(answers))
    table = details(*gathered(iter(answers)), labels) if one.rare else []
    rare = next((line for line in table if line["label"] == one.rare), None)
    of_rare = {f"{figure} of {one.rare}": line for figure, line in _two(rare).items()} if rare else {}
    figures = {figure: found[figure] for figure in one.figures}
    if one.rounded:
        with int8_imitated(taught.model, True):
            rounded = objective.measure(scored(taught.model, test, objective))
        figures |= {f"{figure} of int8": rounded[figure] for figure in one.figures}
    kept = taught.trained.figures.get(plan.settings.train.metric or one.figures[0], 0.0)
    return {**figures, **of_rare, "cpu_seconds": seconds, "validation": kept}


def _two(line: Any) -> dict[str, float]:
    return {figure: float(line[figure]) for figure in ("recall", "precision")}


def with_auto(rows: list[Measured]) -> list[Measured]:
    """The rows, and what `imbalance: auto` had kept, for the seeds of which all its candidates are there."""
    auto = []
    for seed in sorted({row["seed"] for row in rows}):
        of = {row["way"]: row for row in rows if row["seed"] == seed}
        tried = [of[way] for way in REMEDIES if way in of]
        if len(tried) == len(REMEDIES):
            # The first of equal ones.
            best = max(tried, key=lambda row: row["validation"])
            auto.append({**best, "way": "auto", "cpu_seconds": sum(row["cpu_seconds"] for row in tried)})
    return [*rows, *auto]


def show(measured: list[Measured]) -> None:
    """The table of a set: mean and standard deviation over the seeds."""
    rows = with_auto(measured)
    figures = [name for name in rows[0] if name not in ("set", "way", "seed", "validation")]
    print(f"\n{rows[0]['set']}, {len({row['seed'] for row in rows})} seeds")
    print(f"{'':26}" + "".join(f"{name:>21}" for name in figures))
    for way in dict.fromkeys(row["way"] for row in rows):
        cells = []
        for figure in figures:
            values = [row[figure] for row in rows if row["way"] == way]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):13.3f} ± {spread:5.3f}")
        print(f"{way:26}" + "".join(cells), flush=True)


# The sets


def sms_spam(data: Path, work: Path, seed: int) -> Settings:
    """10 rows of spam and 490 of ham teach, 5 and 245 validate, 200 and 600 test; each text once."""
    lines = (data / "sms_spam/SMSSpamCollection").read_text(encoding="utf-8").splitlines()
    rows = {text: label for label, _, text in (line.partition("\t") for line in lines)}
    sizes = {"train": (10, 490), "validation": (5, 245), "test": (200, 600)}
    return _uneven([*rows.items()], "spam", sizes, work, seed)


def goemotions(data: Path, work: Path, seed: int) -> Settings:
    """Fear or not: 12 and 588 rows teach, 6 and 294 validate, 150 and 650 test."""
    number = str((data / "goemotions/labels.txt").read_text().split().index("fear"))
    lines = (data / "goemotions/train.tsv").read_text(encoding="utf-8").splitlines()
    given = (line.split("\t") for line in lines)
    rows = {text: "fear" if number in labels.split(",") else "other" for text, labels, _ in given}
    sizes = {"train": (12, 588), "validation": (6, 294), "test": (150, 650)}
    return _uneven([*rows.items()], "fear", sizes, work, seed)


def sst2(data: Path, work: Path, seed: int) -> Settings:
    """200 rows teach and 100 validate; the 872 of dev test."""
    rows = _tab_separated(data / "sst2/train.tsv")
    order = np.random.default_rng(seed).permutation(len(rows))
    sides = {"train": order[:200], "validation": order[200:300]}
    for side, numbers in sides.items():
        _write(work / f"{side}.csv", (rows[number] for number in numbers))
    _write(work / "test.csv", _tab_separated(data / "sst2/dev.tsv"))
    return _texts(work)


def sst2_int8(data: Path, work: Path, seed: int) -> Settings:
    """1,000 rows teach and 300 validate, where int8 may lose nothing; the 872 of dev test."""
    rows = _tab_separated(data / "sst2/train.tsv")
    order = np.random.default_rng(seed).permutation(len(rows))
    for side, numbers in {"train": order[:1000], "validation": order[1000:1300]}.items():
        _write(work / f"{side}.csv", (rows[number] for number in numbers))
    _write(work / "test.csv", _tab_separated(data / "sst2/dev.tsv"))
    return {**_texts(work), "gate": {"max_drop": {"int8": 0}}}


def ag_news(data: Path, work: Path, seed: int) -> Settings:
    """300 rows with the label of one of the crowd teach, 100 such validate; 600 rows with clean labels test."""
    with (data / "ag_news/samples10000valMed.csv").open(newline="", encoding="utf-8") as file:
        rows = [(row["text"], row["label"], row["gt"]) for row in csv.DictReader(file)]
    order = np.random.default_rng(seed).permutation(len(rows))
    _write(work / "train.csv", (rows[number][:2] for number in order[:300]))
    _write(work / "validation.csv", (rows[number][:2] for number in order[300:400]))
    _write(work / "test.csv", ((rows[number][0], rows[number][2]) for number in order[400:1000]))
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
    """The first 400 sentences of each side; the seed is that of the draws alone."""
    case = CASES["wnut17"]
    sides = {side: str(work / file) for side, file in case.source(data, work).items()}
    return {**case.settings, "data": {**case.settings["data"], **sides, "limit": 400}}


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
TAGS |= {"effective": {"class_weights": "effective"}, "over": {"sampling": "over"}}
IMAGES: dict[str, Settings] = {
    **{way: CALMER[way] for way in ("without", "mixup", "ema", "average", "smoothing")},
    "augment": {"augment": {"crop": 0.3, "colour": 0.2}},
}
ROUNDED: dict[str, Settings] = {
    "without": {},
    "quantization_aware": {"quantization_aware": True},
    "quantization_aware: auto": {"quantization_aware": "auto"},
}
SHORT = {"epochs": 4, "batch_size": 16, "max_length": 48}
SETS = {
    "sms_spam": Set(sms_spam, UNEVEN, ("macro_f1",), "spam", SHORT),
    "goemotions": Set(goemotions, UNEVEN, ("macro_f1",), "fear", SHORT),
    "sst2": Set(sst2, CALMER | {"few_shot": {"few_shot": {}}}, ("accuracy",), train=SHORT | {"epochs": 6}),
    "ag_news": Set(ag_news, CALMER, ("accuracy",), train=SHORT | {"max_length": 64}),
    "sign_digits": Set(sign_digits, IMAGES, ("accuracy",)),
    "wnut17": Set(wnut17, TAGS, ("f1",), train={"max_length": 48}),
    "sst2_int8": Set(sst2_int8, ROUNDED, ("accuracy",), train=SHORT | {"epochs": 3}, rounded=True),
}


if __name__ == "__main__":
    main()

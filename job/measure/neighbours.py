"""Training rows that travel with a version, and how far the answers to test rows agree with those nearest to them.

Axes: N rows, D numbers of a vector.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tunewright.job.data.dataset import Dataset, strings
from tunewright.job.measure.faithfulness import spread
from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.bundle.neighbours import FOLDER, ROWS, TEXT_CHARACTERS, VECTORS, Told
from tunewright.serving.predictor import Predictor
from tunewright.serving.runtime.scores import normalized

Served = Callable[[object], object]
Label = str | float | frozenset[str]
"""One label, a number, or any number of labels."""

NEAREST = 5
"""Rows that are shown for an input where nobody says how many, and that a test row is compared with."""
_MEASURED = 500
"""Test rows that are compared."""
_AT_ONCE = 256


@dataclass(frozen=True)
class Nearness:
    """What the nearest rows say about answers, beside what rows drawn at random say."""

    figure: Literal["agreement", "error"]
    """Share of the answers that are the labels of most of the rows; of numbers, the mean distance to the rows' mean."""
    nearest: float
    random: float
    compared: int
    """Rows that each answer was compared with."""
    rows: int
    """Test rows."""
    kept: int
    """Training rows that the version carries."""
    variant: str


def choose_rows(keys: NDArray[np.uint64], targets: Sequence[object], count: int) -> NDArray[np.int64]:
    """Positions of the rows to keep: equally many of each label as far as there are, one of equal inputs, whatever
    their order the same ones. `keys`: one number per row, equal for equal inputs."""
    _, first = np.unique(keys, return_index=True)
    numbers: dict[object, int] = {}
    group = np.array([numbers.setdefault(_group(targets[at]), len(numbers)) for at in first.tolist()])
    by_group = np.argsort(group, kind="stable")
    rank = np.empty(len(group), dtype=np.int64)
    rank[by_group] = np.arange(len(group)) - np.searchsorted(group[by_group], group[by_group])
    return np.sort(first[np.argsort(rank, kind="stable")[:count]])


def keep_rows(folder: Path, predictor: Predictor, chosen: Dataset, served: Served) -> None:
    """Write the vectors of these rows and what is told of them into the bundle in this folder."""
    (folder / FOLDER).mkdir(exist_ok=True)
    numbers = iter(chosen.rows.tolist())
    vectors: list[NDArray[np.float16]] = []
    with (folder / ROWS).open("w", encoding="utf-8", newline="\n") as file:
        for inputs, targets in chosen.batches(_AT_ONCE):
            given = predictor.vectors([served(value) for value in inputs])
            vectors.append(normalized(np.stack(given)).astype(np.float16))
            for value, target in zip(inputs, targets, strict=True):
                label = target[0] if predictor.model.problem == "single_label" else target
                told = {"row": next(numbers), "label": label, **_shown(value)}
                file.write(json.dumps(told, ensure_ascii=False) + "\n")
    np.save(folder / VECTORS, np.concatenate(vectors), allow_pickle=False)


def measure_nearness(predictor: Predictor, test: Dataset, served: Served) -> Nearness | None:
    """How far the answers to test rows agree with the rows nearest to them; None where there is nothing to compare."""
    kept, model = predictor.neighbours, predictor.model
    if kept is None or not len(test):
        return None
    count = min(NEAREST, len(kept))
    pairs: list[tuple[Label, Label, Label]] = []
    for inputs, _ in test.select(spread(len(test), _MEASURED)).batches(_AT_ONCE):
        given = [served(value) for value in inputs]
        for answer, vector_D in zip(predictor.predict(given), predictor.vectors(given), strict=True):
            drawn = np.random.default_rng(len(pairs)).choice(len(kept), count, replace=False).tolist()
            near, others = kept.nearest(vector_D, count), [kept.row(number) for number in drawn]
            pairs.append((_answered(answer, model), _said(near, model), _said(others, model)))
    figure: Literal["agreement", "error"] = "error" if model.problem == "regression" else "agreement"
    compare = {"error": _distance, "agreement": _same}[figure]
    nearest, random = (float(np.mean([compare(one[0], one[at]) for one in pairs])) for at in (1, 2))
    return Nearness(figure, nearest, random, count, len(pairs), len(kept), predictor.variant)


def _group(target: object) -> object:
    """What rows are balanced over; numbers are not."""
    return tuple(sorted(target)) if isinstance(target, list) else None


def _shown(value: object) -> Told:
    """What a version tells of an input; of a file nothing but its digest."""
    if isinstance(value, Mapping):
        return {"sha256": value["sha256"]}
    texts = [value] if isinstance(value, str) else strings(value)
    return {name: text[:TEXT_CHARACTERS] for name, text in zip(("text", "text_pair"), texts, strict=False)}


def _answered(answer: Sequence[Told], model: ModelFile) -> Label:
    """What the model answers, as rows are labelled."""
    if model.problem == "regression":
        return float(answer[0]["score"])
    if model.problem == "multi_label":
        return frozenset(one["label"] for one in answer if one.get("predicted", one["score"] >= 0.5))
    return str(answer[0]["label"])


def _said(rows: Sequence[Told], model: ModelFile) -> Label:
    """What most of these rows are labelled with, of as many the nearest; of numbers their mean."""
    if model.problem == "regression":
        return float(np.mean([row["label"] for row in rows]))
    if model.problem == "multi_label":
        counts = Counter(label for row in rows for label in row["label"])
        return frozenset(label for label, times in counts.items() if 2 * times > len(rows))
    return str(Counter(row["label"] for row in rows).most_common(1)[0][0])


def _same(one: Label, other: Label) -> float:
    return float(one == other)


def _distance(one: Label, other: Label) -> float:
    assert isinstance(one, float)
    assert isinstance(other, float)
    return abs(one - other)

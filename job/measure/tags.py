"""How well tags are told: entities as conlleval counts them, words, plain tags."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as entity_scores
from sklearn.metrics import precision_recall_fscore_support

Tags = Sequence[Sequence[str]]


def figures(truth: Tags, found: Tags, problem: str) -> dict[str, float]:
    """Precision, recall and F1 of entities, as conlleval counts them, and the accuracy of words; or of plain tags."""
    flat_truth, flat_found = ([tag for tags in side for tag in tags] for side in (truth, found))
    accuracy = float(np.mean(np.array(flat_truth) == np.array(flat_found)))
    if problem == "tags":
        _, _, f1, _ = precision_recall_fscore_support(flat_truth, flat_found, average="macro", zero_division=0)
        return {"accuracy": accuracy, "macro_f1": float(f1)}
    sides = [[list(tags) for tags in side] for side in (truth, found)]
    precision, recall, f1, _ = entity_scores(*sides, average="micro", zero_division=0)
    return {"f1": float(f1), "precision": float(precision), "recall": float(recall), "accuracy": accuracy}


def details(truth: Tags, found: Tags, labels: Sequence[str], problem: str) -> list[dict[str, Any]]:
    """Precision, recall, F1 and number of each kind of entity, or of each tag."""
    if problem == "tags":
        kinds = list(labels)
        flat = [[tag for tags in side for tag in tags] for side in (truth, found)]
        table = precision_recall_fscore_support(*flat, labels=kinds, zero_division=0)
    else:
        sides = [[list(tags) for tags in side] for side in (truth, found)]
        kinds = sorted({tag.partition("-")[2] for side in sides for tags in side for tag in tags} - {""})
        table = entity_scores(*sides, average=None, zero_division=0)
    return [
        {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
        for label, p, r, f, n in zip(kinds, *table, strict=True)
    ]

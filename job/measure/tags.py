"""How well tags are told: entities as conlleval counts them, words, plain tags."""

from collections.abc import Sequence

import numpy as np

from tunewright.job.measure.labels import LabelFigures

Tags = Sequence[Sequence[str]]


def accuracy(truth: Tags, found: Tags) -> float:
    """Share of the words whose tag is right."""
    return float(np.mean(np.array(_flat(truth)) == np.array(_flat(found))))


def macro_f1(truth: Tags, found: Tags) -> float:
    """Mean F1 of the tags."""
    from sklearn.metrics import f1_score

    return float(f1_score(_flat(truth), _flat(found), average="macro", zero_division=0))


def precision(truth: Tags, found: Tags) -> float:
    """Share of the entities found that are right."""
    return _entities(truth, found)[0]


def recall(truth: Tags, found: Tags) -> float:
    """Share of the entities that are found."""
    return _entities(truth, found)[1]


def f1(truth: Tags, found: Tags) -> float:
    """F1 of whole entities (micro average)."""
    return _entities(truth, found)[2]


def _entities(truth: Tags, found: Tags) -> tuple[float, float, float]:
    """Precision, recall and F1, as conlleval counts them."""
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

    sides = [[list(tags) for tags in side] for side in (truth, found)]
    scores = precision_recall_fscore_support(*sides, average="micro", zero_division=0)
    return float(scores[0]), float(scores[1]), float(scores[2])


def _flat(side: Tags) -> list[str]:
    return [tag for tags in side for tag in tags]


def details(truth: Tags, found: Tags, labels: Sequence[str], problem: str) -> list[LabelFigures]:
    """Precision, recall, F1 and number of each kind of entity, or of each tag."""
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as entity_scores
    from sklearn.metrics import precision_recall_fscore_support

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

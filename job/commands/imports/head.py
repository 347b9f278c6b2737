"""What a model says of its head: whether it is one for the task, and what its numbers are called, in their order."""

import re
from collections.abc import Mapping

from tunewright.job.data.faults import listed
from tunewright.job.errors import BaseModelError, SettingsError
from tunewright.job.settings.job import JobSettings
from tunewright.serving.text.cleaning import clean_label

_OF_TEXTS = ("ForSequenceClassification", "MeanPooledClassifier")
_OF_IMAGES = ("ForImageClassification",)
_OF_RECORDINGS = ("ForSequenceClassification", "ForAudioClassification")
_OF_WRITERS = ("ForConditionalGeneration", "MTModel")
_HEADS = {
    "text-classification": _OF_TEXTS,
    "text-regression": _OF_TEXTS,
    "token-classification": ("ForTokenClassification",),
    "question-answering": ("ForQuestionAnswering",),
    "translation": _OF_WRITERS,
    "summarization": _OF_WRITERS,
    "text-generation": ("ForCausalLM", "LMHeadModel"),
    "image-classification": _OF_IMAGES,
    "image-regression": _OF_IMAGES,
    "audio-classification": _OF_RECORDINGS,
    "audio-regression": _OF_RECORDINGS,
}
"""How the classes of transformers end whose models have a head for a task; the mean-pooled one is this program's."""
_UNNAMED = re.compile(r"LABEL_(\d+)")
_PROBLEMS = {
    "single_label_classification": "label",
    "multi_label_classification": "labels",
    "regression": "score",
}
"""`problem_type` to the column that holds what such a model answers."""
_LETTERS = {"BIO": "BI", "BIOES": "BIES"}


def head_labels(config: Mapping[str, object], settings: JobSettings, role: str, address: str) -> list[str]:
    """The labels of a model in the order of its logits; none where the task has none.

    `config`: its `config.json` as it was found; `role`: the column with what is true. BaseModelError for a model
    without a head for the task, or with one for something else; SettingsError where its labels need names.
    """
    _require_head(config, settings.task, address)
    if settings.task.endswith("-regression"):
        _require_number(_count(config, address), settings.task, address)
        return [role]
    if not settings.task.endswith("-classification"):
        return []
    _require_problem(config, settings.task, role, address)
    labels = _labels(config, settings, address)
    if len(labels) < 2 and role != "labels":
        number = settings.task.replace("-classification", "-regression")
        raise BaseModelError(
            f"base model {address!r}: its head has one number, not one for each of several labels; task: {number} "
            "imports such a model"
        )
    if role == "tags":
        _require_scheme(labels, str(settings.options.get("scheme", "BIO")), address)
    return labels


def _require_head(config: Mapping[str, object], task: str, address: str) -> None:
    stated = config.get("architectures")
    name = str(stated[0]) if isinstance(stated, list) and stated else ""
    # Without a name the weights tell.
    if name and not name.endswith(_HEADS.get(task, "")):
        raise BaseModelError(
            f"base model {address!r} is a {name}, which has no head for {task} (as a ...{_HEADS[task][0]} has): name "
            "the task that it was taught, or teach it with `tunewright train`"
        )


def _require_number(count: int, task: str, address: str) -> None:
    if count != 1:
        labels = task.replace("-regression", "-classification")
        raise BaseModelError(
            f"base model {address!r}: its head has {count} numbers, not one; task: {labels} imports a model of labels"
        )


def _require_problem(config: Mapping[str, object], task: str, role: str, address: str) -> None:
    stated = config.get("problem_type")
    asked = _PROBLEMS.get(stated) if isinstance(stated, str) else None
    if asked is None or role == "tags" or asked == role:
        return
    if asked == "score":
        hint = f"set task to {task.replace('-classification', '-regression')}"
    else:
        hint = f"name the column with the truth in data.columns.{asked}, not in data.columns.{role}"
    raise BaseModelError(f"base model {address!r}: config.json says problem_type: {stated}; {hint}")


def _count(config: Mapping[str, object], address: str) -> int:
    """Numbers of the head; transformers writes nothing where they are two."""
    names, count = config.get("id2label"), config.get("num_labels", 2)
    if isinstance(names, dict):
        return len(names)
    if not isinstance(count, int) or not 0 < count <= 100_000:
        raise BaseModelError(f"base model {address!r}: config.json sets num_labels to {count!r}, which is no count")
    return count


def _labels(config: Mapping[str, object], settings: JobSettings, address: str) -> list[str]:
    names = config.get("id2label")
    if not isinstance(names, dict):
        names = {str(place): f"LABEL_{place}" for place in range(_count(config, address))}
    numbers = {str(place) for place in range(len(names))}
    if set(names) != numbers or not all(isinstance(name, str) for name in names.values()):
        raise BaseModelError(
            f"base model {address!r}: id2label of config.json does not name the numbers 0 to {len(names) - 1}"
        )
    ordered = [names[str(place)] for place in range(len(names))]
    if any(_UNNAMED.fullmatch(name) for name in ordered):
        ordered = _named(ordered, settings.data.label_names, address)
    labels = [clean_label(name) for name in ordered]
    if len(set(labels)) < len(labels) or "" in labels:
        twice = next(label for label in labels if not label or labels.count(label) > 1)
        raise BaseModelError(
            f"base model {address!r}: two of its labels are called {twice!r}, or one has no name; give each a name of "
            "its own in id2label of config.json"
        )
    return labels


def _named(ordered: list[str], given: Mapping[str, str], address: str) -> list[str]:
    """The names that the settings give `LABEL_0` and its like, under that name or under the number alone."""
    found, lacking = [], []
    for name in ordered:
        unnamed = _UNNAMED.fullmatch(name)
        told = given.get(name) or (given.get(unnamed[1]) if unnamed else name)
        found.append(told or name)
        lacking += [] if told else [name]
    if lacking:
        raise SettingsError(
            f"the model calls its labels {listed(ordered, 4)}, which says nothing; name {listed(lacking, 4)} in "
            f"data.label_names, for example --data.label_names.{lacking[0]} NAME"
        )
    return found


def _require_scheme(labels: list[str], scheme: str, address: str) -> None:
    letters = _LETTERS.get(scheme)
    strange = [one for one in labels if letters and one != "O" and not re.match(rf"[{letters}]-.", one, re.DOTALL)]
    if strange:
        raise BaseModelError(
            f"base model {address!r} has the tag {strange[0]!r}, which is none of options.scheme: {scheme}; set it to "
            "the scheme of the model (BIO, BIOES, or plain for one tag a word)"
        )

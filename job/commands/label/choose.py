"""Choose rows by what a registered version answers to them, through the very file that serves it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunewright.job import signals
from tunewright.job.commands.label.doubt import DOUBTS, disagreement
from tunewright.job.commands.label.item import ROLES, Item, Question, question
from tunewright.job.commands.label.spread import middles, vectors_of_words
from tunewright.job.data.check import Checked, check
from tunewright.job.data.columns import Roles, read_roles
from tunewright.job.data.dataset import Dataset, Values, strings
from tunewright.job.data.sources.fetch import fetch as fetch_data
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.kinds.task import Task
from tunewright.job.progress.events import bar, say
from tunewright.job.settings.data import DataSettings
from tunewright.job.steps.teachers.unlabelled import InputsOnly
from tunewright.job.tasks import TASKS
from tunewright.job.tasks.token_classification import WORDS
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.trust.trust import trusted
from tunewright.serving.bundle.fetch import fetch
from tunewright.serving.predictor import Predictor, open_predictor
from tunewright.serving.runtime.scores import tempered
from tunewright.serving.runtime.session import Array
from tunewright.serving.trial.trials import try_bundle

BY = (*DOUBTS, "disagreement", "diversity", "random")
_LABELLED = ("text-classification", "token-classification")
_AT_ONCE = 256


@dataclass(frozen=True)
class Asked:
    """What is to be chosen."""

    model: str
    """A version: reviews@production, reviews:7."""
    by: str
    take: int
    data: DataSettings
    """Where the rows lie, and how they are read."""
    other: str | None = None
    """The version that may disagree."""
    labelled: tuple[str, ...] = ()
    """Files of rows that are labelled already, and are not asked again."""
    seed: int = 1


@dataclass(frozen=True)
class _Version:
    name: str
    predictor: Predictor


def choose(asked: Asked, registry: RegistrySettings, work: Path) -> tuple[list[Item], Question]:
    """The rows to label next, the most wanted first, with what the version says of them."""
    with _opened(asked.model, registry) as version:
        task, model = _task(version), version.predictor.model
        data = _rows(asked, task, _roles(asked.data, task, version), registry.cache, work)
        order, doubts = _ranked(asked, version, task, data, registry)
        chosen = order[: asked.take]
        say("label", f"{len(chosen):,} of {len(data):,} rows, by {asked.by}", rows=len(chosen))
        items = list(_items(version.predictor, task, data.select(chosen), doubts[chosen]))
        return items, question(model, version.name)


@contextmanager
def _opened(reference: str, registry: RegistrySettings) -> Iterator[_Version]:
    pulled, variant = fetch(*trusted(registry, reference), cache=registry.cache)
    try_bundle(pulled.folder, variant, digest=pulled.version.digest, cache=registry.cache)
    with closing(open_predictor(pulled.folder, variant=variant)) as predictor:
        yield _Version(f"{pulled.version.name}:{pulled.version.number}", predictor)


def _task(version: _Version) -> Task:
    model = version.predictor.model
    if model.task not in _LABELLED or model.problem not in ROLES:
        raise SettingsError(
            f"{version.name} is a version of {model.task}; rows are chosen for {' and '.join(_LABELLED)}"
        )
    return TASKS[model.task]


def _roles(settings: DataSettings, task: Task, version: _Version) -> Roles:
    read = read_roles(settings, task.forms)
    is_pair = len(read.inputs) == 2
    if is_pair != version.predictor.model.pair:
        needs = "pairs of texts: give --columns.text and --columns.text_pair" if not is_pair else "single texts"
        raise SettingsError(f"{version.name} reads {needs}")
    return Roles(read.inputs, "", "")


def _rows(asked: Asked, task: Task, roles: Roles, cache: Path, work: Path) -> Dataset:
    """The rows that may be asked: each text once, and none that is labelled already."""

    def read(sources: str | list[str], name: str) -> Checked:
        return check(fetch_data(sources, cache), InputsOnly(task), roles, asked.data, work / name, cache=cache)

    found = read(asked.data.train, "rows.arrow")
    kept = np.sort(np.unique(found.keys, return_index=True)[1])
    if asked.labelled:
        known = read(list(asked.labelled), "labelled.arrow").keys
        kept = kept[~np.isin(found.keys[kept], known)]
    if not len(kept):
        raise DataError("all rows of --data stand in --labelled; give others")
    left = len(found.keys) - len(kept)
    if left:
        say("data", f"{left:,} rows are left out, which repeat another one or are labelled already", left_out=left)
    return found.data.select(kept)


def _ranked(
    asked: Asked, version: _Version, task: Task, data: Dataset, registry: RegistrySettings
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The rows in the order in which they are wanted, and the doubt of each."""
    none, take = np.zeros(len(data)), min(asked.take, len(data))
    if asked.by == "random":
        return np.random.default_rng(asked.seed).permutation(len(data)), none
    if asked.by == "diversity":
        return np.array(middles(_vectors(version.predictor, task, data), take, asked.seed)), none
    if asked.by == "disagreement":
        doubts = _disagreements(asked, version, task, data, registry)
    else:
        doubt, problem = DOUBTS[asked.by], version.predictor.model.problem
        doubts = np.array([doubt(logits, problem) for logits in _logits(version.predictor, task, data)])
    return np.argsort(-doubts, kind="stable"), doubts


def _disagreements(
    asked: Asked, version: _Version, task: Task, data: Dataset, registry: RegistrySettings
) -> NDArray[np.float64]:
    if asked.other is None:
        raise SettingsError("--by disagreement needs another version: give --and, for example --and reviews:6")
    with _opened(asked.other, registry) as other:
        one, two = version.predictor.model, other.predictor.model
        alike = (one.task, one.problem, one.pair, set(one.labels)) == (two.task, two.problem, two.pair, set(two.labels))
        if not alike:
            raise SettingsError(
                f"{other.name} cannot disagree with {version.name}: it has another task or other labels"
            )
        order = [two.labels.index(label) for label in one.labels]
        pairs = zip(
            _logits(version.predictor, task, data), _logits(other.predictor, task, data, silent=True), strict=True
        )
        found = []
        for first, second in pairs:
            if first.shape != second.shape:
                raise SettingsError(
                    f"{other.name} cannot disagree with {version.name}: its tokenizer cuts other tokens"
                )
            found.append(disagreement(first, second[..., order], one.problem))
        return np.array(found)


def _logits(predictor: Predictor, task: Task, data: Dataset, *, silent: bool = False) -> Iterator[Array]:
    """Of each row, as the scores that are served are made of them; a few of them held at a time."""
    for found in _each(predictor.outputs, task, data, silent=silent):
        yield tempered(found, predictor.temperature)


def _vectors(predictor: Predictor, task: Task, data: Dataset) -> NDArray[np.float32]:
    """Those of the version where it hands them out, as with `export.neighbours`; else of the words."""
    if predictor.neighbours is not None:
        return np.stack(list(_each(predictor.vectors, task, data)))
    return vectors_of_words([" ".join(strings(value)) for value in data.inputs()])


def _each(
    ask: Callable[[Values], Sequence[Array]], task: Task, data: Dataset, *, silent: bool = False
) -> Iterator[Array]:
    with bar("label", len(data)) as advance:
        for inputs, _ in data.batches(_AT_ONCE):
            signals.check()
            yield from ask([task.columns.served(value) for value in inputs])
            if not silent:
                advance(len(inputs))


def _items(predictor: Predictor, task: Task, data: Dataset, doubts: NDArray[np.float64]) -> Iterator[Item]:
    inputs = data.inputs()
    served = [task.columns.served(value) for value in inputs]
    model = predictor.model
    for value, words, doubt in zip(inputs, served, doubts, strict=True):
        texts = (value,) if isinstance(value, str) else tuple(value)
        (answer,) = predictor.predict([words], WORDS if ROLES[model.problem] == "tags" else None)
        if ROLES[model.problem] == "tags":
            found = {one["index"]: one for one in answer}
            # A tokenizer may make no token of a word, which then has no tag.
            every = [found.get(place, {"entity": "O", "score": 0.0}) for place in range(len(texts))]
            yield Item(texts, tuple(x["entity"] for x in every), tuple(x["score"] for x in every), float(doubt))
        else:
            there = (
                [one for one in answer if one.get("predicted", True)] if model.problem == "multi_label" else answer[:1]
            )
            yield Item(texts, tuple(x["label"] for x in there), tuple(x["score"] for x in there), float(doubt))

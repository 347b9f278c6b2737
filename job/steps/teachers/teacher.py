"""A registered version as a teacher: what it must be, and what it answers, kept once. Nothing here needs torch."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from tunewright.job import signals
from tunewright.job.checkpoints.digest import digest
from tunewright.job.data.dataset import Dataset
from tunewright.job.data.faults import listed
from tunewright.job.errors import SettingsError
from tunewright.job.kinds.plan import Prepared, TeacherFacts
from tunewright.job.progress.events import bar, say
from tunewright.job.relay import once
from tunewright.job.settings.job import JobSettings
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.trust.trust import trusted
from tunewright.registry.versions.record import Version
from tunewright.serving.bundle.fetch import fetch
from tunewright.serving.bundle.model_file import ModelFile, read_model_file
from tunewright.serving.trial.trials import try_bundle

if TYPE_CHECKING:
    from tunewright.serving.predictor import Predictor
    from tunewright.serving.text.windows import Windowed

Array = NDArray[np.float32]
VARIANT = "fp32"
"""Every version has it, and rounds the least."""
_KEPT = 12
"""Files of answers that are kept, the last ones used."""


def find_teacher(prepared: Prepared, settings: JobSettings, registry: RegistrySettings) -> TeacherFacts | None:
    """The version that `train.distill` names; SettingsError where it answers something else than the job teaches."""
    asked = settings.train.distill
    return once("the teacher", lambda: _found(asked.teacher, prepared, settings, registry)) if asked else None


def _found(teacher: str, prepared: Prepared, settings: JobSettings, registry: RegistrySettings) -> TeacherFacts:
    pulled, _ = fetch(*trusted(registry, teacher), cache=registry.cache, variant=VARIANT)
    model = read_model_file(pulled.folder)
    if fault := _unlike(model, prepared, settings):
        raise SettingsError(f"train.distill.teacher is {teacher!r}, {fault}")
    facts = facts_of(pulled.version)
    say("teacher", f"{facts['version']} ({facts['digest'][:19]}) teaches what it answers")
    return facts


def facts_of(version: Version) -> TeacherFacts:
    """What is kept of a version that helps to teach."""
    return TeacherFacts(
        version=f"{version.name}:{version.number}", digest=version.digest, reference=f"{version.name}@{version.digest}"
    )


def _unlike(model: ModelFile, prepared: Prepared, settings: JobSettings) -> str:
    """What keeps a version from teaching the rows of a job; empty where nothing does."""
    if (model.task, model.problem) != (settings.task, prepared.problem):
        return (
            f"a version of {model.task} ({model.problem}), and this job is {settings.task} ({prepared.problem}): name "
            "a version of the same"
        )
    if model.pair != (len(prepared.roles.inputs) == 2 and not prepared.task.media):
        there, here = ("pairs of texts", "single ones") if model.pair else ("single texts", "pairs")
        return f"which reads {there}, and the rows of this job are {here}: name a version that reads the same"
    if set(model.labels) != set(prepared.labels):
        more, less = (listed(sorted(one), 4) for one in _apart(model.labels, prepared.labels))
        return f"which has other labels: {more or 'none'} that the data lacks, and lacks {less or 'none'} of the data"
    return ""


def _apart(one: Sequence[str], other: Sequence[str]) -> tuple[set[str], set[str]]:
    return set(one) - set(other), set(other) - set(one)


def answers(prepared: Prepared, registry: RegistrySettings) -> Array:
    """What the teacher answers to the training rows and the unlabelled ones, `[N, L]` logits in the order of the labels
    of the job, by the server's own predictor; kept in the cache for the next run. Of tags each word is a row, of NaN
    where the teacher's tokenizer makes nothing of it."""
    return once("the answers of the teacher", lambda: _answers(prepared, registry))


def _answers(prepared: Prepared, registry: RegistrySettings) -> Array:
    sets = [one.data for one in (prepared.train, prepared.unlabelled) if one is not None]
    facts, count = prepared.facts["teacher"], sum(map(_words if is_by_word(prepared) else len, sets))
    pulled, _ = fetch(*trusted(registry, facts["reference"]), cache=registry.cache, variant=VARIANT)
    labels = read_model_file(pulled.folder).labels
    asked = digest([facts["digest"], prepared.facts["files"], *(one.digest() for one in sets)])
    path = registry.cache / "answers" / f"{asked[:32]}.npy"
    found, what = _kept(path, (count, len(labels))), "words" if is_by_word(prepared) else "rows"
    if found is None:
        found = _asked(open_version(facts, registry), prepared, sets)
        _keep(found, path)
        say("teacher", f"{facts['version']} has answered {count:,} {what}", rows=count)
    else:
        say("teacher", f"what {facts['version']} answers to the {count:,} {what} is known", rows=count)
    return found[:, [labels.index(label) for label in prepared.labels]]


def open_version(facts: TeacherFacts, registry: RegistrySettings) -> "Predictor":
    """The float32 file of a version, tried out first."""
    # Imported here: most jobs have no teacher.
    from tunewright.serving.predictor import open_predictor

    pulled, _ = fetch(*trusted(registry, facts["reference"]), cache=registry.cache, variant=VARIANT)
    try_bundle(pulled.folder, VARIANT, digest=pulled.version.digest, cache=registry.cache)
    return open_predictor(pulled.folder, variant=VARIANT)


def is_by_word(prepared: Prepared) -> bool:
    """Whether each word of a row has an answer of its own."""
    return prepared.problem in ("entities", "tags")


def _words(data: Dataset) -> int:
    return sum(len(words) for sentences, _ in data.batches() for words in sentences)


def _asked(predictor: "Predictor", prepared: Prepared, sets: Sequence[Dataset]) -> Array:
    served, outputs = prepared.task.columns.served, list[Array]()
    try:
        with bar("teacher", sum(map(len, sets))) as advance:
            for data in sets:
                for inputs, _ in data.batches(256):
                    signals.check()
                    asked = list(map(served, inputs))
                    outputs += _of_words(predictor, asked) if is_by_word(prepared) else predictor.outputs(asked)
                    advance(len(inputs))
    finally:
        predictor.close()
    return np.concatenate(outputs) if is_by_word(prepared) else np.stack(outputs)


def _of_words(predictor: "Predictor", sentences: Sequence[Sequence[str]]) -> Iterator[Array]:
    """Logits of the first token of each word, `[words, L]` for each sentence."""
    prepared = predictor.prepare(sentences, predictor.task.read_parameters({}, predictor.model))
    rows = cast("Sequence[Windowed]", prepared)
    for words, row, outputs in zip(sentences, rows, predictor.engine.run(rows), strict=True):
        found = np.full((len(words), len(predictor.model.labels)), np.nan, dtype=np.float32)
        if outputs:
            # Of the tokens of a word the first one comes last.
            for token, logits in reversed([*zip(row.tokens, row.merged(outputs), strict=True)]):
                found[token.word] = logits
        yield found


def _kept(path: Path, shape: tuple[int, int]) -> Array | None:
    try:
        found: Array = np.load(path, allow_pickle=False)
        os.utime(path)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == shape and not np.isinf(found).any() else None


def _keep(found: Array, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.getpid()}.npy.new")
    with new.open("wb") as file:
        np.save(file, found, allow_pickle=False)
    new.replace(path)
    others = sorted(path.parent.glob("*.npy"), key=lambda one: one.stat().st_mtime)
    for old in others[:-_KEPT]:
        old.unlink(missing_ok=True)

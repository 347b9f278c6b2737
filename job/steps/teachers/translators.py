"""Back-translation: training texts put into another language and back by registered versions (Sennrich et al. 2016,
arXiv 1511.06709). Nothing here needs torch."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pyarrow as pa

from tunewright.job import signals
from tunewright.job.checkpoints.digest import digest
from tunewright.job.data.dataset import Dataset, DatasetWriter, open_dataset
from tunewright.job.data.reuse import forget_old
from tunewright.job.data.sources.cache import write_whole
from tunewright.job.errors import SettingsError
from tunewright.job.kinds.plan import Plan, TeacherFacts
from tunewright.job.progress.events import bar, say
from tunewright.job.relay import once
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.teachers.teacher import VARIANT, facts_of, open_version
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.trust.trust import trusted
from tunewright.serving.bundle.fetch import fetch
from tunewright.serving.bundle.model_file import read_model_file
from tunewright.serving.text.cleaning import clean
from tunewright.serving.text.encoding import Text

if TYPE_CHECKING:
    from tunewright.serving.predictor import Predictor

_TASK = "translation"
_ROWS = 64
"""Rows whose translations are kept together: what a run that is stopped has at most to do again."""
_Found = list[str | None]
"""What became of texts; None for one that stays as it is."""


def find_translators(settings: JobSettings, registry: RegistrySettings) -> list[TeacherFacts]:
    """The versions that `train.augment.back_translate` names; SettingsError for one that does not translate."""
    asked = settings.train.augment.back_translate if settings.train.augment else None
    if asked is None:
        return []
    ways = {"there": asked.there, "back": asked.back}
    return once("the translators", lambda: [_found(way, reference, registry) for way, reference in ways.items()])


def _found(way: str, reference: str, registry: RegistrySettings) -> TeacherFacts:
    pulled, _ = fetch(*trusted(registry, reference), cache=registry.cache, variant=VARIANT)
    task = read_model_file(pulled.folder).task
    if task != _TASK:
        raise SettingsError(
            f"train.augment.back_translate.{way} is {reference!r}, a version of {task}: name a version of {_TASK}"
        )
    facts = facts_of(pulled.version)
    say("translate", f"{facts['version']} ({facts['digest'][:19]}) translates training texts {way}")
    return facts


def with_translations(plan: Plan, registry: RegistrySettings, work: Path) -> Plan:
    """The plan with each training text as it comes back from another language; translations are kept in the cache for
    the next run, and for the same one when it is stopped."""
    prepared = plan.prepared
    data, path = prepared.train.data, work / "translated.arrow"
    translators = _Translators(prepared.facts["translators"], registry, data)
    counts = {"same": 0, "stay": 0}
    types = (prepared.task.columns.arrow_type(prepared.roles), pa.null())
    with closing(translators), closing(DatasetWriter(path, types)) as writer, bar("translate", len(data)) as advance:
        for number, (inputs, _) in enumerate(data.batches(_ROWS)):
            texts = [text for one in inputs for text in _texts(one)]
            back = [found and clean(found, plan.settings.data.cleaning) for found in translators.back(number, texts)]
            counts["stay"] += sum(not found for found in back)
            counts["same"] += sum(found == text for found, text in zip(back, texts, strict=True))
            each = iter([found or text for found, text in zip(back, texts, strict=True)])
            for one in inputs:
                writer.add(next(each) if isinstance(one, str) else [next(each) for _ in one], None)
            advance(len(inputs))
    say(
        "translate",
        f"the texts of {len(data):,} training rows have been there and back: {counts['same']:,} are the same, and "
        f"{counts['stay']:,} stay as they are, of which a translation would lose a part",
    )
    return replace(plan, translated=open_dataset(path))


def _texts(value: Text) -> Sequence[str]:
    return (value,) if isinstance(value, str) else value


class _Translators:
    """Two versions, opened when something is first asked that they have not translated before."""

    def __init__(self, facts: Sequence[TeacherFacts], registry: RegistrySettings, data: Dataset) -> None:
        self._facts, self._registry, self._open = facts, registry, ExitStack()
        self._opened: list[Predictor] = []
        self._folder = registry.cache / "translations" / digest([*(one["digest"] for one in facts), data.digest()])[:32]
        self._folder.mkdir(parents=True, exist_ok=True)
        os.utime(self._folder)
        forget_old(self._folder.parent)

    def back(self, number: int, texts: Sequence[str]) -> _Found:
        """The texts of the so manieth part of the rows, there and back."""
        return once(f"translation {number}", lambda: self._back(number, texts))

    def _back(self, number: int, texts: Sequence[str]) -> _Found:
        path = self._folder / f"{number}.json"
        found = _kept(path, len(texts))
        if found is None:
            signals.check()
            found = list(texts)
            for predictor in self._predictors():
                found = _translated(predictor, found)
            write_whole(path, json.dumps(found))
        return found

    def _predictors(self) -> Iterator["Predictor"]:
        if not self._opened:
            self._opened = [self._open.enter_context(closing(open_version(one, self._registry))) for one in self._facts]
        return iter(self._opened)

    def close(self) -> None:
        """End their threads."""
        self._open.close()


def _kept(path: Path, count: int) -> _Found | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    is_whole = isinstance(found, list) and len(found) == count
    return found if is_whole and all(one is None or isinstance(one, str) for one in found) else None


def _translated(predictor: "Predictor", texts: _Found) -> _Found:
    """What a version makes of texts; None where it reads or writes a part alone, or nothing."""
    # The likeliest words: a draw would be another one each time.
    parameters = predictor.task.read_parameters({"do_sample": False}, predictor.model)
    places = [place for place, text in enumerate(texts) if text]
    rows = predictor.prepare([texts[place] for place in places], parameters)
    found: _Found = [None] * len(texts)
    for place, row, output in zip(places, rows, predictor.engine.run(rows), strict=True):
        # Some models write an end where they are cut.
        is_cut = output.finish == "length" or len(output.ids) >= parameters.max_new_tokens
        if not row.truncated and not is_cut:
            answer = cast(dict[str, str], predictor.engine.answer(row, output, parameters))
            found[place] = answer["translation_text"].strip() or None
    return found

"""`report/report.html`: the page of a run, made of what is measured by then and of a linear model of the same rows."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunewright.job.data.dataset import strings
from tunewright.job.kinds.plan import Part, Plan
from tunewright.job.measure.evaluation import evaluated
from tunewright.job.measure.labels import answered
from tunewright.job.measure.metric import METRICS, figures
from tunewright.job.measure.rows.floor import linear_answers, rows_for
from tunewright.job.measure.rows.label_words import label_words, rows_read
from tunewright.job.progress.events import say
from tunewright.job.report.html import Section, page
from tunewright.job.report.parts import (
    certainty,
    facts,
    labels,
    learning,
    numbers,
    quality,
    reliability,
    robustness,
    rows,
    tags,
    why,
    written,
)
from tunewright.job.report.subject import Floor, Holder, LabelWords, Subject
from tunewright.job.steps.release import Release
from tunewright.job.train.state import Trained
from tunewright.registry.versions.record import REPORT

_LEARNED = ("single_label", "multi_label", "regression")
"""Problems that a linear model of the words can be made for."""
_PARTS: Sequence[Callable[[Subject], Section | None]] = (
    quality.verdict,
    quality.quality,
    labels.labels,
    tags.tags,
    numbers.numbers,
    written.written,
    numbers.vectors,
    certainty.certainty,
    reliability.reliability,
    rows.slices,
    rows.lost,
    rows.flips,
    robustness.robustness,
    why.why,
    learning.learning,
    facts.data,
    facts.lineage,
)


def write_page(
    release: Release, plan: Plan, trained: Trained, lineage: Mapping[str, object], holder: Holder | None = None
) -> Path:
    """Write the page into the bundle and say how long it took. `holder`: who has the alias that will be moved."""
    started = time.perf_counter()
    subject = Subject(
        release, plan, trained, lineage, linear_floor(plan, release.headline), holder, words_of_labels(plan)
    )
    path = release.folder / REPORT
    path.parent.mkdir(exist_ok=True)
    path.write_text(page_of(subject), encoding="utf-8")
    seconds, size = time.perf_counter() - started, path.stat().st_size
    say("page", f"{REPORT}: {size / 1024:,.0f} KiB in {seconds:.1f} s", seconds=round(seconds, 2), bytes=size)
    return path


def page_of(subject: Subject) -> str:
    """The page of a run; sections that it has nothing of are left out."""
    settings = subject.plan.settings
    about = f"{settings.task}: what this model can do, where it fails, and what it was made of."
    sections = [section for part in _PARTS if (section := part(subject)) is not None]
    return page(settings.model_name, about, sections)


def linear_floor(plan: Plan, headline: str) -> Floor | None:
    """What a linear model of the words reaches on the test rows; None for other tasks, and with too many labels."""
    prepared, problem = plan.prepared, plan.prepared.problem
    size = max(len(prepared.labels), 1)
    if prepared.imported or prepared.task.columns.media or problem not in _LEARNED or not rows_for(size):
        return None
    started = time.perf_counter()
    train = _drawn(prepared.train, rows_for(size))
    outputs = linear_answers(_texts(train), np.asarray(train.targets[:]), _texts(prepared.test), problem, size)
    targets = prepared.test.targets[:]
    names = [name for name in prepared.metric_names if name in METRICS and problem in METRICS[name].of]

    def measure(chosen: NDArray[np.int64]) -> dict[str, float]:
        some = outputs[chosen]
        said = some if problem == "regression" else answered(some, targets[chosen], problem)
        return figures(names, problem, targets[chosen], said)

    found = evaluated(measure, len(prepared.test), headline=headline, ms_per_text=0.0)
    return Floor(found.metrics, found.intervals, len(train), time.perf_counter() - started)


def words_of_labels(plan: Plan) -> LabelWords | None:
    """Which words of the training rows speak for which label; None where no labels of texts are learned."""
    prepared, size = plan.prepared, max(len(plan.prepared.labels), 1)
    rows = min(rows_for(size), rows_read(size))
    labelled = prepared.problem in ("single_label", "multi_label")
    if prepared.imported or prepared.task.columns.media or not labelled or not rows:
        return None
    train = _drawn(prepared.train, rows)
    return LabelWords(label_words(_texts(train), np.asarray(train.targets[:]), size), len(train))


def _drawn(train: Part, rows: int) -> Part:
    """The training rows, or so many of them."""
    return train if len(train) <= rows else train.drawn(rows, seed=1)


def _texts(part: Part) -> list[str]:
    return [" ".join(strings(value)) for inputs, _ in part.data.batches() for value in inputs]

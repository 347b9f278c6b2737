"""Which base model for this data: each candidate is measured on the same rows, and one is recommended.

A candidate is tried as it comes: its encoder stays frozen, and a linear head is fitted to the means of its token
vectors (a probe). That takes seconds where fine-tuning takes minutes, and tells what an encoder knows of such texts.

Axes: N rows, L labels.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table
from torch import nn

from tunewright.job.batches.side import Array
from tunewright.job.batches.text import tokenizer_fit
from tunewright.job.commands.candidates import local_candidates
from tunewright.job.errors import BaseModelError, JobError, SettingsError
from tunewright.job.export.graph import check_exportable
from tunewright.job.kinds.plan import Plan, Prepared
from tunewright.job.measure.evaluation import time_alone
from tunewright.job.measure.labels import answered
from tunewright.job.measure.metric import figures
from tunewright.job.model.base_model import fetch_base_model
from tunewright.job.model.head import apply_head, embed, fit_head
from tunewright.job.progress.events import say, show_table, warn
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.prepare import prepare
from tunewright.registry.errors import RegistryError
from tunewright.registry.settings import RegistrySettings
from tunewright.serving.bundle.model_file import MODEL_FILE
from tunewright.serving.errors import ServingError
from tunewright.serving.predictor import open_predictor
from tunewright.serving.text.encoding import load_tokenizer

TASKS = ("text-classification", "text-regression")
_LEAST_ROWS = 10
_RESAMPLES = 200
"""Bootstrap resamples that tell a difference between two candidates from noise."""


@dataclass(frozen=True)
class Figures:
    """What was measured of one candidate."""

    score: float
    """Headline metric of the probe on the validation rows."""
    ms_per_text: float
    """Median milliseconds of an answer to one text alone, in ONNX int8 on this machine."""
    tokens_per_word: float
    unknown_tokens: float
    """Share of the tokens that are the unknown token."""
    parameters: int
    bytes: int
    """Size of the base model's files."""


@dataclass(frozen=True)
class Tried:
    """One candidate: what was measured, or why it cannot be used."""

    address: str
    reason: str = ""
    figures: Figures | None = None
    outputs: Array | None = None
    """What the probe answers to the validation rows, `[N, L]`."""


@dataclass(frozen=True)
class Suggestion:
    """All candidates in the order they were given, and the one to take."""

    tried: list[Tried]
    headline: str
    rows: int
    """Validation rows that the scores stand on."""
    address: str
    reason: str


def suggest(
    settings: JobSettings, registry: RegistrySettings, candidates: Sequence[str], *, rows: int, work: Path
) -> Suggestion:
    """Try each candidate (those that are here, where none is named) with up to `rows` training rows and as many
    validation rows, and choose one.

    SettingsError for a task whose base models cannot be compared in this way; BaseModelError when no candidate can be
    used, after each has been said with its reason.
    """
    if rows < _LEAST_ROWS:
        raise SettingsError(f"--rows is {rows}; expected {_LEAST_ROWS} or more")
    if settings.task not in TASKS:
        raise SettingsError(f"suggest compares base models for {' and '.join(TASKS)}, not for {settings.task}")
    settings = _probing(settings)
    prepared = _sample(prepare(settings, registry.cache, work / "data"), rows, settings.train.seed)
    headline = prepared.task.headline(prepared.problem)
    tried = []
    for address in candidates or local_candidates(settings, registry):
        tried.append(_try(address, settings, prepared, registry, work / "candidate"))
        shutil.rmtree(work / "candidate", ignore_errors=True)
        _say_tried(tried[-1], headline)
    address, reason = recommend(tried, prepared)
    return Suggestion(tried, headline, len(prepared.validation), address, reason)


def _probing(settings: JobSettings) -> JobSettings:
    """The settings with an encoder that gives one vector a text, and rows held out to score it on."""
    train = settings.train.model_copy(update={"pooling": "mean", "few_shot": None})
    return settings.model_copy(update={"train": train})


def _sample(prepared: Prepared, rows: int, seed: int) -> Prepared:
    """Up to so many rows of train and of validation."""
    if not len(prepared.validation):
        raise SettingsError("data.validation_fraction is 0, but suggest needs validation rows; remove it")
    train, validation = (part.drawn(rows, seed) for part in (prepared.train, prepared.validation))
    return replace(prepared, train=train, validation=validation)


def _try(address: str, settings: JobSettings, prepared: Prepared, registry: RegistrySettings, work: Path) -> Tried:
    """Measure one candidate; what is wrong with it is its reason."""
    task = prepared.task
    try:
        base = fetch_base_model(address, registry, task.inputs.needs)
        check_exportable(str(base.config()["model_type"]), address, task.graph.architectures)
        return _measure(Plan(settings, prepared, base, task.inputs.open_encoder(settings, base)), work)
    except (JobError, RegistryError, ServingError) as error:
        return Tried(address, reason=str(error))


def _measure(plan: Plan, work: Path) -> Tried:
    prepared, base = plan.prepared, plan.base
    model = prepared.task.graph.build(plan)
    train, validation = (
        embed(model, prepared.task.inputs.encode(plan, side, work / side, lambda rows: None))
        for side in ("train", "validation")
    )
    outputs = apply_head(validation, fit_head(train, prepared.train.targets[:], prepared.problem))
    fit = tokenizer_fit(prepared.train.data, load_tokenizer(base.tokenizer))
    figures = Figures(
        score=_score(outputs, np.arange(len(outputs)), prepared),
        ms_per_text=_time(model, plan, work / "bundle"),
        tokens_per_word=fit.tokens_per_word,
        unknown_tokens=fit.unknown_tokens,
        parameters=sum(weight.numel() for weight in model.parameters()),
        bytes=sum(path.stat().st_size for path in base.folder.iterdir()),
    )
    return Tried(base.address, figures=figures, outputs=outputs)


def _score(outputs: Array, rows: NDArray[np.int64], prepared: Prepared) -> float:
    """The headline metric of these validation rows."""
    problem, targets = prepared.problem, prepared.validation.targets[rows]
    headline = prepared.task.headline(problem)
    answers = outputs[rows][:, 0] if problem == "regression" else answered(outputs[rows], targets, problem)
    return figures([headline], problem, targets, answers)[headline]


def _time(model: nn.Module, plan: Plan, folder: Path) -> float:
    """Milliseconds of an answer of the program that serves, from the text on."""
    task = plan.prepared.task
    variants = task.graph.export(model, plan, folder, ["fp32", "int8"])
    shutil.copyfile(plan.base.tokenizer, folder / "tokenizer.json")
    (folder / MODEL_FILE).write_text(task.model_file(plan, variants).model_dump_json())
    predictor = open_predictor(folder, variant="int8")
    try:
        return time_alone(predictor, plan.prepared.validation.data, task.columns.served)
    finally:
        predictor.close()


def recommend(tried: Sequence[Tried], prepared: Prepared) -> tuple[str, str]:
    """The fastest of the candidates that are not surely worse than the one with the best score, and the reason.

    Surely worse: in 97.5 % of the resamples of the validation rows, the same rows for both. BaseModelError when there
    is no candidate to choose from.
    """
    usable = [(one.figures, one) for one in tried if one.figures]
    if not usable:
        raise BaseModelError(f"none of the {len(tried)} candidates can be used; each was said with its reason")
    most, best = max(usable, key=lambda one: one[0].score)
    rivals = [(figures, one) for figures, one in usable if not _surely_worse(one, best, prepared)]
    least, fastest = min(rivals, key=lambda one: one[0].ms_per_text)
    headline, rows = prepared.task.headline(prepared.problem), f"{len(prepared.validation):,} validation rows"
    if fastest is best:
        return best.address, f"the best {headline} of the probe ({most.score:.3f} on {rows})"
    return fastest.address, (
        f"{headline} {least.score:.3f} on {rows} is within the noise of the best ({most.score:.3f}, {best.address}), "
        f"and an answer takes {least.ms_per_text:.1f} ms instead of {most.ms_per_text:.1f}"
    )


def _surely_worse(one: Tried, best: Tried, prepared: Prepared) -> bool:
    if one is best:
        return False
    assert one.outputs is not None
    assert best.outputs is not None
    random = np.random.default_rng(0)
    drawn = (random.integers(0, len(best.outputs), len(best.outputs)) for _ in range(_RESAMPLES))
    lost = [_score(best.outputs, rows, prepared) - _score(one.outputs, rows, prepared) for rows in drawn]
    return float(np.percentile(lost, 2.5)) > 0


def show(suggestion: Suggestion) -> None:
    """The table on a terminal, and the recommendation; elsewhere each candidate has been an event already."""
    text = f"base_model: {suggestion.address} ({suggestion.reason})"
    show_table(_table(suggestion), "suggestion", text, base_model=suggestion.address, reason=suggestion.reason)


def _say_tried(one: Tried, headline: str) -> None:
    if one.figures is None:
        warn("candidate", f"{one.address} cannot be used: {one.reason}", base_model=one.address, reason=one.reason)
        return
    facts = {headline if name == "score" else name: value for name, value in asdict(one.figures).items()}
    shown = f"{headline} {one.figures.score:.4f}, {one.figures.ms_per_text:.2f} ms/text"
    say("candidate", f"{one.address}: {shown}", base_model=one.address, **facts)


def _table(suggestion: Suggestion) -> Table:
    """One line a candidate; one that cannot be used has its reason instead of figures."""
    table = Table(title=f"base models, probed on {suggestion.rows:,} validation rows", title_justify="left")
    for column in ("base model", suggestion.headline, "ms/text", "MiB", "weights", "tokens/word", "unknown", ""):
        table.add_column(column, justify="left" if column in ("base model", "") else "right", overflow="fold")
    for one in suggestion.tried:
        chosen = "recommended" if one.address == suggestion.address else ""
        table.add_row(escape(one.address), *_cells(one.figures), chosen or escape(one.reason))
    return table


def _cells(figures: Figures | None) -> tuple[str, ...]:
    if figures is None:
        return ("-",) * 6
    return (
        f"{figures.score:.4f}",
        f"{figures.ms_per_text:.2f}",
        f"{figures.bytes / 2**20:.1f}",
        f"{figures.parameters / 1e6:.1f} M",
        f"{figures.tokens_per_word:.2f}",
        f"{figures.unknown_tokens:.2%}",
    )

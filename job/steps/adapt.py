"""Let the base model read unlabelled text first, and find out what that bought (Gururangan et al. 2020).

The base learns to find masked words in the text (`masked-language-modelling`). Then the task is learned twice, from
the plain base and from the adapted one, and the model that is better on validation is kept.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import numpy as np
from accelerate import Accelerator
from torch import nn

from tunewright.job.batches.side import NO_TARGETS, Rows
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.data.columns import Roles
from tunewright.job.errors import JobError, SettingsError
from tunewright.job.kinds.plan import AdaptationPlan, DataFacts, Plan, Prepared
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.model.build import build_masked
from tunewright.job.model.find import FILES_OF_ENCODERS
from tunewright.job.model.load import save_weights
from tunewright.job.progress.events import say, warn
from tunewright.job.settings.data import DataSettings
from tunewright.job.settings.job import ExportSettings, GateSettings, JobSettings
from tunewright.job.settings.train import TrainSettings
from tunewright.job.steps.contradictions import read_options
from tunewright.job.steps.encode import encode_sides
from tunewright.job.steps.prepare import prepare
from tunewright.job.steps.teach import Before, Taught, teach, unplanned
from tunewright.job.tasks import TASKS
from tunewright.job.train.loop import train
from tunewright.job.train.objective import Objective, scored

TASK = "masked-language-modelling"
_LEAST = 1e-6
"""Share of the text held out for a test that nobody makes."""


@dataclass(frozen=True)
class Adaptation:
    """What adaptation bought."""

    kept: bool
    """Whether the model of the adapted base is the one that was released."""
    metric: str
    """The validation figure that decided."""
    without: float
    """What the model of the plain base reached."""
    adapted: float
    """What the model of the adapted base reached."""
    perplexity_before: float
    """Of the base on the validation side of the text."""
    perplexity_after: float
    new_head: bool
    """Whether the base brought no head that finds words, so that its perplexity before says nothing."""
    text: DataFacts
    """Fingerprint and size of the text; what is known of `data` where the text is that of the training rows."""


class _Reading(TypedDict):
    """What the base learned of the text."""

    perplexity_before: float
    perplexity_after: float
    new_head: bool


def read_text(plan: Plan, cache: Path, work: Path) -> AdaptationPlan:
    """The text of `adapt` up to arrays; a JobError says why the base of a job cannot be adapted to it."""
    _check(plan)
    settings = _settings(plan.settings)
    try:
        is_own = plan.settings.adapt is not None and plan.settings.adapt.data is None
        prepared = _own_texts(plan, settings) if is_own else prepare(settings, cache, work)
        _warn_overlap(plan, prepared)
        text = Plan(settings, prepared, plan.base, prepared.task.inputs.open_encoder(settings, plan.base))
        prepared.task.objective(text)
        found = AdaptationPlan(text, encode_sides(text, work))
    except JobError as error:
        raise type(error)("\n".join(f"adapt: {sentence}" for sentence in str(error).splitlines())) from error
    if not len(found.sides[1]):
        raise SettingsError("adapt needs text that is held out to measure: raise adapt.data.validation_fraction")
    return found


def _check(plan: Plan) -> None:
    known, kind = TASKS[TASK].graph.architectures, str(plan.base.config()["model_type"])
    if kind not in known:
        raise SettingsError(
            f"adapt is for encoders of text; base model {plan.base.address!r} is of the architecture {kind!r}. Remove "
            f"adapt, or choose one of {', '.join(known)}"
        )


def _warn_overlap(plan: Plan, text: Prepared) -> None:
    """The base may read what its model is tested on later: without labels, and yet."""
    test = plan.prepared.test.keys
    shared = int(np.isin(test, text.train.keys).sum())
    if shared:
        warn("adapt", f"{shared:,} of {len(test):,} test texts also stand in the text: the figures may flatter")


def _settings(settings: JobSettings) -> JobSettings:
    """The settings of the job that reads the text."""
    asked, train = settings.adapt, settings.train
    assert asked is not None
    steps = TrainSettings(
        epochs=asked.epochs,
        learning_rate=asked.learning_rate,
        batch_size=asked.batch_size,
        max_length=asked.max_length or train.max_length,
        seed=train.seed,
        precision=train.precision,
        compile=train.compile,
        gradient_checkpointing=train.gradient_checkpointing,
        optimizer=train.optimizer,
        checkpoint=train.checkpoint,
    )
    changes: dict[str, object] = {
        "task": TASK,
        "options": {"mask": asked.mask, "whole_words": asked.whole_words},
        "adapt": None,
        "gate": GateSettings(),
        "export": ExportSettings(),
        "metrics": [],
        "train": steps,
        "data": _text_settings(asked.data, settings.data) if asked.data else settings.data,
    }
    return settings.model_copy(update=changes)


def _text_settings(text: DataSettings, rows: DataSettings) -> DataSettings:
    """Those of the text; cleaned like the rows unless told otherwise, and with next to nothing held out for test."""
    cleaning = text.cleaning if "cleaning" in text.model_fields_set else rows.cleaning
    return text.model_copy(update={"cleaning": cleaning, "test_fraction": _LEAST})


def _own_texts(plan: Plan, settings: JobSettings) -> Prepared:
    """The texts of the training rows, whatever their task is; those of the validation rows tell the perplexity."""
    prepared = plan.prepared
    train, validation, test = (
        replace(part, targets=NO_TARGETS) for part in (prepared.train, prepared.validation, prepared.test)
    )
    options, roles = read_options(settings), Roles(prepared.roles.inputs, "", "")
    facts = DataFacts(rows=prepared.facts["rows"])
    return Prepared(TASKS[TASK], options, roles, [], train, validation, test, facts)


def adapt(
    plan: Plan,
    sides: tuple[Rows, Rows],
    work: Path,
    checkpoints: Checkpoints | None = None,
    *,
    before: Before = unplanned,
    before_text: Before = unplanned,
) -> tuple[Taught, Adaptation]:
    """The better one of two models on the validation side: from the base as it is, and from the adapted base.

    `before_text`: called before the base reads the text, `before` before each of the two learns.
    """
    text = plan.adaptation
    assert text is not None
    say("adapt", "first the base reads the text")
    reads, plainly, adaptedly = (checkpoints and checkpoints.of(stage) for stage in ("text", "plain", "adapted"))
    base, reading = _adapted(text, work, reads, before_text)
    say("adapt", "then the task is learned from the plain base")
    plain = teach(plan, sides, plainly, before=before)
    say("adapt", "and from the adapted base")
    taught = teach(replace(plan, base=base), sides, adaptedly, before=before)
    objective = plan.prepared.task.objective(plan)
    without, adapted = (one.trained.figures[objective.metric] for one in (plain, taught))
    kept = objective.better(adapted, without)
    adaptation = Adaptation(kept, objective.metric, without, adapted, **reading, text=text.plan.prepared.facts)
    say("adapt", sentence(adaptation), without=without, adapted=adapted, kept=kept)
    return (taught if kept else plain), adaptation


def sentence(adaptation: Adaptation) -> str:
    """What adaptation bought, for people."""
    head = " (with a new head)" if adaptation.new_head else ""
    return (
        f"perplexity {adaptation.perplexity_before:,.1f}{head} -> {adaptation.perplexity_after:,.1f}; "
        f"{adaptation.metric} on validation {adaptation.without:.4f} without adaptation, "
        f"{adaptation.adapted:.4f} with it: the {'adapted' if adaptation.kept else 'plain'} base is kept"
    )


def _adapted(
    text: AdaptationPlan, work: Path, checkpoints: Checkpoints | None, before_text: Before
) -> tuple[BaseCheckpoint, "_Reading"]:
    """The base after reading, and its perplexity before and after."""
    plan, task = text.plan, text.plan.prepared.task
    objective = task.objective(plan)
    model, new_head = build_masked(plan.base, plan.settings.train)
    before_text(model, text.sides, objective, plan)
    before = _perplexity(model, text.sides[1], objective)
    trained = train(model, text.sides, objective, plan.settings.train, checkpoints)
    save_weights(model, work / "adapted")
    for name in FILES_OF_ENCODERS:
        if (plan.base.folder / name).is_file():
            shutil.copyfile(plan.base.folder / name, work / "adapted" / name)
    reading = _Reading(perplexity_before=before, perplexity_after=trained.figures["perplexity"], new_head=new_head)
    return replace(plan.base, folder=work / "adapted"), reading


def _perplexity(model: nn.Module, rows: Rows, objective: Objective) -> float:
    """Of a model as it is."""
    device = Accelerator().device
    figures = objective.measure(scored(model.to(device).eval(), rows, objective))
    model.cpu()
    return figures["perplexity"]

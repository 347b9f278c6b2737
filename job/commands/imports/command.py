"""`tunewright import`: a model that was taught elsewhere becomes a version, with all that a trained one has."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from tunewright.job.commands.imports.graph import check_graph, model_files, with_graph
from tunewright.job.commands.imports.head import head_labels
from tunewright.job.commands.imports.rows import measured_rows
from tunewright.job.data.columns import read_roles
from tunewright.job.export.given import GivenGraph
from tunewright.job.export.graph import check_exportable
from tunewright.job.kinds.plan import Plan
from tunewright.job.model.base_model import BaseCheckpoint, fetch_base_model
from tunewright.job.model.classifiers import scale_head
from tunewright.job.model.find import find, is_wanted
from tunewright.job.model.layers import Parameters
from tunewright.job.model.tokenizer import length_limit
from tunewright.job.progress.events import say
from tunewright.job.recipe import Outcome, finish_again, register
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.train import TrainSettings
from tunewright.job.steps.begin import Begun, Ready
from tunewright.job.steps.contradictions import used
from tunewright.job.steps.teach import Taught
from tunewright.job.tasks import TASKS
from tunewright.job.train.state import Trained
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.transfer.download import sha256_of
from tunewright.serving.runtime.capacity import available_cpus

_MOST_LENGTH = 512
"""Tokens of a text where the settings name no length and the model reads more: what most were taught with."""


def get_ready(settings: JobSettings, registry: RegistrySettings, work: Path) -> Ready:
    """Look at the model, then read the rows that it is measured on; a JobError says what is wrong with either."""
    task, found = TASKS[settings.task], find(settings.base_model, registry, graphs=True)
    base = fetch_base_model(settings.base_model, registry, task.inputs.needs, found=found, held=model_files)
    base = replace(with_graph(base, settings), finished=True)
    role = read_roles(settings.data, task.forms).target_role
    labels = head_labels(json.loads((found / "config.json").read_bytes()), settings, role, base.address)
    check_graph(base, settings.task, labels)
    return Ready(measured_rows(settings, labels, registry.cache, work), found, base)


def import_model(begun: Begun, settings: JobSettings, registry: RegistrySettings) -> Outcome:
    """The rest of an import: the model as it is, exported, measured, registered."""
    if begun.done:
        return finish_again(begun, begun.done, settings, registry)
    assert begun.ready is not None
    base = begun.ready.checkpoint
    assert base is not None
    torch.set_num_threads(min(torch.get_num_threads(), available_cpus()))
    plan = _plan(begun.ready, base, settings, registry)
    told = {"address": base.address, "files": _digests(begun.ready.base, base)}
    taught = _taken(plan)
    facts: Mapping[str, object] = {"imported": told, "settings": plan.settings.told()}
    return register(begun, plan, taught, plan.settings, registry, told=facts)


def _plan(ready: Ready, base: BaseCheckpoint, settings: JobSettings, registry: RegistrySettings) -> Plan:
    task, config = ready.prepared.task, base.config()
    if base.graph is None:
        check_exportable(str(config["model_type"]), base.address, task.graph.architectures)
    pooled = {"pooling": config.get("tunewright_pooling", "native")} if "train.pooling" in used(task) else {}
    settings = settings.model_copy(update={"train": _with(settings.train, {**pooled, **_length(settings, base)})})
    encoder = task.inputs.open_encoder(settings, base)
    return Plan(settings, ready.prepared, base, encoder, encoded=registry.cache / "encoded")


def _with(train: TrainSettings, found: Mapping[str, object]) -> TrainSettings:
    """The same with what was found in the model, which counts as given by nobody."""
    made = train.model_copy(update=found)
    made.model_fields_set.difference_update(found.keys() - train.model_fields_set)
    return made


def _length(settings: JobSettings, base: BaseCheckpoint) -> dict[str, int]:
    """As many tokens as the model reads, up to a usual number: it was not taught with the rows of this job."""
    limit = length_limit(base.folder, base.config()) if base.tokenizer.is_file() else None
    if limit is None or settings.train.max_length is not None or "train.max_length" not in used(TASKS[settings.task]):
        return {}
    length = min(limit, _MOST_LENGTH)
    say("model", f"texts are read up to {length} tokens (train.max_length), of {limit:,} that the model may have")
    return {"max_length": length}


def _taken(plan: Plan) -> Taught:
    """The model with every weight of its file."""
    task = plan.prepared.task
    if plan.base.graph:
        given = GivenGraph(plan.base.graph)
        say("model", f"{plan.base.address}: a graph of {given.weights:,} weights, taken as it is")
        return Taught(given.eval(), Parameters(given.weights, 0), Trained("fp32", "cpu"))
    model, scale = task.graph.build(plan), task.objective(plan).scale
    if scale != (0.0, 1.0):
        scale_head(model, scale)
    weights = sum(weight.numel() for weight in model.parameters())
    say("model", f"{plan.base.address}: {weights:,} weights, taken as they are")
    return Taught(model.eval(), Parameters(weights, 0), Trained("fp32", "cpu"))


def _digests(found: Path, base: BaseCheckpoint) -> dict[str, str]:
    """sha256 of the files that were read, as they were found."""
    names = [path.name for path in found.iterdir() if is_wanted(path.name)]
    names += model_files(found, base.address) if base.graph else []
    return {name: sha256_of(found / name) for name in sorted(names)}

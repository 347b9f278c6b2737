"""The job on one screen: data, check, split, encode, fine-tune, export, parity, test, gate, publish, alias."""

import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from job import signals
from job.base_model import BaseModel, fetch_base_model
from job.encode import EncodedSplit
from job.export import check_exportable
from job.gate import check_metrics
from job.lineage import lineage
from job.model import build_model, choose_layers, scale_head
from job.prepare import Prepared, encode_parts, make_encoder, prepare
from job.progress import say, warn
from job.release import Release, release
from job.report import write_report
from job.settings import JobSettings
from job.tasks.task import Loss
from job.train import Objective, train
from registry import alias
from registry.errors import Conflict
from registry.probe import probe
from registry.publish import find_run, publish
from registry.record import Version
from registry.settings import RegistrySettings
from registry.store import Store, open_store
from serving.encoding import Encoder


@dataclass(frozen=True)
class Outcome:
    """What a finished job leaves behind. `release` is None when an earlier try of the same run had published."""

    version: Version
    release: Release | None


def run(settings: JobSettings, registry: RegistrySettings) -> Outcome:
    """Make and register one version; nothing is registered after a JobError, nor twice when a run is tried again."""
    started = time.time()
    run_id = settings.run_id or f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
    store = _open_writable(registry)
    if done := find_run(store, settings.model_name, run_id):
        say("registry", f"run {run_id} has already published {done.name}:{done.number}")
        return Outcome(_point_alias(store, done, settings, run_id), None)
    folder = settings.output / run_id
    try:
        base, prepared, encoder, (train_rows, validation_rows) = look(settings, registry, folder / "work")
        objective = _objective(prepared, make_loss(prepared, settings), settings)

        model = build_model(base, prepared.labels, settings.train, objective.scale)
        parameters = choose_layers(model, settings.train.layers)
        say("model", f"{base.address}: {parameters.total:,} weights, {parameters.learning:,} of them learn")
        trained = train(model, (train_rows, validation_rows), encoder, objective, settings.train)
        scale_head(model, objective.scale)

        released = release(model, prepared, validation_rows, encoder, base, settings, folder / "bundle")
        facts = lineage(settings, prepared, base, trained, parameters, run_id)
        facts["times"] = {"started": started, "seconds": round(time.time() - started, 1)}
        write_report(released, prepared, trained, base, settings, facts)
    finally:
        shutil.rmtree(folder / "work", ignore_errors=True)
    signals.check()
    version = publish(
        store,
        settings.model_name,
        _files(released.folder),
        run_id=run_id,
        config=_summary(released),
        single_writer=registry.single_writer,
    )
    say("registry", f"registered {version.name}:{version.number} ({version.digest}) in {store.uri}")
    return Outcome(_point_alias(store, version, settings, run_id), released)


def look(
    settings: JobSettings, registry: RegistrySettings, work: Path
) -> tuple[BaseModel, Prepared, Encoder, tuple[EncodedSplit, EncodedSplit]]:
    """Everything up to token ids: all that can be wrong with settings, base model and data is said here."""
    prepared = prepare(settings, registry.cache, work)
    check_metrics(settings, prepared.task.metric_names(prepared.problem))
    base = fetch_base_model(settings.base_model, registry)
    if base.dropped:
        say("model", f"left out of the base model's configuration: {', '.join(base.dropped)}")
    check_exportable(str(base.config()["model_type"]), base.address)
    encoder = make_encoder(settings, base)
    return base, prepared, encoder, encode_parts(prepared, encoder, base, work)


def make_loss(prepared: Prepared, settings: JobSettings) -> Loss:
    """The task's loss with the weights the settings ask for."""
    return prepared.task.make_loss(settings.train, prepared.labels, prepared.train.targets, prepared.problem)


def _open_writable(registry: RegistrySettings) -> Store:
    """The registry's store, proven before any training to take versions without losing them."""
    store = open_store(registry.uri, single_writer=registry.single_writer)
    if not registry.single_writer:
        probe(store)
    return store


def _objective(prepared: Prepared, loss: Loss, settings: JobSettings) -> Objective:
    metric = settings.train.metric or prepared.task.headline(prepared.problem)
    return Objective(
        loss=loss,
        scale=prepared.task.output_scale(prepared.train.targets),
        measure=lambda logits, targets: prepared.task.metrics(logits, targets, prepared.problem),
        metric=metric,
    )


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _summary(released: Release) -> dict[str, object]:
    """What `registry list` and `show` tell of a version without pulling it."""
    model = released.model
    return {
        "task": model.task,
        "problem": model.problem,
        "labels": len(model.labels),
        "headline": released.headline,
        "default_variant": model.default_variant,
        "metrics": {name: variant.metrics for name, variant in model.variants.items()},
    }


def _point_alias(store: Store, version: Version, settings: JobSettings, run_id: str) -> Version:
    if settings.alias is None:
        return version
    try:
        alias.move(store, version.name, settings.alias, version.number, reason=f"run {run_id} passed its gates")
    except Conflict:
        # A later job was faster: what it released stays, and trying again would change nothing.
        newer = alias.current(store, version.name, settings.alias)
        warn("registry", f"{version.name}@{settings.alias} stays at {version.name}:{newer}, which is newer")
    else:
        say("registry", f"{version.name}@{settings.alias} is now {version.name}:{version.number}")
    return version

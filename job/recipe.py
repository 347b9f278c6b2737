"""The job on one screen: data, check, split, encode, fine-tune, export, parity, test, gate, publish, alias."""

import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType

import torch

from tunewright.job import signals
from tunewright.job.batches.side import Rows
from tunewright.job.budget import within_minutes
from tunewright.job.data.taught_rows import Kind, save_taught
from tunewright.job.errors import DataError
from tunewright.job.export.graph import check_exportable
from tunewright.job.forecast import Forecast, trainings_of
from tunewright.job.kinds.plan import Plan, Prepared
from tunewright.job.model.base_model import fetch_base_model
from tunewright.job.model.build import check_dropout
from tunewright.job.progress.events import say, warn
from tunewright.job.relay import share
from tunewright.job.report.card import write_report
from tunewright.job.report.lineage import lineage
from tunewright.job.report.subject import Holder
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.adapt import Adaptation, adapt, read_text
from tunewright.job.steps.begin import Begun, Ready, begin, get_ready
from tunewright.job.steps.diagnose import diagnose, hold_back
from tunewright.job.steps.encode import encode_sides
from tunewright.job.steps.release import Release, release
from tunewright.job.steps.run.after import ROWS, leave
from tunewright.job.steps.run.folders import local_folder, work_folder
from tunewright.job.steps.run.promote import point_alias, require
from tunewright.job.steps.run.resume import digest_of, digest_of_taught, open_checkpoints
from tunewright.job.steps.run.stages import BUNDLE, CHECKPOINTS, Stages
from tunewright.job.steps.teach import Taught, teach
from tunewright.job.steps.teachers.distill import with_teacher
from tunewright.job.steps.teachers.pseudo_labels import with_pool
from tunewright.job.steps.teachers.translators import with_translations
from tunewright.job.train.cost.work import Pace
from tunewright.job.train.distributed import world
from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import Store
from tunewright.registry.trust.trust import open_trust
from tunewright.registry.versions.manifest import Layer
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import read_manifest
from tunewright.registry.versions.record import Summary, Version, summarize
from tunewright.registry.versions.reference import resolve
from tunewright.registry.webhook import tell_published
from tunewright.serving.runtime.capacity import available_cpus


@dataclass(frozen=True)
class Outcome:
    """What a finished job leaves behind. `release` is None when an earlier try of the same run had published."""

    version: Version
    release: Release | None
    pace: Pace | None = None
    """How fast the model has learned; None where it has not."""


def run(settings: JobSettings, registry: RegistrySettings) -> Outcome:
    """Make and register one version; nothing is registered after a JobError, nor twice when a run is tried again."""
    with begin(settings, registry) as begun:
        return finish(begun, settings, registry)


def finish(begun: Begun, settings: JobSettings, registry: RegistrySettings) -> Outcome:
    """The rest of a run."""
    if done := begun.done:
        return finish_again(begun, done, settings, registry)
    assert begun.ready is not None
    plan, sides = open_base(begun.ready, settings, registry, begun.work)
    if settings.train.minutes:
        plan, sides = _within_minutes(plan, sides, begun)
    if settings.data.gate:
        rows = {"train": sides[0], "validation": sides[1]}
        hold_back(diagnose(plan, rows, begun.work), settings.data.gate)
    world().tell("read", digest_of(plan))
    share(registry.cache)
    kept = open_checkpoints(plan, begun.folder / CHECKPOINTS, begun.mirror and begun.mirror.within(CHECKPOINTS))
    before = Forecast(trainings_of(settings), goes_on=kept.has_any())
    taught, adaptation = (
        adapt(plan, sides, begun.work, kept, before=before, before_text=before.of_text)
        if plan.adaptation
        else (teach(plan, sides, kept.of("train"), before=before), None)
    )
    return register(begun, plan, taught, settings, registry, adaptation=adaptation)


def finish_again(begun: Begun, done: Version, settings: JobSettings, registry: RegistrySettings) -> Outcome:
    """The end of a run whose version an earlier try has published: what may be missing is signature and alias."""
    store = begun.store
    say("registry", f"run {begun.run_id} has already published {done.name}:{done.number}")
    open_trust(registry).sign(store, done)
    # What the first try found is part of the version.
    short = read_manifest(store, done).config.get("short_of_baseline")
    missed = point_alias(begun, done, settings, registry, short=str(short) if short else None)
    leave(begun.folder, begun.mirror, keep_bundle=settings.keep_bundle)
    require(missed)
    return Outcome(done, None)


def register(
    begun: Begun,
    plan: Plan,
    taught: Taught,
    settings: JobSettings,
    registry: RegistrySettings,
    *,
    adaptation: Adaptation | None = None,
    told: Mapping[str, object] = MappingProxyType({}),
) -> Outcome:
    """A model as it will be exported, to a version: files, figures, gates, report, and the alias. `told`: more for its
    lineage."""
    store = begun.store
    with Stages(begun.folder, begun.mirror) as stages:
        stages.begin(digest_of_taught(taught.model, plan))
        objective = plan.prepared.task.objective(plan)
        released = release(taught.model, plan, objective, begun.folder / BUNDLE, stages)
        facts = {**lineage(plan, taught.trained, taught.parameters, begun.run_id), **told}
        facts["adaptation"] = asdict(adaptation) if adaptation else None
        facts["times"] = {"started": begun.started, "seconds": round(time.time() - begun.started, 1)}
        hashed = write_report(released, plan, taught.trained, facts, adaptation, _holder(store, settings))
        _say_report(released)
        _keep_rows(plan.prepared, begun.folder / ROWS)
        shutil.rmtree(begun.work, ignore_errors=True)
        signals.check()
        version = _published(begun, released, plan, registry, hashed)
    missed = point_alias(begun, version, settings, registry, short=released.short)
    leave(begun.folder, begun.mirror, keep_bundle=settings.keep_bundle, left_out=released.model.left_out)
    require(missed)
    return Outcome(version, released, taught.trained.pace)


def _published(
    begun: Begun, released: Release, plan: Plan, registry: RegistrySettings, hashed: Iterable[Layer]
) -> Version:
    store = begun.store
    version = publish(
        store,
        plan.settings.model_name,
        released.files,
        run_id=begun.run_id,
        config=_summary(released, plan),
        summary=_line(released),
        single_writer=registry.single_writer,
        hashed=hashed,
    )
    key = open_trust(registry).sign(store, version)
    facts = {"model": version.name, "version": version.number, "digest": version.digest}
    signed = f", signed by {key}" if key else ""
    say("registry", f"registered {version.name}:{version.number} ({version.digest}) in {store.uri}{signed}", **facts)
    if untold := tell_published(registry, version):
        warn("registry", untold)
    return version


def _say_report(released: Release) -> None:
    """What is told of a version, for whoever reads along: its files will be gone."""
    files = {name: str(path) for name, path in released.files.items() if name.startswith(("report/", "lineage"))}
    test = {name: measured.metrics for name, measured in released.evaluations.items()}
    served = {"headline": released.headline, "variant": released.model.default_variant}
    say("report", f"written: {', '.join(files)}", **served, test=test, files=files)


def _holder(store: Store, settings: JobSettings) -> Holder | None:
    """What the alias points at so far; None where it is new, or none is to be moved."""
    if settings.alias is None:
        return None
    try:
        version = resolve(store, f"{settings.model_name}@{settings.alias}")
        told = read_manifest(store, version).config
    except NotFound:
        return None
    except CorruptObject as error:
        warn("registry", f"the report compares with no version of {settings.alias}: {error}")
        return None
    metrics = told.get("metrics")
    served = metrics.get(str(told.get("default_variant"))) if isinstance(metrics, dict) else None
    return Holder(f"{version.name}:{version.number}", served or {})


def _within_minutes(plan: Plan, sides: tuple[Rows, Rows], begun: Begun) -> tuple[Plan, tuple[Rows, Rows]]:
    """What there is time for, as it was measured when the run began, on whichever machine that was."""
    name = f"{CHECKPOINTS}/budget.json"
    kept = begun.folder / name
    if begun.mirror and not kept.is_file():
        begun.mirror.fetch(name, kept)
    found = within_minutes(plan, sides, begun.work, kept)
    if begun.mirror and kept.is_file():
        begun.mirror.send(begun.folder, [name])
    return found


def follow(settings: JobSettings, registry: RegistrySettings) -> None:
    """The part of every process but the first: read the same rows, learn with it, wait for what it makes of that."""
    others = world()
    told, digest = others.wait("read", "done")
    if told == "done":
        return
    share(registry.cache)
    with work_folder(local_folder(settings.output, registry.cache)) as work:
        plan, sides = prepare_all(settings, registry, work)
        if digest_of(plan) != digest:
            raise DataError(
                f"rank {others.rank} has other settings, rows or another base model than rank 0: give all processes "
                "the same files"
            )
        if plan.adaptation:
            adapt(plan, sides, work)
        else:
            teach(plan, sides)
    others.wait("done")


def prepare_all(settings: JobSettings, registry: RegistrySettings, work: Path) -> tuple[Plan, tuple[Rows, Rows]]:
    """Everything up to arrays: all that can be wrong with settings, base model and data is said here."""
    return open_base(get_ready(settings, registry, work), settings, registry, work)


def open_base(
    ready: Ready, settings: JobSettings, registry: RegistrySettings, work: Path
) -> tuple[Plan, tuple[Rows, Rows]]:
    """The base model beside data that is known to be good, and the rows as arrays."""
    # torch counts the processors of the machine, also where a container may use few of them: its threads would fight.
    torch.set_num_threads(min(torch.get_num_threads(), available_cpus()))
    prepared = ready.prepared
    base = fetch_base_model(settings.base_model, registry, prepared.task.inputs.needs, found=ready.base)
    if base.dropped:
        say("model", f"left out of the base model's configuration: {', '.join(base.dropped)}")
    check_exportable(str(base.config()["model_type"]), base.address, prepared.task.graph.architectures)
    check_dropout(base, settings.train)
    encoder, encoded = prepared.task.inputs.open_encoder(settings, base), registry.cache / "encoded"
    plan = Plan(settings, prepared, base, encoder, encoded=encoded)
    prepared.task.objective(plan)
    if settings.train.distill:
        plan = with_teacher(plan, registry, work)
    if "translators" in prepared.facts:
        plan = with_translations(plan, registry, work)
    sides = encode_sides(plan, work)
    if settings.train.pseudo_labels:
        plan = with_pool(plan, work)
    if settings.adapt:
        plan = replace(plan, adaptation=read_text(plan, registry.cache, work / "adapt"))
    return plan, sides


def _keep_rows(prepared: Prepared, folder: Path) -> None:
    """The rows of all sides, for people who want to see what was taught."""
    parts = {side: prepared.part(side) for side in prepared.sides}
    kind = Kind(prepared.roles, prepared.task.arrow_types(prepared.roles), prepared.labels)
    save_taught(folder, {side: part.data for side, part in parts.items() if len(part)}, kind)
    say("data", f"the rows of all sides are in {folder} (datasets.load_from_disk)")


def _line(released: Release) -> Summary:
    """What `tunewright list` tells of a version."""
    measured, headline = released.evaluations[released.model.default_variant], released.headline
    return summarize(released.model.task, headline, measured.metrics.get(headline), measured.intervals.get(headline))


def _summary(released: Release, plan: Plan) -> dict[str, object]:
    """What `tunewright show` tells of a version without pulling it."""
    model, prepared = released.model, plan.prepared
    return {
        "task": model.task,
        "problem": model.problem,
        "labels": len(model.labels),
        "headline": released.headline,
        "default_variant": model.default_variant,
        "baseline": released.baseline,
        "test_rows": {"digest": prepared.facts["split_digests"]["test"], "rows": len(prepared.test)},
        **({"short_of_baseline": released.short} if released.short else {}),
        **({"imported": plan.base.address} if prepared.imported else {}),
        "metrics": {name: variant.metrics for name, variant in model.variants.items()},
    }

"""A run begins: the registry proven, the data read, the base model found. Nothing here needs torch."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.job import signals
from tunewright.job.checkpoints.mirror import Mirror
from tunewright.job.errors import SettingsError
from tunewright.job.kinds.plan import Prepared
from tunewright.job.model.find import find
from tunewright.job.progress.events import say, warn
from tunewright.job.progress.tracker import Tracker
from tunewright.job.progress.tracking import tracking
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.contradictions import check_settings
from tunewright.job.steps.prepare import prepare
from tunewright.job.steps.run.folders import local_folder, own_folder, work_folder
from tunewright.job.steps.run.run_id import run_id_of
from tunewright.job.steps.run.track import record, trackers
from tunewright.job.steps.run.tries import counted
from tunewright.job.steps.teachers.teacher import find_teacher
from tunewright.job.steps.teachers.translators import find_translators
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.patience import Patience, granting
from tunewright.registry.stores.probe import probe
from tunewright.registry.stores.store import Store, open_store
from tunewright.registry.trust.trust import open_trust
from tunewright.registry.versions.publish import find_run
from tunewright.registry.versions.record import Version
from tunewright.registry.webhook import check_webhook

if TYPE_CHECKING:
    from tunewright.job.model.base_model import BaseCheckpoint


@dataclass(frozen=True)
class Ready:
    """Data that is known to be good, and the folder of a base model that is there."""

    prepared: Prepared
    base: Path
    checkpoint: "BaseCheckpoint | None" = None
    """Its checked copy, where that was made already."""


@dataclass(frozen=True)
class Begun:
    """A run before anything is learned."""

    store: Store
    run_id: str
    folder: Path
    """Where its files go."""
    mirror: Mirror | None
    """Where they go too, where `output` is a bucket."""
    started: float
    """Seconds since 1970."""
    done: Version | None
    """What an earlier try of the same run has published."""
    ready: Ready | None
    """None where there is nothing left to do."""
    work: Path
    """Where files lie that nobody needs afterwards."""


def get_ready(settings: JobSettings, registry: RegistrySettings, work: Path) -> Ready:
    """Read the data, then look for the base model; a JobError says what is wrong with either."""
    prepared = prepare(settings, registry.cache, work)
    if teacher := find_teacher(prepared, settings, registry):
        prepared.facts["teacher"] = teacher
    if translators := find_translators(settings, registry):
        prepared.facts["translators"] = translators
    return Ready(prepared, find(settings.base_model, registry))


@contextmanager
def begin(
    settings: JobSettings,
    registry: RegistrySettings,
    get_ready: Callable[[JobSettings, RegistrySettings, Path], Ready] = get_ready,
) -> Iterator[Begun]:
    """Begin a run; however it ends, what only it needs is removed, and its folder where nothing is in it."""
    started = time.time()
    # Before the registry is asked for anything.
    check_settings(settings)
    output = local_folder(settings.output, registry.cache)
    with granting(Patience(60 * settings.wait_minutes, lambda line: warn("store", line), signals.is_asked)):
        store = _open_writable(settings, registry)
        mirrored = _open_output(settings, registry)

        def begun(run_id: str, ready: Ready | None, work: Path) -> Begun:
            done = find_run(store, settings.model_name, run_id)
            mirror = Mirror(mirrored, run_id) if mirrored else None
            return Begun(store, run_id, output / run_id, mirror, started, done, None if done else ready, work)

        # What was given a name that has published needs no data.
        if settings.run_id and (found := begun(settings.run_id, None, Path())).done:
            yield found
            return
        with work_folder(output) as work:
            ready = get_ready(settings, registry, work)
            base = ready.checkpoint.digest if ready.checkpoint else ready.base
            run_id = settings.run_id or run_id_of(settings, ready.prepared, base, registry.cache)
            with own_folder(output / run_id):
                found = begun(run_id, ready, work)
                if found.mirror and not found.done:
                    _try_out(mirrored, run_id)
                    say("output", f"files lie in {found.folder} meanwhile; what is whole goes to {found.mirror.uri}")
                if found.done:
                    yield found
                    return
                with (
                    counted(found.folder, found.mirror) as number,
                    tracking(_readers(settings, run_id, output, mirrored, number)),
                ):
                    yield found


def _readers(
    settings: JobSettings, run_id: str, output: Path, bucket: Store | None, number: int
) -> dict[str, Callable[[], Tracker]]:
    """Who reads along: the record of the run, and the trackers that the settings name. `number`: of this try."""
    return {"the record": record(settings, run_id, output, bucket, number), **trackers(settings, run_id)}


def _open_output(settings: JobSettings, registry: RegistrySettings) -> Store | None:
    """The bucket of `output`; None where that is a folder."""
    if isinstance(settings.output, Path):
        return None
    output = settings.output.rstrip("/")
    if output == registry.uri.rstrip("/"):
        raise SettingsError(f"output is {output!r}, which is the registry: files of runs need a prefix of their own")
    return open_store(output, single_writer=registry.single_writer)


def _try_out(store: Store | None, run_id: str) -> None:
    """Write and delete an object: rights that are missing are told before anything is learned."""
    if store:
        store.create(f"{run_id}/begun", b"")
        store.delete(f"{run_id}/begun")


def _open_writable(settings: JobSettings, registry: RegistrySettings) -> Store:
    """The registry's store, proven before any training to take versions without losing them, and signed ones where only
    these are believed."""
    store = open_store(registry.uri, single_writer=registry.single_writer)
    trust = open_trust(registry)
    trust.require_signer(settings.model_name)
    if settings.alias:
        trust.require_signer(settings.model_name, settings.alias)
    check_webhook(registry)
    if not registry.single_writer:
        probe(store)
    return store

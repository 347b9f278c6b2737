"""A run begins: the registry proven, the data read, the base model found. Nothing here needs torch."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunewright.job.kinds.plan import Prepared
from tunewright.job.model.find import find
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.contradictions import check_settings
from tunewright.job.steps.prepare import prepare
from tunewright.job.steps.run.folders import own_folder, work_folder
from tunewright.job.steps.run.run_id import run_id_of
from tunewright.job.steps.teachers.teacher import find_teacher
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.probe import probe
from tunewright.registry.stores.store import Store, open_store
from tunewright.registry.versions.publish import find_run
from tunewright.registry.versions.record import Version


@dataclass(frozen=True)
class Ready:
    """Data that is known to be good, and the folder of a base model that is there."""

    prepared: Prepared
    base: Path


@dataclass(frozen=True)
class Begun:
    """A run before anything is learned."""

    store: Store
    run_id: str
    folder: Path
    """Where its files go."""
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
    return Ready(prepared, find(settings.base_model, registry))


@contextmanager
def begin(settings: JobSettings, registry: RegistrySettings) -> Iterator[Begun]:
    """Begin a run; however it ends, what only it needs is removed, and its folder where nothing is in it."""
    started = time.time()
    # Before the registry is asked for anything.
    check_settings(settings)
    store = _open_writable(registry)

    def begun(run_id: str, ready: Ready | None, work: Path) -> Begun:
        done = find_run(store, settings.model_name, run_id)
        return Begun(store, run_id, settings.output / run_id, started, done, None if done else ready, work)

    # What was given a name that has published needs no data.
    if settings.run_id and (found := begun(settings.run_id, None, Path())).done:
        yield found
        return
    with work_folder(settings.output) as work:
        ready = get_ready(settings, registry, work)
        run_id = settings.run_id or run_id_of(settings, ready.prepared, ready.base, registry.cache)
        with own_folder(settings.output / run_id):
            yield begun(run_id, ready, work)


def _open_writable(registry: RegistrySettings) -> Store:
    """The registry's store, proven before any training to take versions without losing them."""
    store = open_store(registry.uri, single_writer=registry.single_writer)
    if not registry.single_writer:
        probe(store)
    return store

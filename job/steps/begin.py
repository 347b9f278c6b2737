"""A run begins: the registry proven, the data read, the base model found. Nothing here needs torch."""

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tunewright.job.kinds.plan import Prepared
from tunewright.job.model.find import find
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.contradictions import check_settings
from tunewright.job.steps.prepare import prepare
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

    @property
    def work(self) -> Path:
        """Where files lie that nobody needs afterwards."""
        return self.folder / "work"


def get_ready(settings: JobSettings, registry: RegistrySettings, work: Path) -> Ready:
    """Read the data, then look for the base model; a JobError says what is wrong with either."""
    prepared = prepare(settings, registry.cache, work)
    return Ready(prepared, find(settings.base_model, registry))


@contextmanager
def begin(settings: JobSettings, registry: RegistrySettings) -> Iterator[Begun]:
    """Begin a run; however it ends, what only it needs is removed, and its folder where nothing is in it."""
    started = time.time()
    # Before the registry is asked for anything.
    check_settings(settings)
    run_id = settings.run_id or f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
    store = _open_writable(registry)
    folder = settings.output / run_id
    if done := find_run(store, settings.model_name, run_id):
        yield Begun(store, run_id, folder, started, done, None)
        return
    try:
        yield Begun(store, run_id, folder, started, None, get_ready(settings, registry, folder / "work"))
    finally:
        shutil.rmtree(folder / "work", ignore_errors=True)
        with suppress(OSError):
            folder.rmdir()


def _open_writable(registry: RegistrySettings) -> Store:
    """The registry's store, proven before any training to take versions without losing them."""
    store = open_store(registry.uri, single_writer=registry.single_writer)
    if not registry.single_writer:
        probe(store)
    return store

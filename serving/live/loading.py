"""From a reference to a service that has proven to compute what was measured: look, pull, try, open, replay."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from tunewright.registry.errors import Untrusted
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import Store, open_store
from tunewright.registry.trust.trust import Trust, open_trust
from tunewright.registry.versions.record import REPORT, Version
from tunewright.registry.versions.watch import Seen, SeenTrial, has_moved, look_at_trial
from tunewright.serving.bundle.fetch import fetch
from tunewright.serving.bundle.folder import Folder, check_folder, hinting, is_folder, open_folder
from tunewright.serving.errors import BundleError
from tunewright.serving.events import emit
from tunewright.serving.golden import replay
from tunewright.serving.live.service import Service
from tunewright.serving.predictor import open_predictor
from tunewright.serving.runtime.capacity import Capacity, Provider
from tunewright.serving.runtime.free_memory import free_memory
from tunewright.serving.settings import ServingSettings
from tunewright.serving.trial.trials import Tried, try_bundle
from tunewright.serving.watch.feedback import open_feedback
from tunewright.serving.watch.meters import Meters

Step = Callable[[], None]
"""Called between two steps; what it raises ends the loading."""


@dataclass(frozen=True)
class Loaded:
    """A version in memory, ready to answer."""

    service: Service
    tried: Tried
    seconds: float


class Loader:
    """Brings versions of a registry into memory. Nothing here is asked by requests."""

    def __init__(self, registry: RegistrySettings, settings: ServingSettings, meters: Meters) -> None:
        self.meters = meters
        self._registry, self._settings = registry, settings
        self._folders: dict[Version, Folder] = {}
        """Versions that are folders of this machine: of these no registry is asked."""
        self._told: set[str] = set()

    @cached_property
    def store(self) -> Store:
        """Where versions come from."""
        return open_store(self._registry.uri)

    @cached_property
    def trust(self) -> Trust:
        """Whom to believe."""
        return open_trust(self._registry)

    def look(self, reference: str) -> Seen:
        """Where a reference points now. Raises Untrusted where that is not signed by a key that is trusted."""
        if is_folder(reference):
            folder = open_folder(reference)
            self.trust.require_none(reference)
            self._folders[folder.version] = folder
            return Seen(folder.version, None)
        with hinting(reference):
            return self.trust.look(self.store, reference, on_fault=self._tell_once)

    def _tell_once(self, fault: str) -> None:
        """What of the registry cannot be read and keeps nobody from an answer: asked every few seconds, told once."""
        if fault not in self._told:
            self._told.add(fault)
            emit("registry", fault, level="warning")

    def look_at_trial(self, reference: str) -> SeenTrial | None:
        """What the registry has on trial beside an alias; None for a reference that is none."""
        if is_folder(reference):
            return None
        seen = look_at_trial(self.store, reference)
        if seen is not None and seen.trial is not None:
            try:
                self.trust.require_trial(self.store, seen.trial)
            except Untrusted as error:
                seen = replace(seen, trial=None, fault=str(error))
        if seen is not None and seen.fault:
            emit("canary_unreadable", f"nothing is tried beside {reference}: {seen.fault}", level="warning")
        return seen

    def has_moved(self, seen: Seen | SeenTrial) -> bool:
        """Whether it points elsewhere by now: one small request."""
        return has_moved(self.store, seen)

    def load(
        self, version: Version, *, between: Step = lambda: None, room: Callable[[int], None] | None = None
    ) -> Loaded:
        """A version, pulled, verified, tried in a child process within its bounds, opened and its golden cases
        replayed. BundleError, RegistryError.

        `room`: makes place for so many bytes, which it will take."""
        begun, settings, cache = time.monotonic(), self._settings, self._registry.cache
        path, variant = self._bring(version)
        _check_variant(version, variant, settings.provider)
        between()
        # Before anything of it is run here: what somebody else has written may never end, or want all the memory.
        tried = try_bundle(path, variant, digest=version.digest, cache=cache)
        between()
        if room is not None:
            room(tried.memory)
        _check_room(version, tried.memory)
        predictor = open_predictor(
            path,
            variant=variant,
            capacity=Capacity(settings.threads, settings.tokens_per_run, settings.provider),
        )
        try:
            replay(predictor)
            feedback = open_feedback(path, predictor.model, version, settings.feedback)
            between()
        except BaseException:
            predictor.close()
            raise
        service = Service(
            predictor,
            version,
            limits=settings.limits,
            threads=settings.threads,
            meters=self.meters,
            feedback=feedback,
            report=page if settings.report and (page := path / REPORT).is_file() else None,
        )
        return Loaded(service, tried, time.monotonic() - begun)

    def _bring(self, version: Version) -> tuple[Path, str]:
        """The folder of a version, its files checked, and the name of the variant to serve."""
        settings = self._settings
        if folder := self._folders.get(version):
            return folder.path, check_folder(folder, settings.variant)
        pulled, variant = fetch(
            self.store, version, cache=self._registry.cache, variant=settings.variant, report=settings.report
        )
        if said := self.trust.warning_of(self.store, version):
            emit("yanked", said, level="warning", version=str(version))
        return pulled.folder, variant


def _check_variant(version: Version, variant: str, provider: Provider) -> None:
    """BundleError for products of whole numbers on a GPU: it has no kernels for them, so that each would go through the
    processor and back."""
    if provider == "cuda" and variant == "int8":
        raise BundleError(
            f"the variant int8 of {version} is made for processors, and SERVING_PROVIDER is cuda; set "
            "SERVING_VARIANT=fp32, or leave SERVING_PROVIDER out"
        )


def _check_room(version: Version, memory: int) -> None:
    """BundleError where the system would end this process, with all that it serves, for want of memory."""
    free = free_memory()
    if free is not None and memory > free:
        raise BundleError(
            f"{version} took {memory / 2**20:,.0f} MiB in its trial, and {free / 2**20:,.0f} MiB are free here: raise "
            "the memory limit of the container, or serve fewer models"
        )

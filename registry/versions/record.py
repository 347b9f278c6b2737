"""A version's record: the small object whose existence is the version's existence."""

import getpass
import math
import os
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter

from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.stores.probe import PROBE
from tunewright.registry.stores.store import Reader, Stat, Store
from tunewright.registry.transfer.parallel import each
from tunewright.registry.versions.document import seal
from tunewright.registry.versions.layout import (
    BLOBS,
    DELETED,
    KINDS,
    MODELS,
    TRASH,
    Digest,
    Line,
    Name,
    Number,
    RunId,
    Time,
    check_line,
    deleted_in,
    deletion_key,
    is_name,
    mark_key,
    version_key,
    version_marks,
    versions_prefix,
)
from tunewright.registry.versions.numbered import (
    EXACT,
    FORMAT,
    OnFault,
    mark,
    nobody,
    numbers,
    read_record,
    sealed,
    stranger,
)

REPORT = "report/report.html"
"""The page that a job puts into a version."""
_PAGES = ("CI_JOB_URL", "BUILD_URL", "BUILDKITE_BUILD_URL", "CIRCLE_BUILD_URL")
"""Where GitLab, Jenkins, Buildkite and CircleCI tell the page of a run."""
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

Figure = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class Summary:
    """What its publisher says of a version in a line, so that a list need not read its manifest."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    task: Line | None = None
    metric: Line | None = None  # the headline metric, of the variant that is served by default
    value: Figure | None = None
    interval: tuple[Figure, Figure] | None = None  # of 95 %

    def __str__(self) -> str:
        """`accuracy 0.912 (0.894 to 0.928)`; `-` where nothing was measured."""
        if self.metric is None or self.value is None:
            return "-"
        low_high = f" ({self.interval[0]:.3f} to {self.interval[1]:.3f})" if self.interval else ""
        return f"{self.metric} {self.value:.3f}{low_high}"


def summarize(task: str, metric: str, value: float | None, interval: tuple[float, float] | None) -> Summary:
    """The summary of these figures; one that is no number, or has none at an end, is left out."""
    value = None if value is None or not math.isfinite(value) else float(value)
    low_high = None if interval is None or not all(map(math.isfinite, interval)) else interval
    return Summary(task[:256], metric[:256], value, low_high and (float(low_high[0]), float(low_high[1])))


@dataclass(frozen=True)
class Version:
    """An immutable version of a model."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    name: Name
    number: Number  # 1, 2, 3 ...
    digest: Digest  # of the manifest: sha256:...
    run_id: RunId
    created: Time  # UTC, as in 2026-01-31T12:00:00Z
    size: Annotated[int, Field(strict=True, ge=0, lt=1 << 62)]  # bytes of all files together
    previous: Digest | None = None  # of the manifest of the version before; None for the first, and where it is gone
    who: Line | None = None  # who has published it, as in ada@host; None in format 1
    summary: Summary | None = None  # None in format 1

    def __str__(self) -> str:
        return f"{self.name}:{self.number}"


_VERSION = TypeAdapter(Version)
_SINCE_2 = frozenset({"previous", "who", "summary"})


@dataclass(frozen=True)
class Deletion:
    """What is kept of a version that was deleted, beside its record."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    name: Name
    number: Number
    deleted: Time  # UTC
    who: Line
    reason: str


_DELETION = TypeAdapter(Deletion)


def to_bytes(version: Version) -> bytes:
    """The record as it is stored."""
    fields = asdict(version)
    if version.summary is None:
        return seal({"format": 1, **{name: value for name, value in fields.items() if name not in _SINCE_2}})
    return seal({"format": FORMAT, **fields})


def read_version(store: Reader, name: str, number: int) -> Version:
    """The record of one version. Raises NotFound, CorruptObject."""
    key = version_key(name, number)
    version = read_record(store, key, _VERSION, "a version's record", since_2=_SINCE_2)
    if (version.name, version.number) != (name, number):
        raise CorruptObject(f"{key!r} in {store.uri} is the record of {version}, which does not belong there")
    return version


def version_numbers(store: Store, name: str, *, on_fault: OnFault = nobody) -> list[int]:
    """The numbers of a model's versions, ascending, without those that are deleted; empty when there is no such
    model."""
    there, deleted = numbers_given(store, name, store.list(versions_prefix(name)), on_fault=on_fault)
    return [number for number in there if number not in deleted]


def numbers_of(store: Store, name: str) -> tuple[list[int], int]:
    """The numbers of a model's versions, ascending, and the highest that was given, to a deleted one too.

    Raises NotFound where there is no version.
    """
    there, deleted = numbers_given(store, name, store.list(versions_prefix(name)))
    live = [number for number in there if number not in deleted]
    if not live:
        raise no_model(store, name)
    return live, max(*there, *deleted, 0)


def numbers_given(
    store: Reader, name: str, listed: Iterable[Stat], *, on_fault: OnFault = nobody
) -> tuple[list[int], set[int]]:
    """The numbers that have a record, and those that are deleted, among the objects where a model's versions lie."""
    deleted: set[int] = set()

    def readable(number: int) -> Version:
        return read_version(store, name, number)

    prefix = versions_prefix(name)
    return list(numbers(store, prefix, readable, listed, on_fault=on_fault, deleted=deleted)), deleted


def deletion_of(store: Store, name: str, number: int) -> Deletion | None:
    """What tells that a version is deleted; None where it is not. Raises CorruptObject."""
    try:
        return read_record(store, deletion_key(name, number), _DELETION, "the deletion of a version")
    except NotFound:
        return None


def delete_version(store: Store, version: Version, *, reason: str = "") -> Deletion:
    """Say that a version is deleted: its record stays, so that its number is never another version's.

    What says so already is the answer. Whoever calls this has seen that no alias points there.
    Raises BadReference for a reason of several lines, or one with which the deletion could not be read.
    """
    made = Deletion(version.name, version.number, now(), who(), check_line(reason, "the reason"))
    key = deletion_key(made.name, made.number)
    data = sealed(key, {"format": 1, **asdict(made)})
    store.create(mark_key(version_marks(version.name), version.number, DELETED), b"")  # before it is so: see `latest`
    store.create(key, data)
    return deletion_of(store, made.name, made.number) or made


def read_or_tell(store: Reader, name: str, number: int, on_fault: OnFault) -> Version | None:
    """The version; None, and `on_fault` is told in one sentence, where its record cannot be read."""
    try:
        return read_version(store, name, number)
    except CorruptObject as error:
        on_fault(str(error))
        return None


def read_versions(store: Reader, name: str, numbers: Sequence[int], on_fault: OnFault) -> dict[int, Version | None]:
    """Several versions, read at once; None for one whose record cannot be read, of which `on_fault` is told."""
    told: list[list[str]] = [[] for _ in numbers]
    read = each(lambda one: read_or_tell(store, name, one[0], one[1].append), zip(numbers, told, strict=True))
    for faults in told:
        for fault in faults:
            on_fault(fault)
    return dict(zip(numbers, read, strict=True))


def by_model(store: Store, *, on_fault: OnFault = nobody) -> dict[str, list[Stat]]:
    """All that there is of each model, by its name; `on_fault` is told of strangers."""
    models: dict[str, list[Stat]] = {}
    for stat in store.list(MODELS):
        parts = stat.key.split("/")
        if len(parts) < 4 or not is_name(parts[1]) or parts[2] not in KINDS:
            on_fault(stranger(store, stat.key))
        else:
            models.setdefault(parts[1], []).append(stat)
    return models


def below(listed: Iterable[Stat], prefix: str) -> list[Stat]:
    """Those of the objects that begin so."""
    return [stat for stat in listed if stat.key.startswith(prefix)]


def deleted_of(listed: Iterable[Stat]) -> set[int]:
    """The numbers that are said to be deleted among the objects where a model's versions lie."""
    return {number for stat in listed if (number := deleted_in(stat.key))}


def model_names(store: Store, *, on_fault: OnFault = nobody) -> list[str]:
    """Every model that has an object where versions lie."""
    models = by_model(store, on_fault=on_fault)
    return sorted(name for name, listed in models.items() if below(listed, versions_prefix(name)))


def require_registry(store: Store) -> None:
    """NotFound for a place that holds nothing of a registry, as one that is misspelt."""
    below = (MODELS, BLOBS, TRASH)
    if not any(next(store.list(prefix), None) for prefix in below) and not store.exists(PROBE):
        raise NotFound(
            f"there is no registry in {store.uri}: nothing was ever published there; look at REGISTRY_URI or --registry"
        )


def no_model(store: Store, name: str) -> NotFound:
    """The error for a model without versions."""
    names = model_names(store)
    if name in names and _all_deleted(store, name):
        names.remove(name)
        there = f"there are {', '.join(names[:20])}" if names else "it holds no other model"
        return NotFound(f"all versions of the model {name!r} in {store.uri} are deleted; {there}")
    there = f"there are {', '.join(names[:20])}" if names else "it holds no models yet"
    return NotFound(f"there is no model {name!r} in {store.uri}; {there}")


def _all_deleted(store: Store, name: str) -> bool:
    """Whether a model has versions, and each is deleted."""
    there, deleted = numbers_given(store, name, store.list(versions_prefix(name)))
    return bool(deleted) and deleted.issuperset(there)


def no_version(store: Store, name: str, number: int) -> NotFound:
    """The error for a version that is not there."""
    numbers = version_numbers(store, name)
    if not numbers:
        return no_model(store, name)
    if gone := deletion_of(store, name, number):
        return NotFound(deleted_sentence(gone))
    span = f"1 to {numbers[-1]}" if numbers == list(range(1, len(numbers) + 1)) else ", ".join(map(str, numbers[-20:]))
    return NotFound(f"there is no version {number} of {name!r} in {store.uri}; there is {span}")


def deleted_sentence(gone: Deletion) -> str:
    """The error about a version that was deleted."""
    why = f": {gone.reason}" if gone.reason else ""
    return f"{gone.name}:{gone.number} was deleted by {gone.who} ({gone.deleted}){why}; choose another version"


def check_version(store: Store, name: str, number: int) -> Version:
    """A version that is there and not deleted. Raises NotFound, which tells what is.

    One whose deletion an earlier program has left no mark of is marked, so that `latest` passes over it from then on.
    """
    try:
        version = read_version(store, name, number)
    except NotFound:
        raise no_version(store, name, number) from None
    if gone := deletion_of(store, name, number):
        mark(store, mark_key(version_marks(name), number, DELETED))
        raise NotFound(deleted_sentence(gone))
    return version


def who() -> str:
    """Who runs this program, as far as the system knows: `ada@host`."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in a container
        name = str(os.getuid())
    return "".join(c for c in f"{name}@{socket.gethostname()}" if c.isprintable())[:256]


def where() -> str | None:
    """Where this program runs, as far as its environment tells: the page of a CI's run, or the pod."""
    told = os.environ
    if told.get("GITHUB_ACTIONS") == "true":
        place = "/".join(told.get(f"GITHUB_{part}", "") for part in ("SERVER_URL", "REPOSITORY"))
        found = f"{place}/actions/runs/{told.get('GITHUB_RUN_ID', '')}"
    elif page := next(filter(None, map(told.get, _PAGES)), None):
        found = page
    elif "KUBERNETES_SERVICE_HOST" in told:
        found = f"pod {told.get('POD_NAMESPACE', _namespace())}/{socket.gethostname()}"
    else:
        return None
    return "".join(c for c in found if c.isprintable())[:256]


def _namespace() -> str:
    try:
        return _NAMESPACE.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):  # a pod without an account
        return "-"


def now() -> str:
    """The time in UTC, to the second."""
    return moment(time.time())


def moment(seconds: float) -> str:
    """Seconds since 1970 as records write them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""Policies: what an alias asks of a version before it is moved there.

They are a log beside that of the alias, of create-only entries; the last one holds. Their words are those of the job's
`gate`, of which the figures are those of the test rows and of the variant that is served by default.
"""

import uuid
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

import yaml
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from yaml.reader import ReaderError

from tunewright.registry.errors import BadReference
from tunewright.registry.stores.probe import probe
from tunewright.registry.stores.store import Store
from tunewright.registry.trust.keys import parse_line
from tunewright.registry.unique_keys import UniqueKeys
from tunewright.registry.versions.document import wrong
from tunewright.registry.versions.layout import Line, Name, Number, Time, gates_prefix, policy_key
from tunewright.registry.versions.numbered import EXACT, append, numbers, read_entry
from tunewright.registry.versions.record import Figure, no_model, now, version_numbers, who

_LARGEST = 32 * 1024
"""Bytes of a file of gates."""

_NOT_WORSE = "not_worse"
_MOST_GATES = 32
"""What is asked in all: the verdict has to fit into one entry of the alias's log."""


def _no_truth(value: object) -> object:
    if isinstance(value, bool):  # it would be 1 or 0
        raise PydanticCustomError("truth", "Input should be a number")
    return value


def _is_key(line: str) -> str:
    if parse_line(line) is None:
        said = "Input should be the middle line of the PEM file of an ed25519 public key"
        raise PydanticCustomError("key", said)
    return line


Real = Annotated[Figure, BeforeValidator(_no_truth)]
Share = Annotated[Real, Field(ge=0, le=1)]
Positive = Annotated[Real, Field(gt=0)]
_What = Annotated[str, Field(min_length=1, max_length=64)]
Bounds = dict[_What, Real]
SigningKey = Annotated[str, Field(max_length=128), AfterValidator(_is_key)]


@dataclass(frozen=True)
class NotWorse:
    """Not worse than the version that the alias points at, on the test rows that both were measured on."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    alpha: Annotated[Real, Field(gt=0, lt=0.5)] = 0.05
    """It is missed where the version is worse by more than chance: where the p-value of the one-sided test is less."""
    margin: Share | None = None
    """Missed also where it may be worse by more than so much: where the one-sided interval reaches lower."""
    rows: Annotated[int, Field(strict=True, ge=1)] = 30
    """The fewest rows that both must have been measured on."""


@dataclass(frozen=True)
class Policy:
    """What is asked. Nothing is, where nothing is set."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    min: Bounds = field(default_factory=dict)
    """Metric to the least that it must reach."""
    max: Bounds = field(default_factory=dict)
    """Metric that is an error, such as rmse, to the most that it may be."""
    not_worse: NotWorse | None = None
    """`{}` takes what stands there."""
    slices: dict[_What, Share] = field(default_factory=dict)
    """Column that the report cuts rows by (`report.slices`), or `label` for the true one, to the least that the mean
    score of the rows of each of its values must reach; values with fewer than 10 rows are not asked."""
    max_drop: Bounds = field(default_factory=dict)
    """Variant, such as int8, to what its headline metric may lose against fp32; of an error the share by which it may
    rise."""
    max_flip: Bounds = field(default_factory=dict)
    """How test texts are written otherwise to the largest share of answers that may change by it."""
    max_mib: Positive | None = None
    """The most MiB of its ONNX file."""
    max_ms_per_text: Positive | None = None
    """The most milliseconds for one input alone, as the job has measured."""
    parity_tolerance: Positive | None = None
    """The largest difference between an output of torch and one of the fp32 file."""
    beat_baseline: bool = False
    """Surely better than an answer without a model."""
    max_overlap: Annotated[int, Field(strict=True, ge=0)] | None = None
    """The most test rows whose inputs may stand among the training rows too."""
    licence: tuple[_What, ...] = ()
    """What the base model may be under, as its card names it."""
    signed_by: dict[_What, SigningKey] = field(default_factory=dict)
    """Who must all have signed the version: a name for each, to the middle line of the PEM file of the public key."""

    @property
    def asks(self) -> dict[str, object]:
        """What is set, by its name."""
        default = asdict(Policy())
        return {name: value for name, value in asdict(self).items() if value != default[name]}

    @property
    def count(self) -> int:
        """How many gates it has."""
        return sum(
            len(value) if isinstance(value, dict) and name != _NOT_WORSE else 1 for name, value in self.asks.items()
        )


@dataclass(frozen=True)
class PolicyEntry:
    """One entry of the log."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    name: Name
    alias: Name
    entry: Number  # 1, 2, 3 ...
    policy: Policy
    reason: str
    who: Line
    set: Time  # UTC
    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]  # tells two equal entries apart


_POLICY = TypeAdapter(Policy)
_ENTRY = TypeAdapter(PolicyEntry)


def read_policy(store: Store, name: str, alias: str) -> PolicyEntry | None:
    """The entry that holds; None where nothing is asked. Raises CorruptObject, also for a gate that is not known."""
    prefix = gates_prefix(name, alias)
    entries = numbers(store, prefix, partial(_read, store, name, alias), store.list(prefix))
    last = max(entries, default=None)
    found = _read(store, name, alias, last) if last else None
    return found if found and found.policy.asks else None


def set_policy(store: Store, name: str, alias: str, policy: Policy, *, reason: str = "") -> PolicyEntry:
    """Ask this from now on; an empty one asks nothing. Raises NotFound where there is no such model."""
    if not version_numbers(store, name):
        raise no_model(store, name)
    probe(store)
    while True:
        prefix = gates_prefix(name, alias)
        entries = numbers(store, prefix, partial(_read, store, name, alias), store.list(prefix))
        entry = max(entries, default=0) + 1
        made = PolicyEntry(name, alias, entry, policy, reason, who(), now(), uuid.uuid4().hex)
        if append(store, policy_key(name, alias, entry), made, partial(_read, store, name, alias, entry)):
            return made


def policy_in(path: Path) -> Policy:
    """The policy in a file of YAML or JSON. Raises BadReference."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise BadReference(f"{path} cannot be read ({error.strerror}); expected a file of YAML or JSON") from None
    if len(data) > _LARGEST:
        raise BadReference(f"{path} has over {_LARGEST >> 10} KiB: it is no file of gates")
    told = _parsed(data, path)
    if not isinstance(told, dict):
        raise BadReference(f"{path} holds no gates; {_known()}, as in 'min: {{accuracy: 0.9}}'")
    if empty := [name for name, value in told.items() if value is None]:
        raise BadReference(f"{path}: {empty[0]} has no value; give it one, or leave it out")
    try:
        policy = _POLICY.validate_python(told)
    except ValidationError as error:
        raise BadReference(f"{path}: {_fault(error)}") from None
    if not policy.asks:
        raise BadReference(f"{path} asks nothing; {_known()}, and --remove lets an alias ask nothing")
    if policy.count > _MOST_GATES:
        raise BadReference(f"{path} has {policy.count} gates; at most {_MOST_GATES} can be kept with each move")
    return policy


def _parsed(data: bytes, path: Path) -> object:
    try:
        return yaml.load(data, UniqueKeys)  # noqa: S506 - it is a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise BadReference(f"{path}, line {line}, is no YAML: {said}") from None
    except ReaderError as error:
        line = data[: error.position].count(b"\n") + 1
        raise BadReference(f"{path}, line {line}, is no YAML: {error.reason}") from None
    except ValueError as error:
        raise BadReference(f"{path} holds a number or a date that cannot be read: {error}") from None
    except RecursionError:
        raise BadReference(f"{path} is nested too deeply; gates have two levels") from None


def _known(where: str = "") -> str:
    """What may stand in a file of gates, or in `not_worse` of it."""
    if where == _NOT_WORSE:
        return f"known in {_NOT_WORSE} are {', '.join(one.name for one in fields(NotWorse))}"
    return f"known are {', '.join(one.name for one in fields(Policy))}"


def _fault(error: ValidationError) -> str:
    """The first fault, with what may stand there."""
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"]]
    if first["type"] in ("dict_type", "dataclass_type"):
        examples = {_NOT_WORSE: "{margin: 0.02}, or {}", "signed_by": "{quality: MCowBQYDK2VwAyEA...}"}
        example = examples.get(place[0], "{accuracy: 0.9}")
        return f"{'.'.join(place)} is {repr(first['input'])[:100]}: it takes names with values, as in {example}"
    known = _known(place[0] if len(place) > 1 else "")
    if first["type"] == "unexpected_keyword_argument":
        return f"{'.'.join(place)} is not known; {known}"
    return f"{wrong(error)}; {known}"


def _read(store: Store, name: str, alias: str, entry: int) -> PolicyEntry:
    place = (name, alias, entry)
    return read_entry(store, policy_key(*place), _ENTRY, "an entry about gates", place)

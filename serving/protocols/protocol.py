"""What a protocol is made of: operations, which read a body and write the answers, and pages.

A protocol is one module with `OPERATIONS` and `PAGES`. It knows bytes and the services of a process, nothing of the web
server: `serving/http` reads bodies within the limits, and sends what comes of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.engines.task import Shapes
from tunewright.serving.errors import (
    DeadlineExceeded,
    Incomplete,
    InputError,
    Left,
    Malformed,
    ModelFault,
    NotFound,
    NotLoaded,
    Overloaded,
    ServingError,
    TooLarge,
)
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Ended, Service
from tunewright.serving.request.json_text import to_json
from tunewright.serving.request.request import Request
from tunewright.serving.request.schema import TEXT, Schema, closed, list_of, ref

STATUS: dict[type[ServingError], int] = {
    Malformed: 400,
    NotFound: 404,
    Incomplete: 408,
    TooLarge: 413,
    InputError: 422,
    Overloaded: 429,
    Left: 499,
    ModelFault: 500,
    NotLoaded: 503,
    DeadlineExceeded: 503,
}
"""The HTTP status of each error a request can end with."""


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request, whole."""

    body: bytes = b""
    path: Mapping[str, str] = field(default_factory=dict)
    """What stands in the places that the address of the operation leaves open."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """By their names in lower case."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent back."""

    content: bytes
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no answer."""

    status: int
    kind: str
    sentence: str
    headers: Mapping[str, str] = field(default_factory=dict)


Explain = Callable[[Fault], object]
"""A fault in the words of a protocol, of which JSON can be made."""


class Events(Protocol):
    """How a protocol tells of an answer while it is written: bytes of server-sent events."""

    def piece(self, piece: str) -> bytes:
        """What comes next."""

    def end(self, ended: Ended) -> bytes:
        """That is all."""

    def fault(self, fault: Fault) -> bytes:
        """It breaks off here."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a protocol has read of a body, and how it answers."""

    service: Service
    request: Request
    write: Callable[[list[object]], Reply]
    """The answers, one per input, to the reply. Called in a thread."""
    events: Events | None = None
    """Where the caller wants to read the answer, to one input, while it is written: `write` is not called then."""


def event(data: bytes) -> bytes:
    """One server-sent event; JSON has no line breaks."""
    return b"data: " + data + b"\n\n"


def explained(fault: Fault) -> object:
    """A fault as this program says it where no protocol has its own way."""
    return {"error": fault.sentence, "error_type": fault.kind}


def fault_reply(fault: Fault, explain: Explain = explained) -> Reply:
    """A reply that says what is wrong, in the words of a protocol."""
    return Reply(to_json(explain(fault)), fault.status, headers=fault.headers)


@dataclass(frozen=True, slots=True)
class About:
    """The model that the OpenAPI document is about."""

    name: str
    model: ModelFile
    shapes: Shapes
    writes: bool
    """Whether its answers are texts that can be streamed."""
    inputs: int
    """Most inputs of one request."""

    @property
    def many(self) -> Schema:
        """A list of inputs."""
        return list_of(ref("Input"), minItems=1, maxItems=self.inputs)

    @property
    def one_or_many(self) -> Schema:
        """One input, or a list of them."""
        return {"anyOf": [ref("Input"), self.many]}


@dataclass(frozen=True, slots=True)
class Described:
    """What an operation says of itself in the document."""

    name: str
    """Its operationId."""
    summary: str
    request: Schema
    answer: Schema | None = None
    """In JSON; its own schemas may be those of `schemas`."""
    event: Schema | None = None
    """One event, where there is a stream."""
    description: str = ""
    examples: Mapping[str, object] = field(default_factory=dict)
    """Of the request."""
    schemas: Mapping[str, Schema] = field(default_factory=dict)
    """What has a name."""


def event_schema(*names: str) -> Schema:
    """One event of a stream; `names`: those that events may have, where they have one."""
    name: Schema = {"type": "string", "enum": list(names)}
    return {**closed({"event": name, "data": TEXT}, optional=("event",)), "description": "One event; `data` is JSON."}


EVENT = event_schema("message")
"""What stands in a stream, again and again."""


def undescribed(about: About) -> None:
    """Nothing: such a model has no such operation, or it is described at another address."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What is asked with POST."""

    path: str
    """With `{model}` where the address names one."""
    read: Callable[[Models, Call], Asked]
    """RequestError for what cannot be answered as it stands; what is too large or too much is found out later."""
    explain: Explain = explained
    describe: Callable[[About], Described | None] = undescribed


@dataclass(frozen=True, slots=True)
class Page:
    """What is had at once, of the server or of a model of it."""

    path: str
    answer: Callable[[Models, Call], Reply]
    explain: Explain = explained
    methods: tuple[str, ...] = ("GET",)
    summary: str = ""
    """What the document says of it; empty: nothing, as of a second address of one thing."""
    media_type: str = "application/json"


def fault_of(error: Exception) -> Fault:
    """An error as a fault. What is no ServingError is a fault of this program, and its caller learns no more."""
    if not isinstance(error, ServingError):
        return Fault(500, "InternalError", "this server made a mistake; its log says which")
    headers: dict[str, str] = {}
    if isinstance(error, Overloaded):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Incomplete):
        headers["Connection"] = "close"
    return Fault(STATUS.get(type(error), 500), type(error).__name__, str(error), headers)

"""The task JSON of Hugging Face: `{"inputs": ..., "parameters": {...}}`, answered as the pipelines do."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tunewright.serving.errors import InputError, Malformed, NotFound, shown
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Ended, Service
from tunewright.serving.protocols.protocol import Asked, Call, Fault, Operation, Page, Reply, event, explained
from tunewright.serving.request.json_text import kind_of, read_json, to_json
from tunewright.serving.request.parameters import check_sizes
from tunewright.serving.request.request import Request

OPTIONS = ("use_cache", "wait_for_model", "use_gpu")
"""What older clients of the hub ask of its queue. There is none here: each holds already, or changes no answer."""
_KEYS = ("inputs", "parameters", "options")


def predict(models: Models, call: Call) -> Asked:
    """POST /predict: to a list of inputs a list, to a single one its answer."""
    service = models.default
    request, are_many = _read(service, call.body)
    return Asked(service, request, lambda answers: Reply(to_json(answers if are_many else answers[0])))


def stream(models: Models, call: Call) -> Asked:
    """POST /predict/stream: `{"text"}` for each piece of the answer to one input, `{"finish"}` at the end."""
    service = models.default
    if not service.predictor.writes:
        raise NotFound(f"{service} writes no texts, so there is nothing to stream; ask with POST /predict")
    request, are_many = _read(service, call.body)
    if are_many:
        raise InputError("'inputs' is a list; one answer is streamed at a time: send one input")
    return Asked(service, request, lambda answers: Reply(to_json(answers[0])), _Events())


class _Events:
    """One JSON object an event."""

    def piece(self, piece: str) -> bytes:
        return event(to_json({"text": piece}))

    def end(self, ended: Ended) -> bytes:
        return event(to_json({"finish": ended.finish}))

    def fault(self, fault: Fault) -> bytes:
        return event(to_json(explained(fault)))


OPERATIONS = (Operation("/predict", predict), Operation("/predict/stream", stream))
PAGES: tuple[Page, ...] = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """The body of a request, of which the task has read nothing yet."""

    inputs: object
    parameters: Mapping[str, object]


def read_envelope(body: bytes, *, beside: Collection[str] = ()) -> Envelope:
    """The body of a request; Malformed when it is not a JSON object, InputError for a wrong key.

    `beside`: parameters that may also stand beside `inputs`, as text-embeddings-inference and its clients have them.
    """
    content = read_json(body)
    if not isinstance(content, dict):
        raise Malformed(f'the body is {kind_of(content)}; send an object: {{"inputs": ...}}')
    for key in content:
        if key not in _KEYS and key not in beside:
            raise InputError(f"unknown key {shown(key)}; a request has: {', '.join((*_KEYS[:2], *beside))}")
    if "inputs" not in content:
        raise InputError("'inputs' is missing: send {\"inputs\": ...}")
    parameters = {} if content.get("parameters") is None else content["parameters"]
    if not isinstance(parameters, dict):
        raise InputError(f"'parameters' is {shown(parameters)}; send an object")
    if twice := next((name for name in beside if name in content and name in parameters), None):
        raise InputError(f"parameter {shown(twice)} stands beside 'inputs' and in 'parameters'; send it once")
    parameters = {**parameters, **{name: content[name] for name in beside if name in content}}
    check_sizes(parameters)
    _check_options(content.get("options"))
    return Envelope(content["inputs"], parameters)


def _read(service: Service, body: bytes) -> tuple[Request, bool]:
    """The request, and whether its inputs came as a list."""
    task, model = service.predictor.task, service.predictor.model
    envelope = read_envelope(body, beside=service.shapes.beside)
    parameters = task.read_parameters(envelope.parameters, model)
    inputs, are_many = task.read_inputs(envelope.inputs, model)
    return Request(inputs, parameters), are_many


def _check_options(options: object) -> None:
    """`options` of the hub's older clients are without effect, so only those that change no answer may be there."""
    if options is not None and not isinstance(options, dict):
        raise InputError(f"'options' is {shown(options)}; send an object, or leave it out")
    for name in options or {}:
        if name not in OPTIONS:
            raise InputError(f"unknown option {shown(name)}; accepted, without effect: {', '.join(OPTIONS)}")

"""The task JSON of Hugging Face: `{"inputs": ..., "parameters": {...}}`, answered as the pipelines do."""

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from tunewright.serving.errors import InputError, Malformed, shown
from tunewright.serving.generation.sequences import Finish, OnText
from tunewright.serving.live.job import Job
from tunewright.serving.live.service import Ended, Service
from tunewright.serving.request.json_text import kind_of, read_json, to_json
from tunewright.serving.request.parameters import check_sizes
from tunewright.serving.request.request import Request

OPTIONS = ("use_cache", "wait_for_model", "use_gpu")
"""What older clients of the hub ask of its queue. There is none here: each holds already, or changes no answer."""
_KEYS = ("inputs", "parameters", "options")


async def predict(service: Service, body: bytes) -> bytes:
    """The JSON answer to the JSON body of a request: to a list of inputs a list, to a single one its answer."""

    def answer(asked: tuple[Request, bool], job: Job) -> bytes:
        request, are_many = asked
        answers = service.answers(request, job)
        return to_json(answers if are_many else answers[0])

    return await service.run(lambda: _read(service, body), answer, size=len(body))


async def stream(service: Service, body: bytes) -> AsyncGenerator[dict[str, str]]:
    """The answer to one input while it is written: `{"text"}` for each piece, `{"finish"}` at the end.

    What is wrong with a request is raised before the first piece. A generator that is closed ends the writing.
    """

    def work(on_text: OnText, job: Job) -> Finish:
        request, are_many = _read(service, body)
        if are_many:
            raise InputError("'inputs' is a list; one answer is streamed at a time: send one input")
        return service.write(request, on_text, job)

    async with aclosing(service.stream(work)) as pieces:
        async for piece in pieces:
            yield {"finish": piece.finish} if isinstance(piece, Ended) else {"text": piece}


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
    """The request, within the limits of this server, and whether its inputs came as a list."""
    task, model = service.predictor.task, service.predictor.model
    envelope = read_envelope(body, beside=service.shapes.beside)
    parameters = task.read_parameters(envelope.parameters, model)
    inputs, are_many = task.read_inputs(envelope.inputs, model)
    request = Request(inputs, parameters)
    service.check(request)
    return request, are_many


def _check_options(options: object) -> None:
    """`options` of the hub's older clients are without effect, so only those that change no answer may be there."""
    if options is not None and not isinstance(options, dict):
        raise InputError(f"'options' is {shown(options)}; send an object, or leave it out")
    for name in options or {}:
        if name not in OPTIONS:
            raise InputError(f"unknown option {shown(name)}; accepted, without effect: {', '.join(OPTIONS)}")

"""The task JSON of Hugging Face: `{"inputs": ..., "parameters": {...}}`, or the bytes of a file.

`/predict` answers one input by its answer, a list by a list. `/`, which is where `huggingface_hub.InferenceClient` asks
when it is given the address of a server, answers in the shapes of the hub's own servers: labels and vectors in a list
even for one input.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from tunewright.serving.engines.engine import FileEngine
from tunewright.serving.errors import InputError, Malformed, NotFound, shown
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.protocols import similarity, written
from tunewright.serving.protocols.plain import checked, json_reply, object_of, refuse_unknown, switch
from tunewright.serving.protocols.protocol import (
    EVENT,
    About,
    Asked,
    Call,
    Described,
    Fault,
    Operation,
    Page,
    Reply,
    fault_reply,
)
from tunewright.serving.request.json_text import kind_of, read_json
from tunewright.serving.request.parameters import check_sizes
from tunewright.serving.request.schema import Schema, closed, needing, nullable, ref

OPTIONS = ("use_cache", "wait_for_model", "use_gpu")
"""What older clients of the hub ask of its queue. There is none here: each holds already, or changes no answer."""
_KEYS, _BEFORE = ("inputs", "parameters"), ("options",)
_WRAPPED = ("text-classification", "text-regression", "feature-extraction", "translation", "summarization")
"""Tasks of whose answer to one input the hub makes a list."""

Shape = Callable[[list[object], bool], object]
"""The answers, and whether there were several inputs, to the content of a reply."""


def hub(models: Models, call: Call) -> Asked:
    """POST /: what `InferenceClient` sends to the address of a server, answered as it reads it."""
    service = models.default
    wrapped = service.predictor.model.task in _WRAPPED
    return _asked(service, call, lambda answers, are_many: answers if are_many or wrapped else answers[0])


def predict(models: Models, call: Call) -> Asked:
    """POST /predict: to a list of inputs a list, to a single one its answer."""
    return _asked(models.default, call, lambda answers, are_many: answers if are_many else answers[0])


def stream(models: Models, call: Call) -> Asked:
    """POST /predict/stream: `{"text"}` for each piece of the answer to one input, `{"finish"}` at the end."""
    service = models.default
    if not service.predictor.writes:
        raise NotFound(f"{service} writes no texts, so there is nothing to stream; ask with POST /predict")
    envelope = read_envelope(call.body, beside=service.shapes.beside)
    request, are_many = checked(service, envelope.inputs, written.settings(service, envelope.parameters))
    written.require_one(are_many)
    return Asked(service, request, json_reply, written.Pieces())


def health(models: Models, call: Call) -> Reply:
    """GET /health: nothing, with a status that says whether requests should be sent here."""
    sentence = models.why_not_ready
    return Reply(b"", media_type="text/plain") if sentence is None else fault_reply(Fault(503, "Unhealthy", sentence))


def info(models: Models, call: Call) -> Reply:
    """GET /info: what answers, in the words of text-generation-inference and text-embeddings-inference."""
    service = models.default
    predictor, limits = service.predictor, service.limits
    return json_reply(
        {
            "model_id": service.version.name,
            "model_sha": service.version.digest,
            "model_dtype": predictor.variant,
            "model_type": _kind(service),
            "model_pipeline_tag": predictor.model.task,
            "max_input_length": predictor.model.max_length,
            "max_concurrent_requests": limits.requests,
            "max_client_batch_size": limits.inputs,
            "auto_truncate": True,
            "version": version("tunewright"),
        }
    )


def _described_hub(about: About) -> Described:
    return Described(
        "hub",
        "What `huggingface_hub.InferenceClient` asks",
        ref("PredictRequest"),
        _answers(about),
        EVENT if about.writes else None,
        "As `/predict`, but labels, vectors and texts come in a list even for one input, as the hub's servers do.",
    )


def _described_predict(about: About) -> Described:
    more = {"parameters": dict(about.shapes.example_parameters)} if about.shapes.example_parameters else {}
    one, several = about.shapes.example, [about.shapes.example] * 2
    return Described(
        "predict",
        "Answer one input or a list of them",
        ref("PredictRequest"),
        _answers(about),
        EVENT if about.writes else None,
        "A single input is answered by one answer, a list by a list in the same order.",
        examples={name: {"value": {"inputs": inputs, **more}} for name, inputs in (("one", one), ("several", several))},
        schemas={"PredictRequest": _request(about, about.one_or_many, streams=about.writes)},
    )


def _described_stream(about: About) -> Described | None:
    if not about.writes:
        return None
    more = {"parameters": dict(about.shapes.example_parameters)} if about.shapes.example_parameters else {}
    return Described(
        "stream",
        "Answer one input while the answer is written",
        ref("StreamRequest"),
        None,
        EVENT,
        'Server-sent events: `data: {"text": "..."}` for each piece, then `data: {"finish": "eos"}` (or `stop`, '
        '`length`), or `data: {"error": ..., "error_type": ...}`. The pieces joined are what was written, without '
        "the prompt, special tokens and a stop string. Beams come in one piece: set `num_beams` to 1.",
        examples={"one": {"value": {"inputs": about.shapes.example, **more}}},
        schemas={"StreamRequest": _request(about, ref("Input"))},
    )


def _answers(about: About) -> Schema:
    """Not oneOf: the answer to one input may itself be a list of what answers another one."""
    alike = [similarity.ANSWER] if similarity.can(about.model) else []
    return {"anyOf": [ref("Answer"), ref("Answers"), *alike]}


def _request(about: About, inputs: Schema, *, streams: bool = False) -> Schema:
    shapes = about.shapes
    if similarity.can(about.model):
        inputs = {"anyOf": [inputs, similarity.INPUTS]}
    parameters = written.described(shapes.parameters) if about.writes else shapes.parameters
    beside = {name: shapes.parameters["properties"][name] for name in shapes.beside}
    properties = {"inputs": inputs, "parameters": nullable(parameters), "options": _OLD_OPTIONS, **beside}
    properties |= {"stream": nullable({"type": "boolean"})} if streams else {}
    return needing(properties, "inputs")


_OLD_OPTIONS: Schema = {
    **closed({name: {} for name in OPTIONS}, optional=OPTIONS),
    "nullable": True,
    "description": "Accepted from older clients; no effect.",
}
OPERATIONS = (
    Operation("/", hub, describe=_described_hub),
    Operation("/predict", predict, describe=_described_predict),
    Operation("/predict/stream", stream, describe=_described_stream),
)
PAGES = (
    Page("/health", health, summary="Whether requests should be sent here.", media_type="text/plain"),
    Page("/info", info, summary="What answers, as text-embeddings-inference says it."),
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The body of a request, of which the task has read nothing yet."""

    inputs: object
    parameters: Mapping[str, object]
    stream: bool = False


def read_envelope(body: bytes, *, beside: Collection[str] = (), streams: bool = False) -> Envelope:
    """The body of a request; Malformed when it is not a JSON object, InputError for a wrong key.

    `beside`: parameters that may also stand beside `inputs`, as text-embeddings-inference and its clients have them.
    `streams`: whether `stream` may, as text-generation-inference has it.
    """
    content = read_json(body)
    if not isinstance(content, dict):
        raise Malformed(f'the body is {kind_of(content)}; send an object: {{"inputs": ...}}')
    beside = (*beside, "stream") if streams else beside
    refuse_unknown(content, (*_KEYS, *beside), beside=_BEFORE)
    if "inputs" not in content:
        raise InputError("'inputs' is missing: send {\"inputs\": ...}")
    parameters = object_of(content.get("parameters"), "'parameters'")
    if twice := next((name for name in beside if name in content and name in parameters), None):
        raise InputError(f"parameter {shown(twice)} stands beside 'inputs' and in 'parameters'; send it once")
    streaming = streams and switch(content, "stream")
    more = {name: content[name] for name in beside if name in content and name != "stream"}
    parameters = {**parameters, **more}
    check_sizes(parameters)
    _check_options(content.get("options"))
    return Envelope(content["inputs"], parameters, streaming)


def _asked(service: Service, call: Call, shape: Shape) -> Asked:
    writes = service.predictor.writes
    if _is_file(service, call):
        envelope = Envelope(call.body, {})
    else:
        envelope = read_envelope(call.body, beside=service.shapes.beside, streams=writes)
    if similarity.is_asked(service, envelope.inputs):
        return similarity.asked(service, envelope.inputs, envelope.parameters)
    parameters = written.settings(service, envelope.parameters) if writes else envelope.parameters
    told = {"details": True} if envelope.stream and "details" in service.shapes.parameters["properties"] else {}
    request, are_many = checked(service, envelope.inputs, {**parameters, **told})
    if envelope.stream:
        written.require_one(are_many)
        return Asked(service, request, json_reply, written.Tokens(parameters))
    return Asked(service, request, lambda answers: json_reply(shape(answers, are_many)))


def _is_file(service: Service, call: Call) -> bool:
    """Whether the body is the file itself: it says so, or no JSON, in which no object begins like any such file."""
    if call.headers.get("content-type", "").startswith(("image/", "audio/", "application/octet-stream")):
        return True
    # The engine last: to look at all that it has takes longer than to read a request.
    return not call.body.lstrip().startswith((b"{", b"[", b'"')) and isinstance(service.predictor.engine, FileEngine)


def _kind(service: Service) -> Mapping[str, object]:
    """What text-embeddings-inference calls the type of a model; its clients choose the address by it."""
    model = service.predictor.model
    if model.task == "feature-extraction":
        return {"embedding": {"pooling": "mean"}}
    if similarity.ranks(model):
        return {"reranker": _labels(model.labels)}
    return {"classifier": _labels(model.labels)} if model.labels else {}


def _labels(labels: list[str]) -> Mapping[str, object]:
    return {
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def _check_options(options: object) -> None:
    """`options` of the hub's older clients are without effect, so only those that change no answer may be there."""
    for name in object_of(options, "'options'"):
        if name not in OPTIONS:
            raise InputError(f"unknown option {shown(name)}; accepted, without effect: {', '.join(OPTIONS)}")

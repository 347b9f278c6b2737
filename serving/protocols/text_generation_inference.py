"""What clients of text-generation-inference ask: `/generate`, `/generate_stream` and `/tokenize`. `/` is the hub's."""

from tunewright.serving.errors import InputError, NotFound, shown
from tunewright.serving.live.models import Models
from tunewright.serving.predictor import Predictor
from tunewright.serving.protocols import written
from tunewright.serving.protocols.huggingface import read_envelope
from tunewright.serving.protocols.plain import checked, json_reply
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
    event,
)
from tunewright.serving.request.json_text import to_json
from tunewright.serving.request.request import Request, Steps
from tunewright.serving.request.schema import TEXT, Schema, closed, list_of, ref
from tunewright.serving.text.alignment import align
from tunewright.serving.text.encoding import panics_told

_KINDS = {429: "overloaded", 503: "overloaded", 500: "generation"}


def explain(fault: Fault) -> object:
    """An error with a type of text-generation-inference."""
    return {"error": fault.sentence, "error_type": _KINDS.get(fault.status, "validation")}


def generate(models: Models, call: Call) -> Asked:
    """POST /generate: what is written after one text, or made of it, and with `details` of which tokens it is."""
    return _asked(models, call, streams=False)


def generate_stream(models: Models, call: Call) -> Asked:
    """POST /generate_stream: the same, an event for each token and the whole text at the end."""
    return _asked(models, call, streams=True)


def tokenize(models: Models, call: Call) -> Asked:
    """POST /tokenize: the tokens of one text, special ones too, as the model reads it."""
    service = models.default
    predictor, envelope = service.predictor, read_envelope(call.body)
    if predictor.model.max_length is None:
        raise NotFound(f"{service} is for {predictor.model.task}: it reads no texts")
    if envelope.parameters:
        raise InputError("'parameters' have no effect on the tokens of a text; send 'inputs' alone")
    if not isinstance(envelope.inputs, str):
        raise InputError(f"'inputs' is {shown(envelope.inputs)}; send one text")
    request = Request([envelope.inputs], None, lambda text: _tokens(predictor, text))
    return Asked(service, request, lambda answers: json_reply(answers[0]))


def _tokens(predictor: Predictor, text: str) -> Steps:
    """Each token with where it stands in the text as it was sent: a special one nowhere, with no text."""
    yield from ()  # no row of the model
    aligned = align(text, predictor.model.cleaning)
    with panics_told():
        found = predictor.tokenizer.encode(aligned.text)
    told = []
    for number, part, place in zip(found.ids, found.sequence_ids, found.offsets, strict=True):
        start, stop = (0, 0) if part is None else aligned.span(*place)
        told.append({"id": number, "text": text[start:stop], "start": start, "stop": stop})
    return told


class _Tokens(written.Tokens):
    def fault(self, fault: Fault) -> bytes:
        return event(to_json(explain(fault)))


def _asked(models: Models, call: Call, *, streams: bool) -> Asked:
    service = models.default
    if not service.predictor.writes:
        raise NotFound(f"{service} is for {service.predictor.model.task}: it writes no texts")
    envelope = read_envelope(call.body, streams=True)
    if envelope.stream and not streams:
        raise InputError("'stream' is true; ask with POST /generate_stream")
    asked = written.settings(service, envelope.parameters)
    # The prompt is told only to those who ask for it; a stream is made of tokens in any case.
    parameters = {"return_full_text": False, **asked} | ({"details": True} if streams else {})
    beside = {"return_full_text", "details"} - set(service.shapes.parameters["properties"]) - set(asked)
    kept = {name: value for name, value in parameters.items() if name not in beside}
    request, are_many = checked(service, envelope.inputs, kept)
    written.require_one(are_many)
    return Asked(service, request, _whole, _Tokens(asked) if streams else None)


def _whole(answers: list[object]) -> Reply:
    """Of any task that writes: its text, whatever it calls that, and the details."""
    [answer] = answers
    told = answer[0] if isinstance(answer, list) else answer
    assert isinstance(told, dict)
    details = {"details": told["details"]} if "details" in told else {}
    text = next(value for name, value in told.items() if name != "details")
    return json_reply({"generated_text": text, **details})


def _described(about: About) -> Described | None:
    if not about.writes:
        return None
    answer = closed({"generated_text": TEXT, "details": {"type": "object"}}, optional=("details",))
    summary = "Answer one input, as in text-generation-inference"
    return Described("generate", summary, ref("StreamRequest"), answer)


def _described_stream(about: About) -> Described | None:
    if not about.writes:
        return None
    told = "An event for each token, with the whole `generated_text` in the last one."
    summary = "Answer one input while the answer is written, as in text-generation-inference"
    return Described("generate_stream", summary, ref("StreamRequest"), None, EVENT, told)


_PLACE: Schema = {"type": "integer", "minimum": 0}


def _described_tokens(about: About) -> Described | None:
    if about.model.max_length is None:
        return None
    token = closed({"id": _PLACE, "text": TEXT, "start": _PLACE, "stop": _PLACE})
    summary = "The tokens of a text, as in text-generation-inference"
    return Described("tokenize", summary, closed({"inputs": TEXT}), list_of(token))


OPERATIONS = (
    Operation("/generate", generate, explain, _described),
    Operation("/generate_stream", generate_stream, explain, _described_stream),
    Operation("/tokenize", tokenize, explain, _described_tokens),
)
PAGES: tuple[Page, ...] = ()

"""What clients of text-generation-inference ask: `/generate` and `/generate_stream`. `/` is the hub's."""

from tunewright.serving.errors import InputError, NotFound
from tunewright.serving.live.models import Models
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
from tunewright.serving.request.schema import TEXT, closed, ref

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


OPERATIONS = (
    Operation("/generate", generate, explain, _described),
    Operation("/generate_stream", generate_stream, explain, _described_stream),
)
PAGES: tuple[Page, ...] = ()

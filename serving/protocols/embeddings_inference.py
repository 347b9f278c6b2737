"""What clients of text-embeddings-inference ask: `/embed`, `/rerank` and `/similarity`. `/predict` is ours."""

from tunewright.serving.errors import InputError, NotFound, shown
from tunewright.serving.live.agreement import number
from tunewright.serving.live.models import Models
from tunewright.serving.protocols import similarity as alike
from tunewright.serving.protocols.huggingface import read_envelope
from tunewright.serving.protocols.plain import (
    body_object,
    checked,
    json_reply,
    refuse_unknown,
    switch,
    text_of,
    texts_of,
)
from tunewright.serving.protocols.protocol import About, Asked, Call, Described, Fault, Operation, Page, Reply
from tunewright.serving.request.schema import TEXT, closed, list_of, nullable, ref

_SWITCHES = ("raw_scores", "return_text", "truncate")


def explain(fault: Fault) -> object:
    """An error with a type of text-embeddings-inference."""
    kinds = {429: "Overloaded", 500: "Backend", 503: "Unhealthy"}
    return {"error": fault.sentence, "error_type": kinds.get(fault.status, "Validation")}


def embed(models: Models, call: Call) -> Asked:
    """POST /embed: a vector for each text, in a list even for one."""
    service = models.default
    alike.require_vectors(service)
    envelope = read_envelope(call.body, beside=service.shapes.beside)
    request, _ = checked(service, envelope.inputs, envelope.parameters)
    return Asked(service, request, json_reply)


def rerank(models: Models, call: Call) -> Asked:
    """POST /rerank: the texts by how well they go with a query, the best first, each with the number of the model."""
    service = models.default
    model = service.predictor.model
    if not alike.ranks(model):
        raise NotFound(f"{service} gives no number to a pair of texts, by which to rank them")
    content = body_object(call)
    refuse_unknown(content, ("query", "texts", *_SWITCHES))
    switches = {name: switch(content, name) for name in _SWITCHES}
    query, texts = text_of(content, "query"), texts_of(content, "texts")
    request, _ = checked(service, [{"text": query, "text_pair": text} for text in texts], {})

    def write(answers: list[object]) -> Reply:
        scores = [number(answer) for answer in answers]
        best = sorted(range(len(scores)), key=lambda index: -scores[index])
        told = [{"text": texts[index]} if switches["return_text"] else {} for index in best]
        return json_reply([{"index": at, "score": scores[at], **more} for at, more in zip(best, told, strict=True)])

    return Asked(service, request, write)


def similarity(models: Models, call: Call) -> Asked:
    """POST /similarity: one number for each of the sentences."""
    service = models.default
    if not alike.can(service.predictor.model):
        raise NotFound(f"{service} is for {service.predictor.model.task}: it gives no similarity of sentences")
    envelope = read_envelope(call.body, beside=service.shapes.beside)
    if not alike.is_asked(service, envelope.inputs):
        form = '{"source_sentence": ..., "sentences": [...]}'
        raise InputError(f"'inputs' is {shown(envelope.inputs)}; send {form}")
    return alike.asked(service, envelope.inputs, envelope.parameters)


def _described_embed(about: About) -> Described | None:
    if about.model.task != "feature-extraction":
        return None
    return Described("embed", "A vector for each text", ref("PredictRequest"), ref("Answers"))


def _described_rerank(about: About) -> Described | None:
    if not alike.ranks(about.model):
        return None
    switches = {name: nullable({"type": "boolean"}) for name in _SWITCHES}
    asked = {"query": TEXT, "texts": list_of(TEXT, minItems=1, maxItems=about.inputs), **switches}
    ranked = closed({"index": {"type": "integer"}, "score": {"type": "number"}, "text": TEXT}, optional=("text",))
    request = closed(asked, optional=_SWITCHES)
    return Described("rerank", "Texts by how well they go with a query, the best first", request, list_of(ranked))


def _described_similarity(about: About) -> Described | None:
    if not alike.can(about.model):
        return None
    beside = {name: about.shapes.parameters["properties"][name] for name in about.shapes.beside}
    properties = {"inputs": alike.INPUTS, "parameters": nullable(about.shapes.parameters), **beside}
    request = closed(properties, optional=("parameters", *beside))
    return Described("similarity", "How alike each sentence is to one", request, alike.ANSWER)


OPERATIONS = (
    Operation("/embed", embed, explain, _described_embed),
    Operation("/rerank", rerank, explain, _described_rerank),
    Operation("/similarity", similarity, explain, _described_similarity),
)
PAGES: tuple[Page, ...] = ()

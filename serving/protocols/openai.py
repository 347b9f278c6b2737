"""The API of OpenAI: chats and completions for models that write, embeddings for those that give vectors."""

import base64
from collections.abc import Mapping, Sequence

import numpy as np

from tunewright.serving.errors import InputError, shown
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.protocols.chats import described, responses
from tunewright.serving.protocols.chats.completions import chat, completions
from tunewright.serving.protocols.plain import (
    body_object,
    checked,
    chosen,
    json_reply,
    made_at,
    take_neutral,
    text_or_texts,
    tokens,
)
from tunewright.serving.protocols.protocol import About, Asked, Call, Described, Fault, Operation, Page, Reply
from tunewright.serving.protocols.similarity import require_vectors
from tunewright.serving.request.schema import TEXT, Schema, closed, list_of, nullable

_FORMATS = ("float", "base64")


def explain(fault: Fault) -> object:
    """The error object of OpenAI's API."""
    kinds = {429: "rate_limit_error", 503: "server_error", 500: "server_error"}
    told = {"message": fault.sentence, "type": kinds.get(fault.status, "invalid_request_error")}
    return {"error": {**told, "param": None, "code": fault.kind}}


def embeddings(models: Models, call: Call) -> Asked:
    """POST /v1/embeddings: one vector for each text."""
    content = body_object(call)
    service = chosen(models, content.pop("model", None))
    require_vectors(service)
    texts, written = text_or_texts(content, "input"), content.pop("encoding_format", None) or "float"
    if written not in _FORMATS:
        raise InputError(f"'encoding_format' is {shown(written)}; legal are: {', '.join(_FORMATS)}")
    dimensions = content.pop("dimensions", None)
    take_neutral(content, {"input": None, "user": None}, ("input", "model", "encoding_format", "dimensions"))
    request, _ = checked(service, texts, {} if dimensions is None else {"dimensions": dimensions})

    def write(vectors: list[object]) -> Reply:
        read = tokens(service, request)
        data = [
            {"object": "embedding", "index": index, "embedding": _vector(vector, written)}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": read, "total_tokens": read}
        return json_reply({"object": "list", "data": data, "model": service.version.name, "usage": usage})

    return Asked(service, request, write)


def list_models(models: Models, call: Call) -> Reply:
    """GET /v1/models, for KServe's clients too, who look for `models`."""
    data = [_model(service) for service in models.services]
    return json_reply({"object": "list", "data": data, "models": [one["id"] for one in data]})


def one_model(models: Models, call: Call) -> Reply:
    """GET /v1/models/{model}: that it is there, which is also what KServe calls readiness."""
    return json_reply(_model(models.find(call.path["model"])))


def _described(about: About) -> Described | None:
    if about.model.task != "feature-extraction":
        return None
    request = {
        "input": {"anyOf": [TEXT, list_of(TEXT, minItems=1, maxItems=about.inputs)]},
        "model": nullable(TEXT),
        "encoding_format": nullable({**TEXT, "enum": list(_FORMATS)}),
        "dimensions": nullable({"type": "integer", "minimum": 1}),
        "user": {},
    }
    number: Schema = {"type": "integer"}
    vector = {"anyOf": [list_of({"type": "number"}), TEXT]}
    data = list_of(closed({"object": TEXT, "index": number, "embedding": vector}))
    usage = closed({"prompt_tokens": number, "total_tokens": number})
    return Described(
        "embeddings",
        "A vector for each text, as in the API of OpenAI",
        closed(request, optional=("model", "encoding_format", "dimensions", "user")),
        closed({"object": TEXT, "data": data, "model": TEXT, "usage": usage}),
        description="Also under `/openai/v1`.",
    )


_ASKED = (
    ("/chat/completions", chat, described.chat),
    ("/completions", completions, described.completions),
    ("/responses", responses.responses, responses.described),
    ("/embeddings", embeddings, _described),
)
_SHOWN = (
    ("/models", list_models, "The models, as in the API of OpenAI."),
    ("/models/{model}", one_model, "One of the models."),
)
OPERATIONS = (
    *(Operation("/v1" + path, read, explain, describe) for path, read, describe in _ASKED),
    *(Operation("/openai/v1" + path, read, explain) for path, read, _ in _ASKED),
)
"""KServe puts `/openai` before the addresses of its own servers."""
PAGES = (
    *(Page("/v1" + path, answer, explain, summary=summary) for path, answer, summary in _SHOWN),
    *(Page("/openai/v1" + path, answer, explain) for path, answer, _ in _SHOWN),
)


def _vector(vector: object, written: str) -> object:
    """Numbers, or in base64 the bytes of them in single precision."""
    assert isinstance(vector, Sequence)
    return vector if written == "float" else base64.b64encode(np.array(vector, "<f4").tobytes()).decode()


def _model(service: Service) -> Mapping[str, object]:
    name = service.version.name
    made = made_at(service)
    return {"id": name, "object": "model", "created": made, "owned_by": "tunewright", "name": name, "ready": True}

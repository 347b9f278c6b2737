"""How alike texts are: by the cosine of their vectors, or as a model of pairs says itself."""

from collections.abc import Mapping, Sequence

import numpy as np

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.errors import NotFound
from tunewright.serving.live.agreement import number
from tunewright.serving.live.service import Service
from tunewright.serving.protocols.plain import checked, json_reply, text_of, texts_of
from tunewright.serving.protocols.protocol import Asked
from tunewright.serving.request.schema import TEXT, closed, list_of

_KEYS = {"source_sentence", "sentences"}
_VECTORS = "feature-extraction"
INPUTS = closed({"source_sentence": TEXT, "sentences": list_of(TEXT, minItems=1)})
"""A text and those that it is compared with."""
ANSWER = list_of({"type": "number"}, minItems=1)


def is_asked(service: Service, inputs: object) -> bool:
    """Whether inputs are `{"source_sentence": ..., "sentences": [...]}`, of a model that can say it."""
    return can(service.predictor.model) and isinstance(inputs, dict) and set(inputs) == _KEYS


def can(model: ModelFile) -> bool:
    """Whether a model gives vectors, or a number to a pair of texts."""
    return model.task == _VECTORS or ranks(model)


def require_vectors(service: Service) -> None:
    """NotFound where a model gives none."""
    if service.predictor.model.task != _VECTORS:
        raise NotFound(f"{service} is for {service.predictor.model.task}: it gives no embeddings")


def ranks(model: ModelFile) -> bool:
    """Whether a model gives a number to a pair of texts."""
    return model.pair and len(model.labels) == 1


def asked(service: Service, inputs: object, parameters: Mapping[str, object]) -> Asked:
    """One number for each of the sentences."""
    assert isinstance(inputs, dict)
    source, sentences = text_of(inputs, "source_sentence"), texts_of(inputs, "sentences")
    model = service.predictor.model
    if model.task == _VECTORS:
        request, _ = checked(service, [source, *sentences], parameters)
        return Asked(service, request, lambda vectors: json_reply(_cosines(vectors)))
    request, _ = checked(service, [{"text": source, "text_pair": one} for one in sentences], parameters)
    return Asked(service, request, lambda answers: json_reply([number(answer) for answer in answers]))


def _cosines(vectors: Sequence[object]) -> list[float]:
    """Of the first vector and each of the others."""
    first_D, *_ = rows_ND = np.array(vectors, dtype=np.float32)
    lengths_N = np.linalg.norm(rows_ND, axis=1)
    cosines: list[float] = (rows_ND[1:] @ first_D / np.maximum(lengths_N[1:] * lengths_N[0], 1e-12)).tolist()
    return cosines

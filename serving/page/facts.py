"""What the page shows of each model: what it is for, how good it was when it was made, and how it is asked."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.explain.kinds import is_explainable
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.live.slot import Slot

_PURPOSES = {
    "audio-classification": "Tells what a recording is",
    "audio-regression": "Gives a number for a recording",
    "feature-extraction": "Makes vectors of texts, for search and comparison",
    "image-classification": "Tells what an image shows",
    "image-regression": "Gives a number for an image",
    "image-text-classification": "Answers about an image and a text together",
    "masked-language-modelling": "Fills in missing words",
    "question-answering": "Finds the passage of a context that answers a question",
    "summarization": "Says a text in fewer words",
    "text-classification": "Labels texts",
    "text-generation": "Goes on with a text",
    "text-regression": "Gives a number for a text",
    "token-classification": "Finds words of certain kinds in a text",
    "translation": "Translates a text",
}
_WINDOWED = ("token-classification", "question-answering")
"""Tasks that read a long text piece by piece."""


def facts(models: Models) -> dict[str, object]:
    """Everything the page knows, of which JSON can be made; NotLoaded."""
    limits = models.limits
    return {
        "models": [_model(slot, service, path) for slot, service, path in _loaded(models)],
        "limits": {
            "inputs": limits.inputs,
            "characters": limits.characters,
            "deadline_seconds": limits.deadline_seconds,
        },
    }


def _loaded(models: Models) -> Iterator[tuple[Slot, Service, str]]:
    """What is in memory, with what stands before `predict` in its address; NotLoaded where that is nothing."""
    if not models.services:
        models.find()
    for number, one in enumerate(models.all):
        loaded = [(slot, slot.service) for slot in one.slots if slot.service is not None]
        alone = f"models/{one.name}/" if number else ""
        for slot, service in loaded:
            # Of several versions of a model each is asked by its number: by the name alone any may answer.
            yield slot, service, alone if len(loaded) == 1 else f"models/{one.name}:{service.version.number}/"


def _model(slot: Slot, service: Service, path: str) -> dict[str, object]:
    model, shapes, version = service.predictor.model, service.shapes, service.version
    return {
        "name": version.name,
        "version": version.number,
        "digest": version.digest,
        "created": version.created,
        "reference": slot.reference,
        "followed": slot.moves,
        "failure": slot.failure.reason if slot.failure else None,
        "path": path,
        "variant": service.predictor.variant,
        "task": model.task,
        "purpose": _purpose(model),
        "problem": model.problem,
        "pair": model.pair,
        "labels": model.labels,
        "thresholds": model.thresholds is not None,
        "max_length": model.max_length,
        "windowed": model.task in _WINDOWED,
        "context": model.options.get("context") if model.task == "text-generation" else None,
        "chat": bool(model.options.get("chat")),
        "mask_token": model.options.get("mask_token") if model.task == "masked-language-modelling" else None,
        "writes": service.predictor.writes,
        "explainable": is_explainable(service.predictor),
        "report": f"{path}page/report" if service.report else None,
        "neighbours": service.predictor.neighbours is not None,
        "body_bytes": service.body_bytes,
        "example": shapes.example if isinstance(shapes.example, str) or model.task != "image-classification" else "",
        "parameters": _parameters(shapes.parameters, model),
        "variants": {
            name: {"metrics": one.metrics, "ms_per_text": one.ms_per_text, "bytes": one.bytes}
            for name, one in model.variants.items()
        },
        "interval": _interval(model, service.predictor.variant),
        "left_out": model.left_out,
    }


def _purpose(model: ModelFile) -> str:
    purpose = _PURPOSES.get(model.task, model.task)
    if model.task == "text-generation" and model.options.get("chat"):
        return "Answers in a conversation."
    if model.pair and model.task.startswith("text-"):
        purpose = purpose.replace("texts", "pairs of texts").replace("a text", "a pair of texts")
    if not model.labels or model.problem == "regression":
        return f"{purpose}: {model.labels[0]}." if model.labels else f"{purpose}."
    names = _kinds(model.labels) if model.task == "token-classification" else model.labels
    named = ", ".join(names[:4])
    return f"{purpose}: {named}{' and others' if len(names) > 4 else ''}."


def _kinds(labels: Sequence[str]) -> list[str]:
    from tunewright.serving.explain.tokens import kinds_of  # it brings the task, which other models need not wait for

    return kinds_of(labels)


def _interval(model: ModelFile, variant: str) -> dict[str, object] | None:
    """The first figure whose interval was measured, which is the headline."""
    for metric, (low, high) in model.variants[variant].intervals.items():
        return {"metric": metric, "low": low, "high": high}
    return None


def _parameters(schema: Mapping[str, Any], model: ModelFile) -> dict[str, object]:
    """The parameters that a form can ask for: their schemas by name, with what holds for this model."""
    own = model.options.get("generation")
    defaults = own if isinstance(own, dict) else {}
    shapes: Mapping[str, Any] = schema.get("properties", {})
    return {name: {**shape, "default": defaults[name]} if name in defaults else shape for name, shape in shapes.items()}

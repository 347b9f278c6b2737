"""The OpenAPI document of a server: the operations of all protocols, for the task of the model that it serves.

It is the same for each version of a model, its examples aside: a client made for one can ask the next.
"""

import re
from collections.abc import Mapping
from importlib.metadata import version

from tunewright.serving.live.service import Service
from tunewright.serving.page import page as front
from tunewright.serving.protocols import (
    embeddings_inference,
    huggingface,
    kserve,
    mlflow,
    oip,
    openai,
    text_generation_inference,
)
from tunewright.serving.protocols.own import explain
from tunewright.serving.protocols.protocol import About, Described, Explain, Fault, Operation, Page, explained
from tunewright.serving.request.schema import NAME, TEXT, Schema, closed, list_of, ref
from tunewright.serving.runtime.session import TimeLimit

PROTOCOLS = (
    huggingface,
    openai,
    oip,
    kserve,
    mlflow,
    embeddings_inference,
    text_generation_inference,
    explain,
    front,
)
_FAULTS = {
    "400": "The body is not a JSON object.",
    "404": "No such model, or it cannot do this.",
    "408": "The request did not arrive in time.",
    "413": "The body, the number of texts or a text is over a limit.",
    "422": "The inputs or the parameters are wrong; the message says which.",
    "429": "As many requests, or bytes of bodies, as allowed are in flight; `Retry-After` says when to try again.",
    "500": "The model or the server is broken.",
    "503": "No answer before the deadline, or no model yet.",
}
_PLACE = re.compile(r"{(\w+)}")


def document(service: Service, *, metrics: bool = True) -> Schema:
    """The whole document, in the dialect 3.0. `metrics`: whether their page is beside everything else."""
    predictor = service.predictor
    about = About(service.version.name, predictor.model, service.shapes, predictor.writes, service.limits.inputs)
    told = paths(about, metrics=metrics)
    told["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["examples"] = _replies(service)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Tunewright",
            "version": version("tunewright"),
            "description": f"A model for {predictor.model.task}, asked in the protocols of its field.",
        },
        "paths": told,
        "components": {"schemas": _schemas(about)},
    }


def paths(about: About, *, metrics: bool = True) -> Schema:
    """Every address of a server of such a model."""
    found: Schema = {}
    for protocol in PROTOCOLS:
        for operation in protocol.OPERATIONS:
            described = operation.describe(about)
            if described is not None:
                found.setdefault(operation.path, {})["post"] = _operation(operation, described, about)
        for page in protocol.PAGES:
            if page.summary:
                for method in page.methods:
                    found.setdefault(page.path, {})[method.lower()] = _page(page, about)
    return found | _own(metrics=metrics)


def _operation(operation: Operation, described: Described, about: About) -> Schema:
    answers: Schema = {}
    if described.answer is not None:
        answers |= _json(described.answer)
    if described.event is not None:
        answers["text/event-stream"] = {"schema": described.event}
    return {
        "summary": described.summary,
        **({"description": described.description} if described.description else {}),
        "operationId": described.name,
        **_parameters(operation.path, about),
        "requestBody": {"required": True, "content": _json(described.request, described.examples)},
        "responses": {
            "200": {
                "description": "The answer.",
                "headers": {"X-Tunewright-Model": {"description": "Who answered.", "schema": TEXT}},
                "content": answers,
            },
            **_faults(operation.explain),
        },
    }


def _page(page: Page, about: About) -> Schema:
    refusals = {code: _FAULTS[code] for code in ("404", "503")}
    return {
        "summary": page.summary,
        **_parameters(page.path, about),
        "responses": {
            "200": {"description": "Yes.", "content": {page.media_type: {"schema": {}}}},
            **{code: _fault(meaning, page.explain) for code, meaning in refusals.items()},
        },
    }


def _parameters(path: str, about: About) -> Schema:
    """What the address leaves open: names of models."""
    names = _PLACE.findall(path)
    schema = {"type": "string", "enum": [about.name]}
    told = [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]
    return {"parameters": told} if told else {}


def _schemas(about: About) -> Schema:
    """What has a name, for the clients that are made of the document."""
    found: Schema = {
        "Input": about.shapes.item,
        "Parameters": about.shapes.parameters,
        "Answer": about.shapes.answer,
        "Answers": list_of(ref("Answer"), minItems=1, maxItems=about.inputs),
    }
    explains: set[Explain] = {explained}
    for protocol in PROTOCOLS:
        for operation in protocol.OPERATIONS:
            described = operation.describe(about)
            if described is not None:
                found |= described.schemas
                explains.add(operation.explain)
        explains |= {page.explain for page in protocol.PAGES}
    found |= {_name(explain): _like(explain(Fault(422, "", ""))) for explain in explains}
    apart: Schema = {}
    return {name: _taken_out(schema, apart) for name, schema in found.items()} | apart


def _taken_out(schema: object, found: Schema) -> object:
    """A schema with references in the place of what has a name, which is put beside it."""
    if isinstance(schema, list):
        return [_taken_out(one, found) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {key: _taken_out(value, found) for key, value in schema.items() if key != NAME}
    if NAME not in schema:
        return inside
    found[schema[NAME]] = inside
    return ref(schema[NAME])


def _name(explain: Explain) -> str:
    module = explain.__module__.rpartition(".")[2]
    return "Error" if explain is explained else f"{module.title().replace('_', '')}Error"


def _like(example: object) -> Schema:
    """The schema of all that looks like an example."""
    if isinstance(example, dict):
        return closed({name: _like(value) for name, value in example.items()})
    return TEXT if isinstance(example, str) else {**TEXT, "nullable": True}


def _faults(explain: Explain) -> Schema:
    return {code: _fault(meaning, explain) for code, meaning in _FAULTS.items()}


def _fault(meaning: str, explain: Explain = explained) -> Schema:
    return {"description": meaning, "content": _json(ref(_name(explain)))}


def _replies(service: Service) -> Schema:
    predictor, shapes = service.predictor, service.shapes
    task = predictor.task
    texts, _ = task.read_inputs(shapes.example, predictor.model)
    with TimeLimit(service.limits.deadline_seconds) as limit:
        parameters = task.read_parameters(shapes.example_parameters, predictor.model)
        (answer,) = predictor.answers(predictor.prepare(texts, parameters), parameters, limit=limit)
    return {"one": {"value": answer}, "several": {"value": [answer, answer]}}


def _own(*, metrics: bool) -> Schema:
    """What is of no protocol."""
    alive = {"responses": {"200": {"description": "Yes.", "content": _json(closed({"status": TEXT}))}}}
    ready = {"description": "Yes.", "content": _json(closed({"status": TEXT, "model": TEXT}))}
    page = {"200": {"description": "The page.", "content": {"text/plain": {"schema": TEXT}}}}
    models = {"200": {"description": "What is served.", "content": _json({})}}
    return {
        "/models": {"get": {"summary": "The models, their versions, and why one is not there.", "responses": models}},
        "/healthz": {"get": {"summary": "Whether the process runs.", **alive}},
        "/livez": {"get": {"summary": "Whether the process runs.", **alive}},
        "/startupz": {
            "get": {
                "summary": "Whether there has been a model to answer with.",
                "responses": {**alive["responses"], "503": _fault("No: it is being loaded.")},
            }
        },
        "/readyz": {
            "get": {
                "summary": "Whether requests should be sent here.",
                "responses": {
                    "200": ready,
                    "503": _fault("No: no model yet, or about to stop."),
                },
            }
        },
        **({"/metrics": {"get": {"summary": "Figures for Prometheus.", "responses": page}}} if metrics else {}),
    }


def _json(schema: Schema, examples: Mapping[str, object] | None = None) -> Schema:
    return {"application/json": {"schema": schema, **({"examples": examples} if examples else {})}}

"""The OpenAPI document of a server: written for the version it serves, with a real answer as the example."""

from tunewright.serving.engines.task import Shapes
from tunewright.serving.live.service import Service
from tunewright.serving.protocols.huggingface import OPTIONS
from tunewright.serving.request.schema import TEXT, Schema, closed, list_of
from tunewright.serving.runtime.session import TimeLimit

_FAULTS = {
    "400": "The body is not a JSON object.",
    "408": "The request did not arrive in time.",
    "413": "The body, the number of texts or a text is over a limit.",
    "422": "The inputs or the parameters are wrong; the message says which.",
    "429": "As many requests, or bytes of bodies, as allowed are in flight; `Retry-After` says when to try again.",
    "500": "The model or the server is broken.",
    "503": "No answer before the deadline.",
}

_OLD_OPTIONS: Schema = {
    **closed({name: {} for name in OPTIONS}, optional=OPTIONS),
    "nullable": True,
    "description": "Accepted from older clients; no effect.",
}
_EVENT: Schema = {
    **closed({"event": {"type": "string", "enum": ["message"]}, "data": TEXT}, optional=("event",)),
    "description": "One event; `data` is JSON, see above.",
}
"""What stands in a stream, again and again."""


def document(service: Service, *, metrics: bool = True) -> Schema:
    """The whole document, in the dialect 3.0. `metrics`: whether their page is beside everything else."""
    model = service.predictor.model
    shapes = service.shapes
    return {
        "openapi": "3.0.3",
        "info": {
            "title": f"Tunewright: {service}",
            "version": str(service.version.number),
            "description": f"{model.task} ({model.problem.replace('_', ' ')}) with {len(model.labels)} label(s).",
        },
        "paths": paths(
            shapes,
            inputs=service.limits.inputs,
            writes=service.predictor.writes,
            metrics=metrics,
            replies=_replies(service, shapes),
        ),
        "components": {"schemas": {"Error": closed({"error": TEXT, "error_type": TEXT})}},
    }


def paths(shapes: Shapes, *, inputs: int, writes: bool, metrics: bool = True, replies: Schema | None = None) -> Schema:
    """Every route of a server of this task: at most so many inputs, with a stream where the model writes."""
    return {
        "/predict": {"post": _predict(shapes, inputs, replies)},
        **({"/predict/stream": {"post": _stream(shapes)}} if writes else {}),
        "/healthz": {"get": _health("Whether the process runs.")},
        "/livez": {"get": _health("Whether the process runs.")},
        "/readyz": {"get": _ready()},
        "/startupz": {"get": _started()},
        **({"/metrics": {"get": _metrics()}} if metrics else {}),
    }


def _predict(shapes: Shapes, inputs: int, replies: Schema | None) -> Schema:
    request = closed(
        {
            "inputs": {"anyOf": [shapes.item, list_of(shapes.item, minItems=1, maxItems=inputs)]},
            "parameters": {**shapes.parameters, "nullable": True},
            "options": _OLD_OPTIONS,
            **{name: shapes.parameters["properties"][name] for name in shapes.beside},
        },
        optional=("parameters", "options", *shapes.beside),
    )
    # Not oneOf: the answer to one input may itself be a list of what answers another one.
    answers = {"anyOf": [shapes.answer, list_of(shapes.answer, minItems=1, maxItems=inputs)]}
    return {
        "summary": "Answer one input or a list of them",
        "description": "A single input is answered by one answer, a list by a list in the same order.",
        "operationId": "predict",
        "requestBody": {"required": True, "content": _json(request, _requests(shapes))},
        "responses": {
            "200": {
                "description": "The answer or answers.",
                "headers": {"X-Tunewright-Model": {"description": "Who answered.", "schema": TEXT}},
                "content": _json(answers, replies),
            },
            **{code: _fault(meaning) for code, meaning in _FAULTS.items()},
        },
    }


def _stream(shapes: Shapes) -> Schema:
    request = closed(
        {"inputs": shapes.item, "parameters": {**shapes.parameters, "nullable": True}, "options": _OLD_OPTIONS},
        optional=("parameters", "options"),
    )
    return {
        "summary": "Answer one input while the answer is written",
        "description": (
            'Server-sent events: `data: {"text": "..."}` for each piece, then `data: {"finish": "eos"}` (or `stop`, '
            '`length`), or `data: {"error": ..., "error_type": ...}`. The pieces joined are what was written, without '
            "the prompt, special tokens and a stop string. Beams come in one piece: set `num_beams` to 1."
        ),
        "operationId": "stream",
        "requestBody": {"required": True, "content": _json(request, {"one": _requests(shapes)["one"]})},
        "responses": {
            "200": {"description": "The answer.", "content": {"text/event-stream": {"schema": _EVENT}}},
            **{code: _fault(meaning) for code, meaning in _FAULTS.items()},
        },
    }


def _requests(shapes: Shapes) -> Schema:
    more = {"parameters": dict(shapes.example_parameters)} if shapes.example_parameters else {}
    several = [shapes.example, shapes.example]
    return {"one": {"value": {"inputs": shapes.example, **more}}, "several": {"value": {"inputs": several, **more}}}


def _replies(service: Service, shapes: Shapes) -> Schema:
    predictor = service.predictor
    task = predictor.task
    texts, _ = task.read_inputs(shapes.example, predictor.model)
    with TimeLimit(service.limits.deadline_seconds) as limit:
        parameters = task.read_parameters(shapes.example_parameters, predictor.model)
        (answer,) = predictor.answers(predictor.prepare(texts, parameters), parameters, limit=limit)
    return {"one": {"value": answer}, "several": {"value": [answer, answer]}}


def _health(meaning: str) -> Schema:
    answer = {"description": "Yes.", "content": _json(closed({"status": TEXT}))}
    return {"summary": meaning, "responses": {"200": answer}}


def _ready() -> Schema:
    return {
        "summary": "Whether requests should be sent here.",
        "responses": {
            "200": {"description": "Yes.", "content": _json(closed({"status": TEXT, "model": TEXT}))},
            "503": _fault("No: no model is loaded, or the server is about to stop."),
        },
    }


def _started() -> Schema:
    return {
        "summary": "Whether a model has been loaded.",
        "responses": {
            "200": {"description": "Yes.", "content": _json(closed({"status": TEXT}))},
            "503": _fault("Not yet."),
        },
    }


def _metrics() -> Schema:
    return {
        "summary": "Counters and timings for Prometheus.",
        "responses": {"200": {"description": "The page.", "content": {"text/plain": {"schema": TEXT}}}},
    }


def _fault(meaning: str) -> Schema:
    return {"description": meaning, "content": _json({"$ref": "#/components/schemas/Error"})}


def _json(schema: Schema, examples: Schema | None = None) -> Schema:
    return {"application/json": {"schema": schema, **({"examples": examples} if examples else {})}}

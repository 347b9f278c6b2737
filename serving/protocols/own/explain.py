"""`POST /explain`: which parts of an input its answer rests on, or which training rows it is nearest to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tunewright.serving.errors import InputError, TooLarge
from tunewright.serving.explain.kinds import KINDS, NEARBY, require_explainable
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.protocols.huggingface import read_envelope
from tunewright.serving.protocols.protocol import About, Asked, Call, Described, Operation, Page, Reply
from tunewright.serving.request.json_text import to_json
from tunewright.serving.request.parameters import check_parameters
from tunewright.serving.request.request import Request, Steps
from tunewright.serving.request.schema import TEXT, Schema, closed, list_of, nullable, ref, schema_of

_USUAL_BUDGET = 64
"""Rows for one input where neither the caller nor the limit says less."""
_FEWEST = 4
"""Rows without which there is nothing to tell of an input."""
_USUAL_NEIGHBOURS = 5
_PARAMETERS_OF = {"masking": ("budget", "target"), "neighbours": ("k",)}


class Parameters(BaseModel):
    """What a caller may set."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    budget: int | None = Field(default=None, ge=1)
    """Rows that the model may run for the whole request: more rows, smaller parts and finer weights. 64 for each input
    when absent."""
    target: str | None = None
    """The label, or the kind of entity, to explain; what the model answers when absent."""
    method: Literal["masking", "neighbours"] = "masking"
    """`masking` hides parts of the input. `neighbours` finds training rows, where the version carries them."""
    k: int | None = Field(default=None, ge=1, le=100)
    """How many of the nearest training rows are told: 5 when absent."""


def read(models: Models, call: Call) -> Asked:
    """The inputs as for `POST /predict`; to a list of inputs a list, to a single one its explanation."""
    service = models.default
    require_explainable(service.predictor)
    envelope = read_envelope(call.body)
    inputs, are_many = service.predictor.task.read_inputs(envelope.inputs, service.predictor.model)
    return explaining(
        service, inputs, envelope.parameters, lambda answers: Reply(to_json(answers if are_many else answers[0]))
    )


def explaining(
    service: Service,
    inputs: Sequence[object],
    parameters: Mapping[str, object],
    write: Callable[[list[object]], Reply],
) -> Asked:
    """Explanations of the answers to checked inputs, for `write` to make a reply of."""
    require_explainable(service.predictor)
    checked = check_parameters(Parameters, parameters, "an explanation")
    _refuse_unused(checked)
    if checked.method == "neighbours":
        return _with_neighbours(service, inputs, checked.k or _USUAL_NEIGHBOURS, write)
    budget = _budget(checked.budget, len(inputs), service.limits.explain_rows)
    rows = budget // len(inputs)
    return Asked(service, Request(inputs, None, lambda one: _explained(service, one, rows, checked.target)), write)


def _refuse_unused(checked: Parameters) -> None:
    """InputError for a parameter that the method has no use for."""
    for method, names in _PARAMETERS_OF.items():
        for name in names:
            if method != checked.method and getattr(checked, name) is not None:
                raise InputError(f"parameter {name!r} is for the method {method!r}, not for {checked.method!r}")


def _with_neighbours(
    service: Service, inputs: Sequence[object], count: int, write: Callable[[list[object]], Reply]
) -> Asked:
    # Here, as a server that explains nothing need not wait for them.
    from tunewright.serving.explain.nearest import ROWS, nearest, require_neighbours

    require_neighbours(service.predictor)
    if ROWS * len(inputs) > (most := service.limits.explain_rows):
        raise TooLarge(
            f"{most} rows for {len(inputs)} inputs are too few: nearest training rows take {ROWS} for each; send fewer "
            "inputs (SERVING_LIMITS__EXPLAIN_ROWS)"
        )
    return Asked(service, Request(inputs, None, lambda one: nearest(service.predictor, one, count)), write)


def _budget(asked: int | None, inputs: int, most: int) -> int:
    """Rows for all inputs together; InputError for what a caller asks, TooLarge for more inputs than there are rows."""
    if asked is not None and asked > most:
        raise InputError(
            f"parameter 'budget' is {asked}; this server runs at most {most} rows for one request "
            "(SERVING_LIMITS__EXPLAIN_ROWS)"
        )
    budget = min(asked or _USUAL_BUDGET * inputs, most)
    if budget >= _FEWEST * inputs:
        return budget
    if asked is not None:
        raise InputError(f"parameter 'budget' is {asked}; {inputs} inputs take at least {_FEWEST * inputs} rows")
    raise TooLarge(
        f"{most} rows for {inputs} inputs are too few: an explanation takes at least {_FEWEST}; send fewer inputs "
        "(SERVING_LIMITS__EXPLAIN_ROWS)"
    )


def _explained(service: Service, one: object, budget: int, target: str | None) -> Steps:
    """The explanation of one input, or the list of those of its entities."""
    # Here, as a server that explains nothing need not wait for them.
    from tunewright.serving.explain.explaining import explain
    from tunewright.serving.explain.subject import Asked as Wanted

    explanations = yield from explain(service.predictor, one, Wanted(budget, target))
    return explanations if service.predictor.model.task == "token-classification" else explanations[0]


_PART: Schema = {
    "type": "object",
    "properties": {
        "weight": {"type": "number"},
        "text": TEXT,
        "field": {**TEXT, "description": "Which of several texts."},
        "start": {"type": "number", "description": "A character, or a second."},
        "end": {"type": "number"},
        "box": {**list_of({"type": "number"}), "description": "Left, top, right, bottom, as shares of an image."},
    },
    "required": ["weight"],
}
_PLACE: Schema = {"type": "integer", "minimum": 0}
_EXPLANATION = closed(
    {
        "target": TEXT,
        "word": TEXT,
        "start": _PLACE,
        "end": _PLACE,
        "score": {"type": "number", "description": "Of the target, for the whole input."},
        "base": {"type": "number", "description": "The same with everything hidden."},
        "scale": {"type": "string", "enum": ["log-odds", "score"], "description": "What the weights add up on."},
        "parts": list_of(_PART),
        "rows": {**_PLACE, "description": "Rows of the model that it took."},
    },
    optional=("word", "start", "end"),
)


_NEIGHBOUR = closed(
    {
        "similarity": {"type": "number", "description": "Cosine of its vector and the input's, at most 1."},
        "row": {**_PLACE, "description": "Its number among the checked training rows."},
        "label": {"anyOf": [TEXT, {"type": "number"}, list_of(TEXT)], "description": "What it was taught as."},
        "text": {**TEXT, "description": "Its beginning."},
        "text_pair": TEXT,
        "sha256": {**TEXT, "description": "The digest of its file."},
    },
    optional=("text", "text_pair", "sha256"),
)
_NEAREST = closed(
    {
        "target": TEXT,
        "score": {"type": "number", "description": "Of the target."},
        "neighbours": list_of(ref("Neighbour")),
        "rows": {**_PLACE, "description": "Rows of the model that it took."},
    }
)


def parameters_schema() -> Schema:
    """What a caller may set, or null."""
    return nullable(schema_of(Parameters))


def described(about: About) -> Described | None:
    """For a model whose answers are explained."""
    if about.model.task not in KINDS:
        return None
    one = list_of(ref("Explanation")) if about.model.task == "token-classification" else ref("Explanation")
    schemas = {"Explanation": _EXPLANATION, "Explanations": one}
    if about.model.task in NEARBY:
        one = {"anyOf": [one, ref("NearestRows")]}
        schemas |= {"Explanations": one, "NearestRows": _NEAREST, "Neighbour": _NEIGHBOUR}
    request = closed({"inputs": about.one_or_many, "parameters": parameters_schema()}, optional=("parameters",))
    return Described(
        "explain",
        "Explain the answer to one input or a list of them",
        request,
        {"anyOf": [one, list_of(one)]},
        description="Which parts of an input its answer rests on, or which training rows it is nearest to. What a "
        "single input is answered by, a list has one of for each of its inputs.",
        examples={"one": {"value": {"inputs": about.shapes.example}}},
        schemas=schemas,
    )


OPERATIONS = (Operation("/explain", read, describe=described),)
PAGES: tuple[Page, ...] = ()

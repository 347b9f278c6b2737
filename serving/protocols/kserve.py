"""KServe's protocol V1: `{"instances": [...]}` to `{"predictions": [...]}`."""

from tunewright.serving.errors import InputError, NotFound, shown
from tunewright.serving.live.models import Models
from tunewright.serving.protocols.oip import explain
from tunewright.serving.protocols.plain import body_object, each_one, json_reply, object_of
from tunewright.serving.protocols.protocol import About, Asked, Call, Described, Operation
from tunewright.serving.request.schema import closed, nullable, ref


def predict(models: Models, call: Call) -> Asked:
    """POST /v1/models/{model}:predict: the answers in the order of the instances."""
    service = models.find(call.path["model"])
    content = body_object(call)
    if unknown := set(content) - {"instances", "parameters"}:
        raise InputError(f"unknown key {shown(min(unknown))}; a request has: instances, parameters")
    instances, parameters = content.get("instances"), object_of(content.get("parameters"), "'parameters'")
    if not isinstance(instances, list):
        raise InputError(f"'instances' is {shown(instances)}; send a list of inputs")
    request = each_one(service, instances, parameters)
    return Asked(service, request, lambda answers: json_reply({"predictions": answers}))


def explanation(models: Models, call: Call) -> Asked:
    """POST /v1/models/{model}:explain."""
    service = models.find(call.path["model"])
    raise NotFound(f"{service} explains nothing at this address")


def _described(about: About) -> Described:
    properties = {"instances": about.many, "parameters": nullable(about.shapes.parameters)}
    request = closed(properties, optional=("parameters",))
    answer = closed({"predictions": ref("Answers")})
    return Described("kserve_predict", "Answer instances, as KServe's V1 has it", request, answer)


OPERATIONS = (
    Operation("/v1/models/{model}:predict", predict, explain, _described),
    Operation("/v1/models/{model}:explain", explanation, explain),
)
PAGES = ()

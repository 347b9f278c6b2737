"""KServe's protocol V1: `{"instances": [...]}` to `{"predictions": [...]}`."""

from collections.abc import Mapping

from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.protocols.oip import explain
from tunewright.serving.protocols.own.explain import described, explaining, parameters_schema
from tunewright.serving.protocols.plain import body_object, each_one, items_of, json_reply, object_of, refuse_unknown
from tunewright.serving.protocols.protocol import About, Asked, Call, Described, Operation
from tunewright.serving.request.schema import closed, list_of, nullable, ref


def predict(models: Models, call: Call) -> Asked:
    """POST /v1/models/{model}:predict: the answers in the order of the instances."""
    service, instances, parameters = _read(models, call)
    request = each_one(service, instances, parameters)
    return Asked(service, request, lambda answers: json_reply({"predictions": answers}))


def explanation(models: Models, call: Call) -> Asked:
    """POST /v1/models/{model}:explain: why each of the predictions is what it is; parameters as those of /explain."""
    service, instances, parameters = _read(models, call)
    inputs = each_one(service, instances, {}).inputs
    return explaining(service, inputs, parameters, lambda found: json_reply({"explanations": found}))


def _read(models: Models, call: Call) -> tuple[Service, list[object], Mapping[str, object]]:
    """Whom the address names, and the instances and parameters of the body."""
    service = models.find(call.path["model"])
    content = body_object(call)
    refuse_unknown(content, ("instances", "parameters"))
    parameters = object_of(content.get("parameters"), "'parameters'")
    return service, items_of(content, "instances", "inputs"), parameters


def _described(about: About) -> Described:
    properties = {"instances": about.many, "parameters": nullable(about.shapes.parameters)}
    request = closed(properties, optional=("parameters",))
    answer = closed({"predictions": ref("Answers")})
    return Described("kserve_predict", "Answer instances, as KServe's V1 has it", request, answer)


def _described_explanation(about: About) -> Described | None:
    if (said := described(about)) is None:
        return None
    request = closed({"instances": about.many, "parameters": parameters_schema()}, optional=("parameters",))
    answer = closed({"explanations": list_of(said.schemas["Explanations"])})
    return Described("kserve_explain", "Explain predictions, as KServe's V1 has it", request, answer)


OPERATIONS = (
    Operation("/v1/models/{model}:predict", predict, explain, _described),
    Operation("/v1/models/{model}:explain", explanation, explain, _described_explanation),
)
PAGES = ()

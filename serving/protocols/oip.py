"""The Open Inference Protocol, version 2, as Triton and KServe speak it.

Inputs are tensors of strings (BYTES), one for each part of an input: `text`, or `text` and `text_pair`, `question` and
`context`, `image`. Files are bytes, or base64 within JSON. Outputs are tensors of as many rows: `label` and `score`,
`embedding`, `text`; and `json`, the whole answer as a string.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from prometheus_client.parser import text_string_to_metric_families

from tunewright.serving.errors import InputError, shown
from tunewright.serving.live.model import Model
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.protocols.oip_tensors import HEADER, Item, Output, read_body, read_inputs, write_reply
from tunewright.serving.protocols.plain import checked, joined, json_reply, object_of, parts, refuse_unknown
from tunewright.serving.protocols.protocol import About, Asked, Call, Described, Fault, Operation, Page, Reply
from tunewright.serving.request.json_text import to_json
from tunewright.serving.request.schema import TEXT, Schema, closed, list_of, needing, nullable

_EXTENSIONS = ["binary_tensor_data", "model_repository", "model_configuration", "statistics"]
_FILES = ("image", "audio")
_OF_SEQUENCES = ("sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "binary_data_output")
"""Parameters of Triton that are for no model."""
_WRITTEN = ("generated_text", "translation_text", "summary_text")
_NS = 1_000_000_000


def explain(fault: Fault) -> object:
    """The error object of the protocol."""
    return {"error": fault.sentence}


def infer(models: Models, call: Call) -> Asked:
    """POST /v2/models/{model}/infer."""
    service = _service(models, call)
    content, packed = read_body(call)
    refuse_unknown(content, ("id", "parameters", "inputs", "outputs"), beside=("model_name", "model_version"))
    parameters = object_of(content.get("parameters"), "'parameters'")
    inputs = _inputs(service, [*read_inputs(content.get("inputs"), packed)])
    asked = {name: value for name, value in parameters.items() if name not in _OF_SEQUENCES}
    request, _ = checked(service, inputs, asked)
    wanted = _wanted(service, content.get("outputs"), is_binary=bool(parameters.get("binary_data_output")))
    head: dict[str, object] = {"model_name": service.version.name, "model_version": str(service.version.number)}
    head |= {"id": content["id"]} if "id" in content else {}

    def write(answers: list[object]) -> Reply:
        made = _outputs(service, answers)
        return write_reply(head, [(made[name], is_binary) for name, is_binary in wanted.items()])

    return Asked(service, request, write)


def server(models: Models, call: Call) -> Reply:
    """GET /v2."""
    return json_reply({"name": "tunewright", "version": version("tunewright"), "extensions": _EXTENSIONS})


def live(models: Models, call: Call) -> Reply:
    """GET /v2/health/live."""
    return json_reply({"live": True})


def ready(models: Models, call: Call) -> Reply:
    """GET /v2/health/ready: 503 where requests should go elsewhere."""
    is_ready = models.why_not_ready is None
    return Reply(to_json({"ready": is_ready}), 200 if is_ready else 503)


def names(models: Models, call: Call) -> Reply:
    """GET /v2/models."""
    return json_reply({"models": models.names})


def metadata(models: Models, call: Call) -> Reply:
    """GET /v2/models/{model}: its tensors."""
    service = _service(models, call)
    return json_reply(
        {
            "name": service.version.name,
            "versions": [str(service.version.number)],
            "platform": "onnx_onnxv1",
            "inputs": [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in parts(service)],
            "outputs": [
                {"name": name, "datatype": datatype, "shape": shape} for name, (datatype, shape) in _made(service)
            ],
        }
    )


def model_ready(models: Models, call: Call) -> Reply:
    """GET /v2/models/{model}/ready: what is served is loaded."""
    return json_reply({"name": _service(models, call).version.name, "ready": True})


def config(models: Models, call: Call) -> Reply:
    """GET /v2/models/{model}/config, as far as Triton's clients make use of it."""
    service = _service(models, call)
    kinds = {"BYTES": "TYPE_STRING", "FP32": "TYPE_FP32"}
    return json_reply(
        {
            "name": service.version.name,
            "platform": "onnxruntime_onnx",
            "backend": "onnxruntime",
            "max_batch_size": 0,
            "input": [{"name": name, "data_type": "TYPE_STRING", "dims": [-1]} for name in parts(service)],
            "output": [
                {"name": name, "data_type": kinds[datatype], "dims": shape}
                for name, (datatype, shape) in _made(service)
            ],
        }
    )


def stats(models: Models, call: Call) -> Reply:
    """GET /v2/models/{model}/stats, of the same figures as /metrics."""
    service = _service(models, call)
    figures = _figures(models, service)

    def spent(name: str) -> Mapping[str, int]:
        return {"count": int(figures[f"{name}_count"]), "ns": int(figures[f"{name}_sum"] * _NS)}

    inference = {
        "success": {"count": int(figures["success"]), "ns": spent("request_duration_seconds")["ns"]},
        "fail": {"count": int(figures["fail"]), "ns": 0},
        "queue": spent("queue_seconds"),
        "compute_input": spent("tokenize_seconds"),
        "compute_infer": spent("inference_seconds"),
        "compute_output": {"count": 0, "ns": 0},
        "cache_hit": {"count": 0, "ns": 0},
        "cache_miss": {"count": 0, "ns": 0},
    }
    told = {
        "name": service.version.name,
        "version": str(service.version.number),
        "last_inference": 0,
        "inference_count": int(figures["texts_total"]),
        "execution_count": int(figures["run_rows_count"]),
        "inference_stats": inference,
        "batch_stats": [],
    }
    return json_reply({"model_stats": [told]})


def repository(models: Models, call: Call) -> Reply:
    """POST /v2/repository/index: what is served here; what is out of memory comes back when it is asked."""
    return json_reply([_entry(model) for model in models.all])


def _entry(model: Model) -> dict[str, str]:
    is_there = model.state == "ready"
    entry = {
        "name": model.name,
        "state": "READY" if is_there else "UNAVAILABLE",
        "reason": "" if is_there else model.state,
    }
    return entry | ({"version": str(model.version.number)} if model.version is not None else {})


def _described(about: About) -> Described:
    number: Schema = {"type": "integer", "minimum": 0}
    free: Schema = nullable({"type": "object"})
    tensor = {"name": TEXT, "shape": list_of(number), "datatype": {**TEXT, "enum": ["BYTES"]}, "parameters": free}
    tensor["data"] = {"description": "Strings, in lists as deep as the shape or in one; none where they are in bytes."}
    output = closed({"name": TEXT, "parameters": free}, optional=("parameters",))
    request = {
        "id": {},
        "model_name": {},
        "model_version": {},
        "parameters": free,
        "inputs": list_of(closed(tensor, optional=("parameters", "data")), minItems=1),
        "outputs": nullable(list_of(output)),
    }
    made = {**tensor, "datatype": {**TEXT, "enum": ["BYTES", "FP32"]}, "data": list_of({})}
    outputs = list_of(closed(made, optional=("parameters",)))
    answer = {"model_name": TEXT, "model_version": TEXT, "id": {}, "outputs": outputs}
    return Described(
        "infer",
        "Answer tensors, as the Open Inference Protocol has it",
        needing(request, "inputs"),
        closed(answer, optional=("id",)),
        description=(
            "Also at `/v2/models/{model}/versions/{version}/infer`. Tensors may come and go as bytes behind the JSON, "
            f"whose length is then in the header `{HEADER}`."
        ),
    )


_MODEL = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
_OF_A_MODEL = (
    ("", metadata, "The tensors of a model."),
    ("/ready", model_ready, "Whether a model is loaded."),
    ("/config", config, "A model as Triton's clients want it described."),
    ("/stats", stats, "What a model has done."),
)
OPERATIONS = (
    Operation(f"{_MODEL[0]}/infer", infer, explain, _described),
    Operation(f"{_MODEL[1]}/infer", infer, explain),
)
PAGES = (
    Page("/v2", server, explain, summary="What this server can do."),
    Page("/v2/health/live", live, explain, summary="Whether the process runs."),
    Page("/v2/health/ready", ready, explain, summary="Whether requests should be sent here."),
    Page("/v2/models", names, explain, summary="The models."),
    Page("/v2/models/stats", stats, explain, summary="What the first model has done."),
    Page("/v2/repository/index", repository, explain, ("POST",), summary="The models and their versions."),
    *(Page(_MODEL[0] + path, answer, explain, summary=summary) for path, answer, summary in _OF_A_MODEL),
    *(Page(_MODEL[1] + path, answer, explain) for path, answer, _ in _OF_A_MODEL),
)


def _service(models: Models, call: Call) -> Service:
    """The model that an address names, at the version that it names."""
    name, version = call.path.get("model"), call.path.get("version")
    return models.find(f"{name}:{version}" if version else name)


def _inputs(service: Service, tensors: Sequence[tuple[str, list[Item]]]) -> list[object]:
    """The inputs that the task reads, of which each tensor holds a part."""
    if len({name for name, _ in tensors}) < len(tensors):
        raise InputError(f"'inputs' are {', '.join(repr(name) for name, _ in tensors)}; send each once")
    wanted = parts(service)
    names = wanted if len(wanted) == len(tensors) == 1 else [name for name, _ in tensors]
    columns = zip(names, (items for _, items in tensors), strict=True)
    return joined(service, {name: [_read(name, item) for item in items] for name, items in columns})


def _read(name: str, item: Item) -> Item:
    """An item as the task reads it: a file, or a text."""
    if name in _FILES or isinstance(item, str):
        return item
    try:
        return item.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"a string of {name!r} is not UTF-8: byte {error.start} cannot be read") from error


def _made(service: Service) -> list[tuple[str, tuple[str, list[int]]]]:
    """The outputs of a model, with their types and shapes."""
    model = service.predictor.model
    made: dict[str, tuple[str, list[int]]] = {}
    if model.task == "feature-extraction":
        made["embedding"] = ("FP32", [-1, -1])
    elif service.predictor.writes:
        made["text"] = ("BYTES", [-1])
    elif model.problem in ("single_label", "multi_label"):
        made |= {"label": ("BYTES", [-1]), "score": ("FP32", [-1])}
    elif model.problem == "regression":
        made["score"] = ("FP32", [-1])
    return [*made.items(), ("json", ("BYTES", [-1]))]


def _wanted(service: Service, outputs: object, *, is_binary: bool) -> dict[str, bool]:
    """The outputs that are asked for, all of them where none is named, and whether each is to come in bytes."""
    made = [name for name, _ in _made(service)]
    if outputs is None or outputs == []:
        return dict.fromkeys(made, is_binary)
    if not isinstance(outputs, list):
        raise InputError(f"'outputs' is {shown(outputs)}; send a list")
    wanted = {}
    for output in outputs:
        match output:
            case {"name": str(name), **rest} if name in made and not set(rest) - {"parameters"}:
                told = object_of(rest.get("parameters"), f"the 'parameters' of the output {name!r}")
                wanted[name] = bool(told.get("binary_data", is_binary))
            case _:
                given = ", ".join(map(repr, made))
                raise InputError(f"'outputs' has {shown(output)}; this model gives: {given}")
    return wanted


def _outputs(service: Service, answers: Sequence[object]) -> dict[str, Output]:
    made: dict[str, list[object]] = {name: [] for name, _ in _made(service)}
    for answer in answers:
        told = answer[0] if isinstance(answer, list) else answer
        for name, rows in made.items():
            if name == "json":
                rows.append(to_json(answer).decode())
            elif name == "embedding":
                rows.append(answer)
            elif name == "text":
                rows.append(_text(told))
            else:
                assert isinstance(told, dict)
                # A tensor of strings has no null; the output `json` does.
                rows.append("" if told[name] is None else told[name])
    return {name: Output(name, rows) for name, rows in made.items()}


def _text(told: object) -> str:
    """What was written; a conversation as JSON."""
    assert isinstance(told, dict)
    text = next(told[name] for name in _WRITTEN if name in told)
    return text if isinstance(text, str) else to_json(text).decode()


def _figures(models: Models, service: Service) -> dict[str, float]:
    """What the page of the metrics says of a version: by the end of each name, and requests by their outcome."""
    found = {"success": 0.0, "fail": 0.0}
    of = service.served._asdict()
    for family in text_string_to_metric_families(models.meters.page().decode()):
        for sample in family.samples:
            if of.items() <= sample.labels.items():
                found[sample.name.removeprefix("tunewright_")] = sample.value
                if sample.name == "tunewright_requests_total":
                    found["success" if sample.labels["code"] == "200" else "fail"] += sample.value
    return found

"""The values of the Helm chart: what each is for, what it may be, and where in the manifests it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from tunewright.registry.versions import layout
from writers.templates import Tree, written

_TEXT = {"type": "string"}
_NAMED = TypeAdapter(layout.Name).json_schema()
_QUANTITY = {"type": ["string", "number"], "pattern": r"^[0-9]+(\.[0-9]+)?(m|[kMGTPE]|[KMGTPE]i)?$"}
_ALWAYS = ["cpu", "memory", "ephemeral-storage"]
_QUANTITIES = {
    "type": "object",
    "required": _ALWAYS,
    "properties": dict.fromkeys(_ALWAYS, _QUANTITY),
    "patternProperties": {"/|^hugepages-": _QUANTITY},
    "additionalProperties": False,
}
_RULE = {
    "type": "object",
    "required": ["to", "ports"],
    "properties": {key: {"type": "array", "minItems": 1, "items": {"type": "object"}} for key in ("to", "ports")},
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Value:
    """One of the chart's values."""

    name: str
    """With a dot where it is inside a group."""
    about: str
    schema: Mapping[str, object]
    places: tuple[str, ...] = ()
    """Where it stands: the kind and name of the object, then the way to it, by keys, names and numbers. The first says
    what it is unless somebody says otherwise."""
    code: str = ""
    """How a template writes it, where that is more than its name."""
    default: str | dict[str, Tree] | None = None
    """Where no place holds it; what is empty is left out of the object."""


_TRIGGER = "scaledobject-serving/spec/triggers/0/metadata"
CONTAINER = "deployment-serving/spec/template/spec/containers/serving"
VALUES = (
    Value(
        "instance",
        "A name for this server, where a namespace holds several: each object has it in its name and its labels.",
        _TEXT | {"pattern": "^([a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?)?$"},
        default="",
    ),
    Value(
        "model",
        "What is served: a model of the registry, and the alias that says which of its versions.",
        _NAMED,
        (f"{CONTAINER}/env/SERVING_MODEL/value",),
        'printf "%s@%s" .Values.model .Values.alias | quote',
    ),
    Value("alias", "", _NAMED),
    Value(
        "replicas",
        "How many servers, where no autoscaler says it.",
        {"type": "integer", "minimum": 0},
        ("deployment-serving/spec/replicas",),
    ),
    Value(
        "image.repository",
        "The image of the server that `make images` builds. A digest says which where it is given, else the tag.",
        _TEXT | {"pattern": "^[a-z0-9][a-z0-9._:/-]*[a-z0-9]$"},
        (f"{CONTAINER}/image",),
        'include "tunewright.image" . | quote',
    ),
    Value("image.tag", "", _TEXT | {"pattern": r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"}),
    Value("image.digest", "", _TEXT | {"pattern": "^(sha256:[0-9a-f]{64})?$"}, default=""),
    Value(
        "image.pullPolicy",
        "",
        {"enum": ["", "Always", "IfNotPresent", "Never"]},
        (f"{CONTAINER}/imagePullPolicy",),
        default="",
    ),
    Value(
        "environment",
        "Variables of the server: where the registry's bucket is, and any other setting of it.",
        {
            "type": "object",
            "required": ["REGISTRY_URI"],
            "properties": {"REGISTRY_URI": _TEXT | {"pattern": "^s3://[^/]+(/.*)?$"}},
            "patternProperties": {"^[A-Z_][A-Z0-9_]*$": _TEXT},
            "additionalProperties": False,
        },
        ("configmap-environment/data",),
    ),
    Value(
        "resources",
        "What a server asks for and may use. The number of its threads follows limits.cpu.",
        {
            "type": "object",
            "required": ["requests", "limits"],
            "properties": {"requests": _QUANTITIES, "limits": _QUANTITIES},
            "additionalProperties": False,
        },
        (f"{CONTAINER}/resources",),
    ),
    Value(
        "bucket",
        "The rule of the network policy that lets the server reach the bucket.",
        _RULE,
        ("networkpolicy-serving/spec/egress/1",),
    ),
    Value(
        "serviceAccountAnnotations",
        "Ties the service account to a workload identity of a cloud.",
        {"type": "object", "additionalProperties": _TEXT},
        ("serviceaccount-tunewright-serving/metadata/annotations",),
        default={},
    ),
    Value(
        "autoscale.minReplicas",
        "Bounds of the components autoscale and autoscale-requests.",
        {"type": "integer", "minimum": 2},
        ("horizontalpodautoscaler-serving/spec/minReplicas", "scaledobject-serving/spec/minReplicaCount"),
    ),
    Value(
        "autoscale.maxReplicas",
        "",
        {"type": "integer", "minimum": 2},
        ("horizontalpodautoscaler-serving/spec/maxReplicas", "scaledobject-serving/spec/maxReplicaCount"),
    ),
    Value(
        "autoscale.prometheus",
        "What autoscale-requests asks, of which Prometheus, and how many requests one server may have.",
        _TEXT | {"pattern": "^https?://"},
        (f"{_TRIGGER}/serverAddress",),
        ".Values.autoscale.prometheus | quote",
    ),
    Value(
        "autoscale.query",
        "",
        _TEXT | {"minLength": 1},
        (f"{_TRIGGER}/query",),
        'include "tunewright.query" . | quote',
    ),
    Value(
        "autoscale.threshold",
        "",
        _TEXT | {"pattern": r"^[0-9]+(\.[0-9]+)?$"},
        (f"{_TRIGGER}/threshold",),
        ".Values.autoscale.threshold | quote",
    ),
)
_COMPONENTS = "Each of k8s/components that fits the server; its kustomization.yaml says what it does and needs."


def values_file(defaults: Mapping[str, Tree], components: Sequence[str]) -> str:
    """values.yaml."""
    lines, group = [], ""
    for value in VALUES:
        head, _, inner = value.name.rpartition(".")
        indent = "  " if head and head == group else ""
        lines += [f"{indent}# {value.about}"] if value.about else []
        lines += [f"{head}:"] if head != group and head else []
        lines += written({inner: defaults[value.name]}, 2 if head else 0)
        group = head
    lines += [f"# {_COMPONENTS}", *written({"components": dict.fromkeys(components, False)})]
    return "\n".join(lines) + "\n"


def schema(components: Sequence[str]) -> dict[str, object]:
    """A wrong name, a value that could not be and one that was taken away are refused by helm before it renders."""
    tree: dict[str, dict[str, object]] = {}
    for value in VALUES:
        head, _, inner = value.name.rpartition(".")
        tree.setdefault(head, {})[inner] = dict(value.schema)
    tree["components"] = {name: {"type": "boolean"} for name in components}
    top = tree.pop("")
    return {"$schema": "http://json-schema.org/draft-07/schema#"} | _object(
        top | {name: _object(one) for name, one in tree.items()} | {"global": {"type": "object"}}
    )


def _object(properties: dict[str, dict[str, object]]) -> dict[str, object]:
    """All of them, as each has a default, and no other; what a chart around this one tells all its charts may be."""
    required = [name for name in properties if name != "global"]
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}

"""Objects of the neighbours against their own definitions: CRDs as strict JSON schemas, which pass nothing unknown.

TUNEWRIGHT_CRDS names the folder of the definitions. Their CEL rules, and what webhooks refuse, are not judged here.
"""

import os
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml

CRDS = "TUNEWRIGHT_CRDS"
_KEPT = ("type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "required")


def refused(manifest):
    """What is wrong with an object, one sentence a fault; skips the test where there are no definitions."""
    group, _, version = manifest["apiVersion"].partition("/")
    schema = _schema(group, manifest["kind"], version)
    faults = jsonschema.Draft202012Validator(schema).iter_errors(manifest)
    return [f"{'.'.join(map(str, one.absolute_path)) or 'the object'}: {one.message}" for one in faults]


@cache
def _schema(group, kind, version):
    if CRDS not in os.environ:
        pytest.skip(f"{CRDS} names no folder with definitions")
    for path in Path(os.environ[CRDS]).glob(f"{group}_*.yaml"):
        with path.open(encoding="utf-8") as file:
            spec = yaml.load(file, yaml.CSafeLoader)["spec"]  # ten times as fast as the loader in Python
        if spec["names"]["kind"] == kind:
            [found] = [one for one in spec["versions"] if one["name"] == version]
            return _strict(found["schema"]["openAPIV3Schema"], top=True)
    raise LookupError(f"no definition of {group}/{version} {kind} in {os.environ[CRDS]}")


def _strict(schema, *, top=False):
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {key: schema[key] for key in _KEPT if key in schema}
    if schema.get("nullable"):
        made["type"] = [made["type"], "null"]
    if "items" in schema:
        made["items"] = _strict(schema["items"])
    if isinstance(more := schema.get("additionalProperties"), dict):
        made["additionalProperties"] = _strict(more)
    if "properties" in schema:
        made["properties"] = {name: _strict(one) for name, one in schema["properties"].items()}
        if top:
            made["properties"] |= {name: {} for name in ("apiVersion", "kind", "metadata")}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    return made

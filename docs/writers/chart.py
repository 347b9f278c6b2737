"""Writes the Helm chart of the server, k8s/helm, from what kustomize renders of k8s/serving: `make chart`.

Each component that fits the server is a switch. What a value stands for is said once, in chart_values.py; what it is
unless somebody says otherwise is taken from the manifests. A test holds each chart that helm renders against kustomize.
"""

import json
import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import yaml

from writers.chart_values import CONTAINER, VALUES, schema, values_file
from writers.templates import Block, Code, Tree, When, merged, text

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
CHART = K8S / "helm"
_NOTE = "# Written by docs/writers/chart.py: run `make chart`.\n"
_LABEL = "app.kubernetes.io/instance"
_INSTANCE = "instance-of-the-chart"
"""Stands in what is rendered for the value of that name."""
_NOT_SWITCHES = ("namespace", "registry")
"""Components that the chart does without: helm makes namespaces itself, and the registry is in each server."""
_APART = ("autoscale", "autoscale-requests")
"""Components of which a server has one at most: each would have the number of servers."""

_CHART = """\
apiVersion: v2
name: tunewright
description: A server of the models that Tunewright's jobs register in a bucket.
type: application
version: {version}
appVersion: "{version}"
kubeVersion: ">=1.29.0-0"
"""
_HELPERS = """\
{{/* What ends the name of each object. */}}
{{- define "tunewright.suffix" -}}
{{- if .Values.instance }}-{{ .Values.instance }}{{ end }}
{{- end }}

{{/* The image, by its digest where one is given. */}}
{{- define "tunewright.image" -}}
{{- if eq .Values.image.tag "latest" }}
{{- fail "image.tag is latest, which is another image after each push: servers would differ, and a rollback would \
bring nothing back; name a version, or set image.digest" }}
{{- end }}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}{{ end }}
{{- end }}

{{/* Refuses what the autoscalers could not follow. */}}
{{- define "tunewright.scaling" -}}
{{- if and .Values.components.autoscale (index .Values.components "autoscale-requests") }}
{{- fail "components.autoscale and components.autoscale-requests would each set the number of servers: choose one" }}
{{- end }}
{{- with .Values.autoscale }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- fail (printf "autoscale.minReplicas is %d, more than autoscale.maxReplicas, %d" (int .minReplicas) \
(int .maxReplicas)) }}
{{- end }}
{{- end }}
{{- end }}

{{/* What KEDA asks Prometheus: as it stands, of all servers of the namespace that the manifests name. */}}
{{- define "tunewright.query" -}}
{{- $named := printf "namespace=%q" "tunewright" }}
{{- if and (contains $named .Values.autoscale.query) (ne .Release.Namespace "tunewright") }}
{{- fail (printf "autoscale.query asks for servers of the namespace tunewright, and this release is in %s: name it \
in the query" .Release.Namespace) }}
{{- end }}
{{- if and .Values.instance (not (contains .Values.instance .Values.autoscale.query)) }}
{{- fail (printf "autoscale.query counts the requests of other servers of the namespace too, and this one is %s: name \
its pods in the query, pod=~%q" .Values.instance (printf "serving-%s-.*" .Values.instance)) }}
{{- end }}
{{- .Values.autoscale.query }}
{{- end }}

{{/* The variables' name ends in a digest of them, as kustomize makes it, so that a change reaches the pods. */}}
{{- define "tunewright.environment" -}}
{{- include "tunewright.scaling" . }}
{{- range list OWN }}
{{- if hasKey $.Values.environment . }}
{{- fail (printf "environment.%s has no effect: the chart sets it itself, SERVING_MODEL by model and alias" .) }}
{{- end }}
{{- end }}
{{- if hasKey .Values.environment "SERVING_PORT" }}
{{- fail "environment.SERVING_PORT would take the server from the port at which its Service and its probes look: \
leave it out" }}
{{- end }}
{{- $name := print "environment" (include "tunewright.suffix" .) }}
{{- $digest := dict "kind" "ConfigMap" "name" "" "data" .Values.environment | toJson | sha256sum | trunc 10 }}
{{- $digest = $digest | replace "0" "g" | replace "1" "h" | replace "3" "k" | replace "a" "m" | replace "e" "t" }}
{{- $name }}-{{ $digest }}
{{- end }}
"""


def files() -> dict[str, str]:
    """Name to text of every file of the chart. Needs kubectl."""
    plain = _objects([])
    variants = {name: _objects([name]) for name in components()}
    templates = {}
    for key in dict.fromkeys(key for objects in (plain, *variants.values()) for key in objects):
        having = {name: objects[key] for name, objects in variants.items() if key in objects}
        templates[f"templates/{key}.yaml"] = _template(key, plain.get(key), having)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return {
        "Chart.yaml": _NOTE + _CHART.format(version=version),
        "values.yaml": _NOTE + values_file(_defaults([plain, *variants.values()]), components()),
        "values.schema.json": json.dumps(schema(components()), indent=2) + "\n",
        "templates/_helpers.tpl": _HELPERS.replace("OWN", " ".join(map(json.dumps, _own_variables(plain)))),
        **templates,
    }


def write() -> None:
    """The chart anew."""
    made = files()
    shutil.rmtree(CHART, ignore_errors=True)
    for name, content in made.items():
        (CHART / name).parent.mkdir(parents=True, exist_ok=True)
        (CHART / name).write_text(content)


@cache
def components() -> tuple[str, ...]:
    """The components that fit the server."""
    names = sorted(path.parent.name for path in K8S.glob("components/*/kustomization.yaml"))
    return tuple(name for name in names if name not in _NOT_SWITCHES and not _is_of_the_job(name))


def together() -> tuple[str, ...]:
    """As many of them as a server can have at once."""
    return tuple(name for name in components() if name not in _APART[1:])


def _is_of_the_job(name: str) -> bool:
    """Whether what a component changes is of a Job alone: beside the server kustomize does not find it."""
    folder = K8S / "components" / name
    targets = []
    for patch in yaml.safe_load((folder / "kustomization.yaml").read_text()).get("patches", []):
        if "target" in patch:
            targets.append("Deployment" if "serving" in patch["target"].get("name", "") else patch["target"]["kind"])
        else:
            text = patch["patch"] if "patch" in patch else (folder / patch["path"]).read_text()
            targets += [document["kind"] for document in yaml.safe_load_all(text)]
    return bool(targets) and not any("Deployment" in target for target in targets)


def rendered(overlay: Mapping[str, object], components: Sequence[str] = ()) -> list[dict[str, Tree]]:
    """What kustomize makes of k8s/serving with an overlay and these components."""
    with tempfile.TemporaryDirectory() as folder:
        content = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **overlay}
        content["resources"] = [os.path.relpath(K8S / "serving", folder)]
        content["components"] = [os.path.relpath(K8S / "components" / name, folder) for name in components]
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(content))
        command = [kubectl() or "kubectl", "kustomize", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def kubectl() -> str | None:
    """The newest of those that TUNEWRIGHT_KUBECTLS names, else that of the path."""
    return os.environ.get("TUNEWRIGHT_KUBECTLS", "").rpartition(":")[2] or shutil.which("kubectl")


def _own_variables(objects: Mapping[str, dict[str, Tree]]) -> list[str]:
    """Those that the container names one by one: they win over the ConfigMap."""
    key, *way = CONTAINER.split("/")
    named = _at(objects[key], [*way, "env"])
    assert isinstance(named, list)
    return [str(one["name"]) for one in named if isinstance(one, dict)]


def _objects(components: Sequence[str]) -> dict[str, dict[str, Tree]]:
    """The objects with these components, by kind and name."""
    label = {"pairs": {_LABEL: _INSTANCE}, "includeSelectors": True}
    objects = rendered({"nameSuffix": f"-{_INSTANCE}", "labels": [label]}, components)
    return {f"{str(one['kind']).lower()}-{_name(one).partition(f'-{_INSTANCE}')[0]}": one for one in objects}


def _name(tree: dict[str, Tree]) -> str:
    metadata = tree["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["name"])


def _template(key: str, base: dict[str, Tree] | None, variants: Mapping[str, dict[str, Tree]]) -> str:
    """An object that is there always, with what components change of it, or one that a component adds."""
    trees = {f'(index .Values.components "{name}")': _with_values(key, one) for name, one in variants.items()}
    if base is not None:
        tree = merged(_with_values(key, base), trees)
        assert isinstance(tree, dict)
        return _NOTE + text(tree)
    [(condition, added)] = trees.items()
    return f"{_NOTE}{{{{- if {condition} }}}}\n{text(added)}{{{{- end }}}}\n"


def _with_values(key: str, tree: dict[str, Tree]) -> dict[str, Tree]:
    """An object with the expressions of the values in the places of their defaults."""
    found = _with_names(tree)
    assert isinstance(found, dict)
    for value in VALUES:
        place = next((one for one in value.places if one.startswith(f"{key}/")), None)
        if place is None:
            continue
        *way, last = place.split("/")[1:]
        holder = _at(found, way)
        code = value.code or f".Values.{value.name}"
        if value.default is not None:
            holder[last] = When(code, Block(code) if isinstance(value.default, dict) else Code(code))
        else:
            word = _place(holder, last)
            if isinstance(holder, dict) and word not in holder:
                continue  # a component has taken it out
            holder[word] = Block(code) if isinstance(holder[word], dict | list) else Code(code)
    return found


def _with_names(tree: Tree) -> Tree:
    """A copy with the instance, and the name of the variables, as expressions."""
    if isinstance(tree, dict):
        label = {_LABEL: When(".Values.instance", Code(".Values.instance | quote"))} if _LABEL in tree else {}
        return {key: _with_names(value) for key, value in tree.items()} | label
    if isinstance(tree, list):
        return [_with_names(value) for value in tree]
    if not isinstance(tree, str) or f"-{_INSTANCE}" not in tree:
        return tree
    name, _, rest = tree.partition(f"-{_INSTANCE}")
    if rest:
        return Code(f'include "tunewright.{name}" .')
    return Code(f'print "{name}" (include "tunewright.suffix" .)')


def _at(tree: Tree, way: Sequence[str]) -> Tree:
    """The mapping or list at the end of a way."""
    for word in way:
        tree = tree[_place(tree, word)]
    return tree


def _place(tree: Tree, word: str) -> str | int:
    """The key of a mapping, or the number of an item of that name. KeyError."""
    if isinstance(tree, dict):
        return word
    named = [place for place, one in enumerate(tree) if isinstance(one, dict) and one.get("name") == word]
    return named[0] if named else int(word)


def _defaults(objects: Sequence[Mapping[str, dict[str, Tree]]]) -> dict[str, Tree]:
    """Each value as the manifests have it."""
    found: dict[str, Tree] = {}
    for value in VALUES:
        key, *way = value.places[0].split("/") if value.places else [""]
        if value.default is not None:
            found[value.name] = value.default
        elif key:
            found[value.name] = _at(next(one[key] for one in objects if key in one), way)
    found["model"], _, found["alias"] = str(found["model"]).partition("@")
    found["image.repository"], _, found["image.tag"] = str(found["image.repository"]).rpartition(":")
    return found


if __name__ == "__main__":
    write()

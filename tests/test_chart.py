"""The Helm chart of the server: what helm renders is, object by object, what kustomize renders."""

import json
import os
import shutil
import subprocess

import pytest
import yaml

from writers import chart
from writers.templates import Code, merged, text

HELM = os.environ.get("TUNEWRIGHT_HELM") or shutil.which("helm")
"""The program; .ci/run brings it."""
with_kubectl = pytest.mark.skipif(not chart.kubectl(), reason="there is no kubectl, by which the chart is made")
with_helm = pytest.mark.skipif(not HELM, reason="TUNEWRIGHT_HELM names no program, which .ci/run brings")
TOGETHER = chart.together()
DIGEST = f"sha256:{'0123456789abcdef' * 4}"


def helm(*words, values=None):
    given = [] if values is None else ["--values", "-"]
    return subprocess.run(
        [HELM, *words, str(chart.CHART), *given], input=json.dumps(values), capture_output=True, text=True, check=False
    )


def objects(manifests):
    found = {(one["kind"], one["metadata"]["name"]): one for one in manifests}
    assert len(found) == len(manifests)
    return found


def of_helm(values):
    done = helm("template", "release", "--namespace", "tunewright", values=values)
    assert (done.returncode, done.stderr) == (0, "")
    return objects([one for one in yaml.safe_load_all(done.stdout) if one])


@with_kubectl
def test_the_chart_is_what_make_chart_writes():
    there = {path.relative_to(chart.CHART).as_posix(): path.read_text() for path in chart.CHART.rglob("*.*")}
    assert there == chart.files()


def test_the_components_of_the_chart_are_those_of_the_server():
    assert {"autoscale", "openshift", "pod-identity", "private-ca", "s3-variables"} <= set(chart.components())
    assert {"metrics", "autoscale-requests"} <= set(chart.components())
    assert not {"gpu", "kueue", "nodes", "cache", "shared-memory", "hub-token"} & set(chart.components())
    assert yaml.safe_load((chart.CHART / "values.yaml").read_text())["components"].keys() == set(chart.components())


@with_kubectl
@with_helm
@pytest.mark.parametrize("names", [(), *((name,) for name in chart.components()), TOGETHER], ids="+".join)
def test_helm_renders_what_kustomize_renders(names):
    values = {"components": dict.fromkeys(names, True)}
    assert of_helm(values) == objects(chart.rendered({}, names))


@with_kubectl
@with_helm
def test_several_servers_of_a_namespace_are_told_apart_as_kustomize_does_it():
    label = {"pairs": {"app.kubernetes.io/instance": "topics-2"}, "includeSelectors": True}
    values = {"components": dict.fromkeys(TOGETHER, True)}
    found = of_helm({"instance": "topics-2", **values})
    assert found == objects(chart.rendered({"nameSuffix": "-topics-2", "labels": [label]}, TOGETHER))
    assert not found.keys() & of_helm(values).keys()
    scaled = [one["spec"]["scaleTargetRef"] for one in found.values() if "scaleTargetRef" in one.get("spec", {})]
    assert {one["name"] for one in scaled} == {"serving-topics-2"}
    assert found["Service", "serving-topics-2"]["spec"]["selector"]["app.kubernetes.io/instance"] == "topics-2"


RESOURCES = {
    "requests": {"cpu": "250m", "memory": "1Gi", "ephemeral-storage": "2Gi"},
    "limits": {"cpu": "3", "memory": "2097152Ki", "ephemeral-storage": "9Gi", "nvidia.com/gpu": "1"},
}
BUCKET = {"to": [{"ipBlock": {"cidr": "10.1.2.0/24"}}], "ports": [{"port": 9000, "protocol": "TCP"}]}
ENDPOINT = "http://s3.storage.svc:9000?a=<b>&c"
VALUES = {
    "model": "topics",
    "alias": "staging",
    "replicas": 5,
    "image": {"repository": "registry.example.com/serving", "digest": DIGEST, "pullPolicy": "IfNotPresent"},
    "environment": {"REGISTRY_URI": "s3://models/here", "AWS_ENDPOINT_URL_S3": ENDPOINT, "SERVING_DRAIN_SECONDS": "20"},
    "resources": RESOURCES,
    "bucket": BUCKET,
    "serviceAccountAnnotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/reader"},
}
_SPEC = "/spec/template/spec/containers/0"
OVERLAY = {
    "images": [{"name": "localhost/tunewright-serving", "newName": "registry.example.com/serving", "digest": DIGEST}],
    "replicas": [{"name": "serving", "count": 5}],
    "configMapGenerator": [
        {
            "name": "environment",
            "behavior": "merge",
            "literals": [f"{name}={value}" for name, value in VALUES["environment"].items()],
        }
    ],
    "patches": [
        {
            "target": {"kind": "Deployment"},
            "patch": json.dumps(
                [
                    {"op": "replace", "path": f"{_SPEC}/env/0/value", "value": "topics@staging"},
                    {"op": "replace", "path": f"{_SPEC}/resources", "value": RESOURCES},
                    {"op": "add", "path": f"{_SPEC}/imagePullPolicy", "value": "IfNotPresent"},
                ]
            ),
        },
        {
            "target": {"kind": "NetworkPolicy"},
            "patch": json.dumps([{"op": "replace", "path": "/spec/egress/1", "value": BUCKET}]),
        },
        {
            "target": {"kind": "ServiceAccount"},
            "patch": json.dumps(
                [{"op": "add", "path": "/metadata/annotations", "value": VALUES["serviceAccountAnnotations"]}]
            ),
        },
    ],
}


@with_kubectl
@with_helm
def test_values_say_what_an_overlay_says():
    assert of_helm(VALUES) == objects(chart.rendered(OVERLAY))


@with_kubectl
@with_helm
def test_an_autoscaler_is_told_its_bounds():
    patch = [
        {"op": "replace", "path": f"/spec/{name}Replicas", "value": count} for name, count in (("min", 3), ("max", 7))
    ]
    overlay = {"patches": [{"target": {"kind": "HorizontalPodAutoscaler"}, "patch": json.dumps(patch)}]}
    values = {"components": {"autoscale": True}, "autoscale": {"minReplicas": 3, "maxReplicas": 7}}
    assert of_helm(values) == objects(chart.rendered(overlay, ["autoscale"]))


@with_kubectl
@with_helm
def test_an_autoscaler_by_requests_is_told_what_to_ask_of_whom():
    asked = {"prometheus": "https://prometheus.example.com", "query": 'sum(in_flight{job="a"})', "threshold": "4.5"}
    metadata = {"serverAddress": asked["prometheus"], "query": asked["query"], "threshold": asked["threshold"]}
    patch = [
        {"op": "replace", "path": "/spec/maxReplicaCount", "value": 7},
        {"op": "replace", "path": "/spec/triggers/0/metadata", "value": metadata},
    ]
    overlay = {"patches": [{"target": {"kind": "ScaledObject"}, "patch": json.dumps(patch)}]}
    values = {"components": {"autoscale-requests": True}, "autoscale": {"maxReplicas": 7, **asked}}
    assert of_helm(values) == objects(chart.rendered(overlay, ["autoscale-requests"]))


@with_helm
def test_an_autoscaler_by_requests_that_asks_for_another_namespace_is_refused():
    values = {"components": {"autoscale-requests": True}}
    done = helm("template", "release", "--namespace", "shop", values=values)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        "autoscale.query asks for servers of the namespace tunewright, and this release is in shop: name it in the "
        "query\n"
    ) in done.stderr


@with_helm
def test_an_autoscaler_of_one_of_several_servers_counts_its_own_requests():
    values = {"instance": "b", "components": {"autoscale-requests": True}}
    done = helm("template", "release", "--namespace", "tunewright", values=values)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        "autoscale.query counts the requests of other servers of the namespace too, and this one is b: name its pods "
        'in the query, pod=~"serving-b-.*"\n'
    ) in done.stderr
    query = 'sum(avg_over_time(tunewright_requests_in_flight{namespace="tunewright",pod=~"serving-b-.*"}[1m]))'
    scaler = of_helm(values | {"autoscale": {"query": query}})["ScaledObject", "serving-b"]
    assert scaler["spec"]["triggers"][0]["metadata"]["query"] == query


@with_helm
@pytest.mark.parametrize("values", [{}, VALUES, {"instance": "b", "components": dict.fromkeys(TOGETHER, True)}])
def test_helm_finds_no_fault_with_the_chart(values):
    done = helm("lint", "--strict", "--namespace", "tunewright", values=values)
    assert done.returncode == 0, done.stdout
    assert "1 chart(s) linted, 0 chart(s) failed" in done.stdout
    assert "WARNING" not in done.stdout


@with_helm
@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"replica": 3}, "additional properties 'replica' not allowed"),
        ({"replicas": "3"}, "at '/replicas': got string, want integer"),
        ({"components": {"autoscaling": True}}, "at '/components': additional properties 'autoscaling' not allowed"),
        ({"components": {"autoscale": "yes"}}, "at '/components/autoscale': got string, want boolean"),
        (
            {"components": {"autoscale": True, "autoscale-requests": True}},
            "components.autoscale and components.autoscale-requests would each set the number of servers: choose one\n",
        ),
        ({"model": "Reviews!"}, "at '/model': 'Reviews!' does not match pattern"),
        (
            {"image": {"tag": "latest"}},
            "image.tag is latest, which is another image after each push: servers would differ, and a rollback would "
            "bring nothing back; name a version, or set image.digest\n",
        ),
        (
            {"image": {"digest": "0.2.0"}},
            "at '/image/digest': '0.2.0' does not match pattern '^(sha256:[0-9a-f]{64})?$'",
        ),
        (
            {"environment": {"REGISTRY_URI": "/models"}},
            "at '/environment/REGISTRY_URI': '/models' does not match pattern",
        ),
        ({"environment": {"SERVING_THREADS": 2}}, "at '/environment/SERVING_THREADS': got number, want string"),
        ({"resources": {"limits": {"memory": None}}}, "at '/resources/limits': missing property 'memory'"),
        ({"resources": {"requests": {"cpu": "two"}}}, "at '/resources/requests/cpu': 'two' does not match pattern"),
        (
            {"resources": {"limits": {"memory": "512ki"}}},
            "at '/resources/limits/memory': '512ki' does not match pattern",
        ),
        ({"bucket": {"form": []}}, "at '/bucket': additional properties 'form' not allowed"),
        ({"model": None}, "at '': missing property 'model'"),
        (
            {"environment": {"SERVING_MODEL": "topics@staging"}},
            "environment.SERVING_MODEL has no effect: the chart sets it itself, SERVING_MODEL by model and alias\n",
        ),
        (
            {"environment": {"SERVING_PORT": "9000"}},
            "environment.SERVING_PORT would take the server from the port at which its Service and its probes look: "
            "leave it out\n",
        ),
        ({"autoscale": {"minReplicas": 1}}, "at '/autoscale/minReplicas': minimum: got 1, want 2"),
        (
            {"autoscale": {"minReplicas": 5, "maxReplicas": 4}},
            "autoscale.minReplicas is 5, more than autoscale.maxReplicas, 4\n",
        ),
        ({"autoscale": {"threshold": "many"}}, "at '/autoscale/threshold': 'many' does not match pattern"),
    ],
)
def test_a_wrong_value_is_refused_by_a_sentence(values, sentence):
    done = helm("template", "release", "--namespace", "tunewright", values=values)
    assert done.returncode == 1
    assert sentence in done.stderr


def test_text_that_looks_like_a_template_is_text():
    written = text({"summary": "{{ $value }} of it", "lines": "first {{ a }}\n\n  second\n"})
    assert written == ('summary: "{{ "{{" }} $value }} of it"\nlines: |\n  first {{ "{{" }} a }}\n\n    second\n')


def test_what_differs_is_there_under_its_condition():
    base = {"name": "a", "list": [{"name": "x", "is": 1}, {"name": "z"}], "gone": 1}
    one = {"name": "a", "list": [{"name": "w"}, {"name": "x", "is": 2}, {"name": "z"}], "more": Code(".Values.c")}
    assert text(merged(base, {".one": one})).splitlines() == [
        "name: a",
        "list:",
        "{{- if .one }}",
        "  - name: w",
        "{{- end }}",
        "  - name: x",
        "{{- if .one }}",
        "    is: 2",
        "{{- else }}",
        "    is: 1",
        "{{- end }}",
        "  - name: z",
        "{{- if not .one }}",
        "gone: 1",
        "{{- end }}",
        "{{- if .one }}",
        "more: {{ .Values.c }}",
        "{{- end }}",
    ]


def test_components_that_contradict_each_other_make_no_chart():
    with pytest.raises(ValueError, match=r"\.one and \.two change the same place in ways of their own: 1"):
        merged({"a": 1}, {".one": {"a": 2}, ".two": {"a": 3}})
    with pytest.raises(ValueError, match=r"\.one and \.two add b in ways of their own"):
        merged({"a": 1}, {".one": {"a": 1, "b": 2}, ".two": {"a": 1, "b": 3}})
    with pytest.raises(ValueError, match="nothing of a is there in every case"):
        text(merged({"a": 1}, {".one": {}}))

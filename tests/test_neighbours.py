"""Files for programs that stand beside Tunewright: Argo Workflows, Airflow, GitHub Actions."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import kubernetes_validate
import pytest
import yaml

from tunewright.job import errors
from tunewright.registry.command_line import main
from writers import chart

ROOT = Path(__file__).parents[1]
FILES = ROOT / "docs/guides/neighbours"
PROGRAMS = Path(sys.executable).parent
[JOB] = list(yaml.safe_load_all((ROOT / "k8s/job/job.yaml").read_text()))
POD = JOB["spec"]["template"]["spec"]
FINAL = {
    error.exit_code for error in (errors.SettingsError, errors.BaseModelError, errors.DataError, errors.GateFailed)
}
"""Exit codes after which the same again would end the same."""
with_kubectl = pytest.mark.skipif(not chart.kubectl(), reason="there is no kubectl, which renders the manifests")


@pytest.fixture(scope="module")
def argo():
    """The template of a workflow, and what lies beside it."""
    template, *rest = yaml.safe_load_all((FILES / "argo-workflows.yaml").read_text())
    return SimpleNamespace(template=template, spec=template["spec"], step=template["spec"]["templates"][0], rest=rest)


def variables(container):
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


@pytest.mark.slow
def test_argos_template_is_one_that_its_client_knows(argo):
    """Each name of it, held against the models that hera has of Argo's API; one that it does not know is dropped."""
    models = pytest.importorskip("hera.workflows.models", reason="hera is not installed: `make install`")
    read = models.WorkflowTemplate.model_validate(argo.template)
    assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == argo.template


def test_the_step_of_argo_is_the_pod_of_the_job(argo):
    [job], step = POD["containers"], argo.step["container"]
    kept = ("image", "args", "resources", "securityContext", "volumeMounts")
    assert {name: step[name] for name in kept} == {name: job[name] for name in kept}
    # Argo cannot start a container whose command it would have to ask a registry for.
    [entrypoint, _] = re.findall(r"^ENTRYPOINT (.*)", (ROOT / "Dockerfile").read_text(), re.M)
    assert step["command"] == json.loads(entrypoint)
    assert argo.spec["securityContext"] == POD["securityContext"]
    assert argo.spec["podMetadata"]["labels"] == JOB["spec"]["template"]["metadata"]["labels"]
    assert int(argo.step["activeDeadlineSeconds"]) == JOB["spec"]["activeDeadlineSeconds"]
    assert argo.spec["ttlStrategy"]["secondsAfterCompletion"] == JOB["spec"]["ttlSecondsAfterFinished"]
    patch = json.loads(argo.spec["podSpecPatch"])
    for name, value in {**argo.spec, **patch}.items():
        assert name not in POD or name in ("securityContext", "volumes") or value == POD[name], name
    assert {"terminationGracePeriodSeconds", "enableServiceLinks"} <= set(patch)
    [settings, *volumes] = argo.spec["volumes"]
    assert volumes == POD["volumes"][1:]
    assert settings == {"name": "settings", "configMap": {"name": "{{workflow.parameters.settings}}"}}


def test_argo_tells_the_step_what_the_job_is_told(argo):
    [job], told = POD["containers"], variables(argo.step["container"])
    given = (ROOT / "k8s/components/registry/environment.env").read_text()
    registry = dict(re.findall(r"^(\w+)=(.*)$", given, re.M))
    parameters = {one["name"]: one["value"] for one in argo.spec["arguments"]["parameters"]}
    filled = {
        name: re.sub(r"{{workflow\.parameters\.(\w+)}}", lambda found: parameters[found[1]], value)
        for name, value in told.items()
        if isinstance(value, str)
    }
    assert {**told, **filled} == {**variables(job), **registry, "JOB_RUN_ID": "{{workflow.name}}"}


def test_argo_tries_again_what_kubernetes_tries_again(argo):
    """The expression is of the words that Argo's language and Python's share."""
    expression = argo.step["retryStrategy"]["expression"]

    def is_tried_again(code):
        known = {"asInt": int, "lastRetry": SimpleNamespace(exitCode=str(code)), "__builtins__": {}}
        return eval(expression, known)

    assert {code for code in range(-1, 256) if not is_tried_again(code)} == FINAL
    assert is_tried_again(errors.Interrupted.exit_code)
    assert argo.step["retryStrategy"]["retryPolicy"] == "Always"


def test_argos_own_containers_may_only_tell_the_result(argo):
    account, role, binding, _ = argo.rest
    assert argo.spec["executor"]["serviceAccountName"] == account["metadata"]["name"] == "tunewright-argo"
    assert [(one["resources"], one["verbs"]) for one in role["rules"]] == [
        (["workflowtaskresults"], ["create", "patch"])
    ]
    assert (binding["roleRef"]["name"], binding["subjects"][0]["name"]) == tuple(
        one["metadata"]["name"] for one in (role, account)
    )


def test_argos_own_containers_reach_the_api_server(argo):
    *_, policy = argo.rest
    labels = {**argo.spec["podMetadata"]["labels"], "workflows.argoproj.io/workflow": "reviews-1"}
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert [one["key"] for one in policy["spec"]["podSelector"]["matchExpressions"]] == [*labels][-1:]
    assert {one["port"] for one in policy["spec"]["egress"][0]["ports"]} == {443, 6443}


def test_what_lies_beside_argos_template_matches_the_schema(argo):
    for one in argo.rest:
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)


WORKFLOW = FILES / "github-actions.yaml"


@pytest.mark.parametrize(
    "words",
    [
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"],
        ["zizmor", "--offline", "--no-config", "--no-progress"],
    ],
    ids=["schema", "security"],
)
def test_linters_find_no_fault_with_the_workflow(words):
    program = PROGRAMS / words[0]
    if not program.exists():
        pytest.skip(f"{words[0]} is not installed: `make install`")
    done = subprocess.run([program, *words[1:], str(WORKFLOW)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def said():
    """said("Train", NAME="value"): the words after `tunewright` of a step of the workflow, with these variables."""
    workflow = yaml.safe_load(WORKFLOW.read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]

    def read(name, **values):
        [script] = [step["run"] for step in steps if step.get("name") == name]
        [line] = [one for one in script.replace("\\\n", " ").splitlines() if one.startswith("tunewright ")]
        return [re.sub(r"\$(\w+)", lambda found: values[found[1]], word) for word in shlex.split(line)[1:]]

    return read


@with_kubectl
def test_the_workflow_submits_what_its_settings_say(said, tmp_path, monkeypatch, capsys):
    (tmp_path / "job.yaml").write_text("model_name: topics\ndata: {train: s3://b/train.csv}\nalias: staging\n")
    (tmp_path / "overlay").mkdir()
    content = {"resources": [os.path.relpath(ROOT / "k8s/job", tmp_path / "overlay")]}
    (tmp_path / "overlay/kustomization.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setenv("PATH", f"{Path(chart.kubectl()).parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    image = f"registry.example.com/tunewright-job@sha256:{'0' * 64}"
    words = said("Train", IMAGE=image, REGISTRY_URI="s3://models/here")
    assert {"--again", "--follow"} <= set(words)
    assert main([*words, "--dry-run"]) == 0
    *_, settings, job = json.loads(capsys.readouterr().out)["items"]
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == image
    assert variables(container)["REGISTRY_URI"] == "s3://models/here"
    assert "alias: staging" in settings["data"]["job.yaml"]


@pytest.mark.parametrize(("gates", "code"), [("max: {rmse: 3}", 4), (None, 0)])
def test_the_workflow_ends_with_what_the_gates_say(said, tmp_path, monkeypatch, capsys, gates, code):
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    (tmp_path / "forest").mkdir()
    (tmp_path / "forest/model.txt").write_text("trees")
    assert main(["publish", str(tmp_path / "forest"), "--name", "reviews", "--task", "forest"]) == 0
    if gates:
        (tmp_path / "gates.yaml").write_text(gates)
        assert main(["gates", "reviews@production", "--set", str(tmp_path / "gates.yaml"), "--why", "agreed"]) == 0
    assert main(["promote", "reviews:1", "staging"]) == 0
    assert main(said("Promote", GITHUB_SHA="abc")) == code
    capsys.readouterr()
    main(["history", "reviews@production"])
    assert ("commit abc" in capsys.readouterr().out) == (code == 0)


DAG = FILES / "train_dag.py"


def test_the_dag_ends_at_the_codes_that_are_final():
    found = {
        target.id: ast.literal_eval(one.value)
        for one in ast.parse(DAG.read_text()).body
        if isinstance(one, ast.Assign) and isinstance(target := one.targets[0], ast.Name) and target.id == "FINAL"
    }
    assert set(found["FINAL"]) == FINAL


AIRFLOW = os.environ.get("TUNEWRIGHT_AIRFLOW")
"""A Python with Airflow and its provider for Kubernetes."""
_ASKED = """
import gc, json, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

class Api(BaseHTTPRequestHandler):
    def do_PATCH(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(there).encode())
    do_DELETE = do_PATCH
    def do_GET(self):
        self.headers["Content-Length"] = "0"
        self.do_PATCH()
    def log_message(self, *words): pass

server = HTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
here = {"name": "here"}
cluster = {**here, "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
Path("config").write_text(json.dumps({
    "apiVersion": "v1", "kind": "Config", "current-context": "here", "clusters": [cluster],
    "users": [{**here, "user": {}}], "contexts": [{**here, "context": {"cluster": "here", "user": "here"}}],
}))
sys.path.insert(0, ".")
import train_dag
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kubernetes.client import ApiClient, models as k8s

[dag] = [one for one in gc.get_objects() if isinstance(one, DAG)]
task = dag.get_task("train")
task.render_template_fields({"run_id": "scheduled__2026-01-01T00:00:00+00:00"})
pod = task.build_pod_request_obj()
codes, there = {}, {}
for code in (0, 1, 2, 3, 4, 75, 137):
    ended = k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(exit_code=code))
    status = k8s.V1ContainerStatus(name="job", image="", image_id="", ready=False, restart_count=0, state=ended)
    phase = "Failed" if code else "Succeeded"
    remote = k8s.V1Pod(
        metadata=pod.metadata, spec=pod.spec, status=k8s.V1PodStatus(phase=phase, container_statuses=[status])
    )
    there = ApiClient().sanitize_for_serialization(remote)
    try:
        task.cleanup(pod, remote)
        codes[code] = "done"
    except AirflowFailException:
        codes[code] = "failed"
    except AirflowException as error:
        codes[code] = "tried again" if type(error) is AirflowException else repr(error)
Path("told.json").write_text(json.dumps({
    "pod": ApiClient().sanitize_for_serialization(pod), "codes": codes, "retries": task.retries, "dag": dag.dag_id
}))
"""


@with_kubectl
@pytest.mark.skipif(not AIRFLOW, reason="TUNEWRIGHT_AIRFLOW names no Python with Airflow, which .ci/run brings")
def test_airflow_makes_the_pod_of_the_overlay_and_takes_its_exit_code_as_a_verdict(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", f"{Path(chart.kubectl()).parent}:{os.environ['PATH']}")
    assert main(["submit", "--overlay", str(ROOT / "k8s/overlays/gpu/job"), "--dry-run"]) == 0
    (tmp_path / "reviews.json").write_text(capsys.readouterr().out)
    (tmp_path / "train_dag.py").write_text(DAG.read_text())
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path / "home"), "KUBECONFIG": str(tmp_path / "config")}
    done = subprocess.run(
        [AIRFLOW, "-c", _ASKED], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads((tmp_path / "told.json").read_text())
    [job] = [one for one in json.loads((tmp_path / "reviews.json").read_text())["items"] if one["kind"] == "Job"]
    ours, theirs = job["spec"]["template"], told["pod"]
    for name, value in ours["spec"].items():
        if name != "containers":
            assert theirs["spec"][name] == value, name
    [container], [made] = ours["spec"]["containers"], theirs["spec"]["containers"]
    assert {name: made[name] for name in container} == container
    assert ours["metadata"]["labels"].items() <= theirs["metadata"]["labels"].items()
    assert theirs["metadata"]["labels"]["tunewright.org/run"] == "reviews-scheduled__2026-01-01T00-00-00-00-00"
    place = variables(made)["JOB_RUN_ID"]["fieldRef"]["fieldPath"]
    assert place == "metadata.labels['tunewright.org/run']"
    assert told["codes"] == {
        "0": "done", "1": "tried again", "2": "failed", "3": "failed", "4": "failed", "75": "tried again",
        "137": "tried again",
    }  # fmt: skip
    assert (told["retries"], told["dag"]) == (3, "tunewright_reviews")

"""The manifests as written and as kustomize renders them: schemas, pod security, exit codes, settings."""

import functools
import shutil
import subprocess
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from job import errors
from job.settings import JobSettings, load_settings
from registry.settings import RegistrySettings
from registry.variables import unknown_variables
from serving.app import _GET
from serving.settings import ServingSettings

ROOT = Path(__file__).parents[1]
BASE = ROOT / "k8s/base"
OLDEST = "1.29"
"""The first Kubernetes whose schema takes a rule for exit codes alone; k8s/base/kustomization.yaml says so too."""


def read(text):
    return [document for document in yaml.safe_load_all(text) if document]


def as_written():
    files = [path for path in sorted(BASE.glob("*.yaml")) if path.name != "kustomization.yaml"]
    return [document for path in files for document in read(path.read_text())]


@functools.cache
def rendered(folder):
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed: only the manifests as written are tested")
    command = ["kubectl", "kustomize", str(ROOT / "k8s" / folder)]
    return read(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(params=["as written", "base", "overlays/local", "overlays/gpu"])
def manifests(request):
    return as_written() if request.param == "as written" else rendered(request.param)


def of_kind(manifests, kind, name=None):
    return [one for one in manifests if one["kind"] == kind and name in (None, one["metadata"]["name"])]


def pods(manifests):
    return {one["kind"]: one["spec"]["template"] for one in manifests if "template" in one.get("spec", {})}


def container(pod):
    [only] = pod["spec"]["containers"]
    assert "initContainers" not in pod["spec"]
    return only


def environment(manifests, pod):
    """The variables of a pod's container that the manifests tell; a value from the cluster is given as text."""
    values = {one["name"]: str(one.get("value", "2")) for one in container(pod).get("env", [])}
    names = [source["configMapRef"]["name"] for source in container(pod)["envFrom"] if "configMapRef" in source]
    for config in of_kind(manifests, "ConfigMap"):
        values |= config["data"] if config["metadata"]["name"] in names else {}
    return values


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_every_manifest_matches_the_published_schema(manifests, version):
    assert {"Namespace", "Job", "Deployment", "Service", "PodDisruptionBudget"} <= {one["kind"] for one in manifests}
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_every_manifest_is_applied_but_the_example_of_a_secret():
    applied = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    assert {path.name for path in BASE.glob("*.yaml")} - set(applied) == {"kustomization.yaml", "secret.yaml"}


def test_every_pod_is_restricted(manifests):
    assert set(pods(manifests)) == {"Job", "Deployment"}
    for pod in pods(manifests).values():
        spec, security = pod["spec"], container(pod)["securityContext"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsGroup"]) == (10001, 10001)
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert security == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(spec)
        assert not [port for port in container(pod).get("ports", []) if "hostPort" in port]


def test_no_pod_holds_a_token_of_the_cluster_or_service_links(manifests):
    [account] = of_kind(manifests, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    for pod in pods(manifests).values():
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["enableServiceLinks"] is False
        assert pod["spec"]["serviceAccountName"] == account["metadata"]["name"]


def test_only_the_named_folders_are_writable_and_each_is_bounded(manifests):
    for pod in pods(manifests).values():
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        writable = {mount["mountPath"]: mount for mount in container(pod)["volumeMounts"] if not mount.get("readOnly")}
        assert set(writable) == {"/tmp", "/var/lib/tunewright"}
        assert all("sizeLimit" in volumes[mount["name"]]["emptyDir"] for mount in writable.values())
        assert {"cpu", "memory"} <= set(container(pod)["resources"]["limits"])


def test_the_namespace_refuses_pods_that_are_not_restricted(manifests):
    [namespace] = of_kind(manifests, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_exit_codes_of_the_job_mean_the_same_to_kubernetes(manifests):
    [job] = of_kind(manifests, "Job")
    rules = [rule for rule in job["spec"]["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    actions = {rule["action"]: set(rule["onExitCodes"]["values"]) for rule in rules}
    final = (errors.SettingsError, errors.BaseModelError, errors.DataError, errors.GateFailed)
    assert actions == {"FailJob": {error.exit_code for error in final}, "Ignore": {errors.Interrupted.exit_code}}
    assert {rule["onExitCodes"]["operator"] for rule in rules} == {"In"}
    assert {rule["onExitCodes"]["containerName"] for rule in rules} == {container(job["spec"]["template"])["name"]}
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_a_lost_node_does_not_count_as_a_failed_try(manifests):
    [job] = of_kind(manifests, "Job")
    condition = [{"type": "DisruptionTarget", "status": "True"}]
    assert {"action": "Ignore", "onPodConditions": condition} in job["spec"]["podFailurePolicy"]["rules"]


def test_a_retried_pod_has_the_run_id_of_its_job(manifests):
    variables = {one["name"]: one for one in container(pods(manifests)["Job"])["env"]}
    field = variables["JOB_RUN_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert field == "metadata.labels['batch.kubernetes.io/controller-uid']"


def test_every_variable_is_a_setting(manifests):
    for pod in pods(manifests).values():
        given = environment(manifests, pod)
        for kind, prefix in ((JobSettings, "JOB_"), (ServingSettings, "SERVING_"), (RegistrySettings, "REGISTRY_")):
            assert unknown_variables(kind, prefix, given) == []
        # Each program knows its own variables and the registry's; the rest is of the ecosystem.
        others = {name for name in given if not name.startswith(("JOB_", "SERVING_", "REGISTRY_", "AWS_"))}
        assert others <= {"OMP_NUM_THREADS"}


@pytest.mark.parametrize("folder", ["base", "overlays/local", "overlays/gpu"])
def test_every_pod_is_told_a_registry_in_a_bucket(folder):
    manifests = rendered(folder)
    for pod in pods(manifests).values():
        assert environment(manifests, pod)["REGISTRY_URI"].startswith("s3://")


def test_the_server_serves_what_the_job_registers():
    settings = load_settings(["--config", str(BASE / "settings/job.yaml")], "test")
    [model] = [one["value"] for one in container(pods(as_written())["Deployment"])["env"] if "value" in one]
    assert model == f"{settings.model_name}@{settings.alias}"
    assert str(settings.data.train).startswith("s3://")


def test_the_job_reads_the_settings_that_are_mounted(manifests):
    pod = pods(manifests)["Job"]
    [mount] = [mount for mount in container(pod)["volumeMounts"] if mount.get("readOnly")]
    generated = yaml.safe_load((BASE / "kustomization.yaml").read_text())["configMapGenerator"]
    [file] = next(one["files"] for one in generated if one["name"] == "job")
    assert container(pod)["args"] == ["train", "--config", f"{mount['mountPath']}/{Path(file).name}"]


def test_a_pod_is_given_the_time_it_needs_to_drain(manifests):
    settings = ServingSettings(model="reviews")
    limits = settings.limits
    longest = settings.drain_seconds + limits.body_seconds + limits.deadline_seconds + 1
    assert pods(manifests)["Deployment"]["spec"]["terminationGracePeriodSeconds"] > longest


def test_a_rollout_and_a_drained_node_leave_a_server(manifests):
    [deployment] = of_kind(manifests, "Deployment")
    [budget] = of_kind(manifests, "PodDisruptionBudget")
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    # A budget that equals the replicas would keep any node from being drained.
    assert 1 <= budget["spec"]["minAvailable"] < deployment["spec"]["replicas"]


def test_probes_and_prometheus_ask_for_pages_that_exist(manifests):
    pod = pods(manifests)["Deployment"]
    probes = [container(pod)[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert {probe["path"] for probe in probes} <= set(_GET)
    [port] = container(pod)["ports"]
    assert {probe["port"] for probe in probes} == {port["name"]}
    assert port["containerPort"] == ServingSettings.model_fields["port"].default
    notes = pod["metadata"]["annotations"]
    assert notes["prometheus.io/port"] == str(port["containerPort"])
    assert notes["prometheus.io/path"] in _GET


def test_every_selector_finds_its_pods(manifests):
    labels = {kind: pod["metadata"]["labels"] for kind, pod in pods(manifests).items()}
    specs = [one["spec"] for kind in ("Deployment", "PodDisruptionBudget") for one in of_kind(manifests, kind)]
    selectors = [spec["selector"]["matchLabels"] for spec in specs]
    selectors += [of_kind(manifests, "Service")[0]["spec"]["selector"]]
    selectors += [of_kind(manifests, "NetworkPolicy", "serving")[0]["spec"]["podSelector"]["matchLabels"]]
    assert all(selector.items() <= labels["Deployment"].items() for selector in selectors)
    assert not any(selector.items() <= labels["Job"].items() for selector in selectors)
    [closed] = of_kind(manifests, "NetworkPolicy", "job")
    assert closed["spec"]["podSelector"]["matchLabels"].items() <= labels["Job"].items()
    assert "ingress" not in closed["spec"]


def test_the_images_are_those_that_this_version_builds(manifests):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {container(pod)["image"].partition("/")[2] for pod in pods(manifests).values()}
    assert images == {f"tunewright-job:{version}", f"tunewright-serving:{version}"}


def test_the_gpu_overlay_asks_for_one_gpu_for_the_job_only():
    both = pods(rendered("overlays/gpu"))
    assert container(both["Job"])["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in container(both["Deployment"])["resources"]["limits"]
    assert "nvidia.com/gpu" in [one["key"] for one in both["Job"]["spec"]["tolerations"]]


def test_the_local_overlay_fits_a_laptop_and_never_pulls_what_is_there():
    for pod in pods(rendered("overlays/local")).values():
        assert container(pod)["imagePullPolicy"] == "IfNotPresent"
        assert float(container(pod)["resources"]["limits"]["cpu"]) <= 2

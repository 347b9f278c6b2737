"""The manifests as written and as kustomize renders them: schemas, pod security, exit codes, settings."""

import functools
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tunewright.job import errors
from tunewright.job.ranks import is_to_start
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.load import load_settings
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.variables import unknown_variables
from tunewright.serving.http.app import PAGES
from tunewright.serving.settings import ServingSettings

ROOT = Path(__file__).parents[1]
BASE = ROOT / "k8s/base"
OLDEST = "1.29"
"""The first Kubernetes whose schema takes a rule for exit codes alone; k8s/base/kustomization.yaml says so too."""


def read(text):
    return [document for document in yaml.safe_load_all(text) if document]


def as_written():
    files = [path for path in sorted(BASE.glob("*.yaml")) if path.name != "kustomization.yaml"]
    return [document for path in files for document in read(path.read_text())]


KUBECTLS = os.environ.get("TUNEWRIGHT_KUBECTLS", "").split(":") if os.environ.get("TUNEWRIGHT_KUBECTLS") else []
"""Paths of the oldest and the newest kubectl that are promised; .ci/run brings them."""


@functools.cache
def rendered(folder, program="kubectl"):
    if not shutil.which(program):
        pytest.skip("kubectl is not installed: only the manifests as written are tested")
    command = [program, "kustomize", str(ROOT / "k8s" / folder)]
    return read(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not KUBECTLS, reason="TUNEWRIGHT_KUBECTLS names no programs, which .ci/run brings")
@pytest.mark.parametrize("folder", ["base", "overlays/local", "overlays/gpu"])
def test_every_kubectl_that_is_promised_renders_the_same(folder):
    oldest, *others = [rendered(folder, program) for program in KUBECTLS]
    assert oldest
    assert all(other == oldest for other in others)


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
        limits = container(pod)["resources"]["limits"]
        assert {"cpu", "memory", "ephemeral-storage"} <= set(limits)
        # A volume that is filled to its limit is named as the cause; one beyond the pod's limit would not be.
        sizes = [volumes[mount["name"]]["emptyDir"]["sizeLimit"] for mount in writable.values()]
        assert sum(map(gibibytes, sizes)) < gibibytes(limits["ephemeral-storage"])


def gibibytes(size):
    return int(size[:-2]) / {"Gi": 1, "Mi": 1024}[size[-2:]]


def test_each_program_has_keys_of_its_own_as_a_file(manifests):
    for pod in pods(manifests).values():
        name = container(pod)["name"]
        variables = {one["name"]: one.get("value") for one in container(pod)["env"]}
        [mount] = [one for one in container(pod)["volumeMounts"] if one["name"] == "s3"]
        [volume] = [one for one in pod["spec"]["volumes"] if one["name"] == "s3"]
        assert variables["AWS_SHARED_CREDENTIALS_FILE"] == f"{mount['mountPath']}/credentials"
        assert volume["secret"] == {"secretName": f"s3-{name}", "optional": True}
        assert mount["readOnly"] is True
        assert not [source for source in container(pod)["envFrom"] if "secretRef" in source]


def test_the_examples_of_secrets_are_those_the_pods_look_for():
    examples = {one["metadata"]["name"]: one["stringData"] for one in read((BASE / "secret.yaml").read_text())}
    assert examples.keys() == {"s3-job", "s3-serving"}
    assert all(set(content) == {"credentials"} for content in examples.values())


def test_pods_reach_names_and_the_bucket_and_nothing_else(manifests):
    for pod in pods(manifests).values():
        labels = pod["metadata"]["labels"]
        meant = [
            one["spec"]
            for one in of_kind(manifests, "NetworkPolicy")
            if one["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        ]
        outwards = [rule for spec in meant if "Egress" in spec["policyTypes"] for rule in spec["egress"]]
        ports = {port["port"] for rule in outwards for port in rule["ports"]}
        assert all(rule.get("to") for rule in outwards)
        assert ports in ({53, 443}, {53, 9000})


def test_metrics_are_on_a_port_that_only_the_watchers_reach(manifests):
    pod = pods(manifests)["Deployment"]
    ports = {port["name"]: port["containerPort"] for port in container(pod)["ports"]}
    assert environment(manifests, pod)["SERVING_METRICS_PORT"] == str(ports["metrics"]) != str(ports["http"])
    [policy] = of_kind(manifests, "NetworkPolicy", "serving")
    open_to = {rule["ports"][0]["port"]: rule.get("from") for rule in policy["spec"]["ingress"]}
    assert open_to["http"] is None
    assert open_to["metrics"]
    [service] = of_kind(manifests, "Service", "serving")
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]


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
        assert {name for name in given if name.startswith("AWS_")} <= {
            "AWS_REGION", "AWS_ENDPOINT_URL_S3", "AWS_SHARED_CREDENTIALS_FILE",
        }  # fmt: skip


@pytest.mark.parametrize("folder", ["base", "overlays/local", "overlays/gpu"])
def test_every_pod_is_told_a_registry_in_a_bucket(folder):
    manifests = rendered(folder)
    for pod in pods(manifests).values():
        assert environment(manifests, pod)["REGISTRY_URI"].startswith("s3://")


def test_the_server_serves_what_the_job_registers():
    settings = load_settings(["--config", str(BASE / "settings/job.yaml")], "test")
    variables = {one["name"]: one.get("value") for one in container(pods(as_written())["Deployment"])["env"]}
    model = variables["SERVING_MODEL"]
    assert model == f"{settings.model_name}@{settings.alias}"
    assert str(settings.data.train).startswith("s3://")


def test_the_job_reads_the_settings_that_are_mounted(manifests):
    pod = pods(manifests)["Job"]
    [mount] = [mount for mount in container(pod)["volumeMounts"] if mount["name"] == "settings"]
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
    assert {probe["path"] for probe in probes} <= set(PAGES)
    ports = {port["name"]: port["containerPort"] for port in container(pod)["ports"]}
    assert {probe["port"] for probe in probes} == {"http"}
    assert ports["http"] == ServingSettings.model_fields["port"].default
    notes = pod["metadata"]["annotations"]
    assert notes["prometheus.io/port"] == str(ports["metrics"])
    assert notes["prometheus.io/path"] in PAGES


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


@pytest.fixture
def with_component(tmp_path):
    """with_component("openshift"): the base with one of the components, as an overlay of the user's would have it."""

    def render(name):
        place = {key: os.path.relpath(ROOT / "k8s" / path, tmp_path) for key, path in
                 {"resources": "base", "components": f"components/{name}"}.items()}  # fmt: skip
        content = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(content | {k: [v] for k, v in place.items()}))
        return rendered(str(tmp_path))

    return render


def test_keys_can_come_as_variables(with_component):
    for pod in pods(with_component("s3-variables")).values():
        secrets = [one["secretRef"] for one in container(pod)["envFrom"] if "secretRef" in one]
        assert secrets == [{"name": f"s3-{container(pod)['name']}", "optional": True}]
        assert [one for one in container(pod)["envFrom"] if "configMapRef" in one]


def test_openshift_chooses_the_user_itself(with_component):
    for pod in pods(with_component("openshift")).values():
        assert pod["spec"]["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_several_pods_of_one_job_find_each_other(with_component):
    manifests = with_component("nodes")
    for manifest in manifests:
        kubernetes_validate.validate(manifest, OLDEST, strict=True)
    [job] = of_kind(manifests, "Job")
    pod, [service] = job["spec"]["template"], of_kind(manifests, "Service", "job")
    given = {one["name"]: one for one in container(pod)["env"]}
    place = given["PET_NODE_RANK"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert place == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert is_to_start({name: one["value"] for name, one in given.items() if "value" in one})
    assert (job["spec"]["completionMode"], job["spec"]["completions"], job["spec"]["parallelism"]) == ("Indexed", 2, 2)
    assert given["PET_NNODES"]["value"] == "2"
    assert given["PET_MASTER_ADDR"]["value"] == f"{job['metadata']['name']}-0.{pod['spec']['subdomain']}"
    assert pod["spec"]["subdomain"] == service["metadata"]["name"]
    [policy] = of_kind(manifests, "NetworkPolicy", "nodes")
    [[one], [other]] = policy["spec"]["ingress"][0]["from"], policy["spec"]["egress"][0]["to"]
    for labels in (service["spec"]["selector"], one["podSelector"]["matchLabels"], other["podSelector"]["matchLabels"]):
        assert labels.items() <= pod["metadata"]["labels"].items()


KUBECTL = """#!{python}
import json, os, subprocess, sys
from pathlib import Path
state = Path({state!r})
arguments = [word for word in sys.argv[1:] if word not in ("-n", "tunewright")]
with (state / "asked").open("a") as log:
    log.write(json.dumps(arguments) + chr(10))
cluster = json.loads((state / "cluster").read_text())
if arguments[:2] == ["get", "job"] and cluster["job"]:
    print("job.batch/job" if "name" in arguments else " ".join(cluster["conditions"]))
elif arguments[0] in ("kustomize", "apply"):
    folder = arguments[-1]
    done = subprocess.run([{kubectl!r}, "kustomize", folder], capture_output=True, text=True)
    (state / arguments[0]).write_text(done.stdout)
    sys.exit(done.returncode)
"""


@pytest.fixture
def submit(tmp_path):
    """submit(job, conditions, "CONFIG=..."): what `make submit` asked of a cluster whose Job is in that state."""

    def run(job, conditions=(), *settings):
        kubectl = shutil.which("kubectl") or pytest.skip("kubectl is not installed")
        (tmp_path / "bin").mkdir(exist_ok=True)
        program = tmp_path / "bin/kubectl"
        program.write_text(KUBECTL.format(python=sys.executable, state=str(tmp_path), kubectl=kubectl))
        program.chmod(0o755)
        (tmp_path / "cluster").write_text(json.dumps({"job": job, "conditions": list(conditions)}))
        (tmp_path / "asked").write_text("")
        environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
        command = ["make", "-s", "-C", str(ROOT), "submit", *settings]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done, [json.loads(line)[0] for line in (tmp_path / "asked").read_text().splitlines()]

    return run


def test_the_first_submission_applies_the_overlay(submit, tmp_path):
    done, asked = submit(False)
    assert (done.returncode, done.stderr) == (0, "")
    assert asked == ["get", "kustomize", "apply"]
    [settings] = [one for one in read((tmp_path / "apply").read_text()) if "job.yaml" in (one.get("data") or {})]
    assert settings["data"]["job.yaml"] == (BASE / "settings/job.yaml").read_text()


@pytest.mark.parametrize("condition", ["Complete", "Failed"])
def test_a_job_that_has_ended_is_replaced(submit, condition):
    done, asked = submit(True, [condition])
    assert done.returncode == 0
    assert asked == ["get", "get", "kustomize", "delete", "apply"]


@pytest.mark.parametrize("conditions", [(), ("Suspended",), ("SuccessCriteriaMet",), ("FailureTarget",)])
def test_a_job_that_waits_or_runs_is_never_deleted(submit, conditions):
    done, asked = submit(True, conditions)
    assert done.returncode != 0
    assert asked == ["get", "get"]
    assert "error: a job is there that has not ended: it runs, is suspended, or waits for room or for its next try" in (
        done.stderr
    )


def test_the_settings_that_are_named_are_those_that_are_submitted(submit, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("model_name: mine\n")
    done, _ = submit(False, (), f"CONFIG={mine}")
    assert done.returncode == 0, done.stderr
    applied = read((tmp_path / "apply").read_text())
    [settings] = [one for one in applied if "job.yaml" in (one.get("data") or {})]
    assert settings["data"] == {"job.yaml": "model_name: mine\n"}
    [volume] = [one for one in pods(applied)["Job"]["spec"]["volumes"] if one["name"] == "settings"]
    assert volume["configMap"]["name"] == settings["metadata"]["name"]
    assert not list((ROOT / "k8s/overlays").glob(".submit-*"))


@pytest.mark.parametrize("setting", ["CONFIG=no-such.yaml", "OVERLAY=k8s/overlays/none"])
def test_settings_or_an_overlay_that_are_not_there_are_named(submit, setting):
    done, asked = submit(True, ["Complete"], setting)
    assert done.returncode != 0
    assert asked == []
    assert (
        f"error: there {'are no settings' if 'CONFIG' in setting else 'is no overlay'} {setting.partition('=')[2]}"
        in (done.stderr)
    )

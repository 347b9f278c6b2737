"""The manifests as written and as kustomize renders them: schemas, pod security, exit codes, settings."""

import copy
import functools
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from crds import refused
from custom_resources import jobs_of, validate

from tunewright.job import errors
from tunewright.job.ranks import is_to_start
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.load import load_settings
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.variables import unknown_variables
from tunewright.serving.http.app import PAGES
from tunewright.serving.settings import ServingSettings

ROOT = Path(__file__).parents[1]
K8S = ROOT / "k8s"
SITES = ["", "overlays/local/", "overlays/gpu/"]
"""Where a folder for the job and one for the server lie."""
COMPONENTS = sorted(path.parent.name for path in K8S.glob("components/*/kustomization.yaml"))
OF_THE_JOB = {"gpu", "kueue", "cache", "shared-memory", "hub-token", "nodes", "group", "jobset", "trainer"}
AFTER = {"jobset": ["nodes"]}
"""Components that stand after others."""
OF_THE_SERVER = {"autoscale", "autoscale-requests", "metrics"}
OF_OTHERS = {"PodMonitor", "PrometheusRule", "ScaledObject"}
"""Kinds that no schema of Kubernetes itself knows."""
OLDEST = "1.29"
"""The first Kubernetes whose schema takes a rule for exit codes alone; k8s/job/kustomization.yaml says so too."""


def read(text):
    # Ten times as fast as the loader in Python.
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


@functools.cache
def as_written():
    files = [path for room in ("job", "serving") for path in sorted((K8S / room).glob("*.yaml"))]
    files = [path for path in files if path.name != "kustomization.yaml"]
    return [document for path in files for document in read(path.read_text())]


KUBECTLS = os.environ.get("TUNEWRIGHT_KUBECTLS", "").split(":") if os.environ.get("TUNEWRIGHT_KUBECTLS") else []
"""Paths of the oldest and the newest kubectl that are promised; .ci/run brings them."""
KUBECTL = KUBECTLS[-1] if KUBECTLS else "kubectl"
"""The one that renders for the tests."""


def both(site):
    """What a site applies and submits."""
    return [*rendered(f"{site}job"), *rendered(f"{site}serving")]


@functools.cache
def rendered(folder, program=KUBECTL):
    if not shutil.which(program):
        pytest.skip("kubectl is not installed: only the manifests as written are tested")
    command = [program, "kustomize", str(ROOT / "k8s" / folder)]
    return read(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not KUBECTLS, reason="TUNEWRIGHT_KUBECTLS names no programs, which .ci/run brings")
@pytest.mark.parametrize("folder", [f"{site}{room}" for site in SITES for room in ("job", "serving")])
def test_every_kubectl_that_is_promised_renders_the_same(folder):
    oldest, *others = [rendered(folder, program) for program in KUBECTLS]
    assert oldest
    assert all(other == oldest for other in others)


@pytest.fixture(params=["as written", *SITES])
def manifests(request):
    return as_written() if request.param == "as written" else both(request.param)


def of_kind(manifests, kind, name=None):
    return [one for one in manifests if one["kind"] == kind and name in (None, one["metadata"]["name"])]


def pods(manifests):
    """The template of the pods of each kind."""
    found = {one["kind"]: jobs_of(one)[0]["template"] for one in manifests if jobs_of(one)}
    plain = [one for one in manifests if one["kind"] not in found and "template" in one.get("spec", {})]
    return found | {one["kind"]: one["spec"]["template"] for one in plain}


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
    assert {"Job", "Deployment", "Service", "PodDisruptionBudget"} <= {one["kind"] for one in manifests}
    for manifest in manifests:
        validate(manifest, version)


@pytest.mark.parametrize("room", ["job", "serving"])
def test_every_manifest_is_applied(room):
    applied = yaml.safe_load((K8S / room / "kustomization.yaml").read_text())["resources"]
    assert {path.name for path in (K8S / room).glob("*.yaml")} - set(applied) == {"kustomization.yaml"}


@pytest.mark.parametrize("site", SITES)
def test_the_job_and_the_server_are_applied_apart(site):
    def names(room):
        rest = [one for one in rendered(f"{site}{room}") if one["kind"] not in ("Namespace", "ConfigMap")]
        return {(one["kind"], one["metadata"]["name"]) for one in rest}

    assert not names("job") & names("serving")
    assert not [kind for kind, _ in names("serving") if kind == "Job"]


def test_a_namespace_is_made_where_an_overlay_asks_for_it():
    assert of_kind(rendered("job"), "Namespace") == of_kind(rendered("serving"), "Namespace") == []
    assert of_kind(rendered("overlays/gpu/job"), "Namespace") == []
    [namespace] = of_kind(rendered("overlays/local/job"), "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


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
    for kind, pod in pods(manifests).items():
        [account] = of_kind(manifests, "ServiceAccount", f"tunewright-{'job' if kind == 'Job' else 'serving'}")
        assert account["automountServiceAccountToken"] is False
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["enableServiceLinks"] is False
        assert pod["spec"]["serviceAccountName"] == account["metadata"]["name"]


def test_only_the_named_folders_are_writable_and_each_is_bounded(manifests):
    for pod in pods(manifests).values():
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        writable = {mount["mountPath"]: mount for mount in container(pod)["volumeMounts"] if not mount.get("readOnly")}
        assert {"/tmp", "/var/lib/tunewright"} <= set(writable) <= {"/tmp", "/var/lib/tunewright", "/dev/shm"}
        assert all("sizeLimit" in volumes[mount["name"]]["emptyDir"] for mount in writable.values())
        limits = container(pod)["resources"]["limits"]
        assert {"cpu", "memory", "ephemeral-storage"} <= set(limits)
        # A volume that is filled to its limit is named as the cause; one beyond the pod's limit would not be.
        bounds = [volumes[mount["name"]]["emptyDir"] for mount in writable.values()]
        sizes = [bound["sizeLimit"] for bound in bounds if bound.get("medium") != "Memory"]
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
    examples = {one["metadata"]["name"]: one["stringData"] for one in read((K8S / "secrets.yaml").read_text())}
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


@pytest.mark.parametrize("site", SITES)
def test_every_pod_is_told_a_registry_in_a_bucket(site):
    manifests = both(site)
    for pod in pods(manifests).values():
        assert environment(manifests, pod)["REGISTRY_URI"].startswith("s3://")


def test_the_server_serves_what_the_job_registers():
    settings = load_settings(["--config", str(K8S / "job/settings/job.yaml")], "test")
    variables = {one["name"]: one.get("value") for one in container(pods(as_written())["Deployment"])["env"]}
    model = variables["SERVING_MODEL"]
    assert model == f"{settings.model_name}@{settings.alias}"
    assert str(settings.data.train).startswith("s3://")


def test_the_job_reads_the_settings_that_are_mounted(manifests):
    pod = pods(manifests)["Job"]
    [mount] = [mount for mount in container(pod)["volumeMounts"] if mount["name"] == "settings"]
    generated = yaml.safe_load((K8S / "job/kustomization.yaml").read_text())["configMapGenerator"]
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
    assert "Ingress" in closed["spec"]["policyTypes"]
    assert closed["spec"]["podSelector"]["matchLabels"].items() <= labels["Job"].items()
    assert "ingress" not in closed["spec"]


def test_the_images_are_those_that_this_version_builds(manifests):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {container(pod)["image"].partition("/")[2] for pod in pods(manifests).values()}
    assert images == {f"tunewright-job:{version}", f"tunewright-serving:{version}"}


def test_the_gpu_overlay_asks_for_one_gpu_for_the_job_only():
    made = pods(both("overlays/gpu/"))
    assert container(made["Job"])["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in container(made["Deployment"])["resources"]["limits"]
    assert "nvidia.com/gpu" in [one["key"] for one in made["Job"]["spec"]["tolerations"]]


def test_the_local_overlay_fits_a_laptop_and_never_pulls_what_is_there():
    for pod in pods(both("overlays/local/")).values():
        assert container(pod)["imagePullPolicy"] == "IfNotPresent"
        assert float(container(pod)["resources"]["limits"]["cpu"]) <= 2


@pytest.fixture(scope="module")
def with_component(tmp_path_factory):
    """with_component("openshift"): the bases that it is for with some of the components, as an overlay has them."""
    place = tmp_path_factory.mktemp("overlays")

    def render(*names, program=KUBECTL):
        made = []
        for room in ("job", "serving"):
            if names[0] in (OF_THE_SERVER if room == "job" else OF_THE_JOB):
                continue
            folder = place / "-".join(names) / room
            folder.mkdir(parents=True, exist_ok=True)
            whole = [f"components/{one}" for name in names for one in (*AFTER.get(name, []), name)]
            places = {"resources": [room], "components": whole}
            content = {key: [os.path.relpath(K8S / path, folder) for path in paths] for key, paths in places.items()}
            content |= {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
            (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
            made += rendered(str(folder), program)
        return made

    return render


@pytest.mark.parametrize("name", [name for name in COMPONENTS if name != "registry"])
def test_pods_with_a_component_are_as_locked_down_and_match_the_schema(with_component, name):
    manifests = with_component(name)
    for manifest in manifests:
        if manifest["kind"] not in OF_OTHERS:
            validate(manifest, OLDEST)
    for pod in pods(manifests).values():
        spec, security = pod["spec"], container(pod)["securityContext"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert (security["readOnlyRootFilesystem"], security["capabilities"]) == (True, {"drop": ["ALL"]})
        assert (security["allowPrivilegeEscalation"], spec["automountServiceAccountToken"]) == (False, False)
        bounds = [volume["emptyDir"] for volume in spec["volumes"] if "emptyDir" in volume]
        assert all("sizeLimit" in bound for bound in bounds)
        mounted = {mount["name"] for mount in container(pod)["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}


@pytest.mark.skipif(not KUBECTLS, reason="TUNEWRIGHT_KUBECTLS names no programs, which .ci/run brings")
@pytest.mark.parametrize("name", [name for name in COMPONENTS if name != "registry"])
def test_every_kubectl_renders_each_component_the_same(with_component, name):
    oldest, *others = [with_component(name, program=program) for program in KUBECTLS]
    assert all(other == oldest for other in others)


def test_a_queue_lets_the_job_begin(with_component):
    [job] = of_kind(with_component("kueue"), "Job")
    assert job["spec"]["suspend"] is True
    assert "kueue.x-k8s.io/queue-name" in job["metadata"]["labels"]


def test_downloads_can_outlive_a_pod(with_component):
    manifests = with_component("cache")
    [claim] = of_kind(manifests, "PersistentVolumeClaim")
    [files] = [one for one in pods(manifests)["Job"]["spec"]["volumes"] if one["name"] == "files"]
    assert files == {"name": "files", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}


def test_a_private_authority_is_believed_by_both(with_component):
    for pod in pods(with_component("private-ca")).values():
        variables = {one["name"]: one.get("value") for one in container(pod)["env"]}
        [mount] = [one for one in container(pod)["volumeMounts"] if one["name"] == "ca"]
        assert variables["AWS_CA_BUNDLE"] == variables["SSL_CERT_FILE"] == f"{mount['mountPath']}/ca.crt"


@pytest.mark.parametrize(
    ("name", "kind", "least"),
    [
        ("autoscale", "HorizontalPodAutoscaler", "minReplicas"),
        ("autoscale-requests", "ScaledObject", "minReplicaCount"),
    ],
)
def test_an_autoscaler_has_the_number_of_replicas_to_itself(with_component, name, kind, least):
    manifests = with_component(name)
    [deployment], [scaler] = of_kind(manifests, "Deployment"), of_kind(manifests, kind)
    assert "replicas" not in deployment["spec"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    [budget] = of_kind(manifests, "PodDisruptionBudget")
    assert budget["spec"]["minAvailable"] < scaler["spec"][least]


def test_the_servers_are_scraped_and_watched(with_component):
    manifests = with_component("metrics")
    [monitor], [rules] = of_kind(manifests, "PodMonitor"), of_kind(manifests, "PrometheusRule")
    labels = pods(manifests)["Deployment"]["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert len(rules["spec"]["groups"]) == 2
    [board] = of_kind(manifests, "ConfigMap", "tunewright-dashboard")
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"


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
    [job] = of_kind(manifests, "Job")
    pod, [service] = job["spec"]["template"], of_kind(manifests, "Service", "job")
    given = {one["name"]: one for one in container(pod)["env"]}
    place = given["PET_NODE_RANK"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert place == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert is_to_start({name: one["value"] for name, one in given.items() if "value" in one})
    assert (job["spec"]["completionMode"], job["spec"]["completions"], job["spec"]["parallelism"]) == ("Indexed", 2, 2)
    assert given["PET_NNODES"]["value"] == "2"
    place = given["SUBMISSION"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert place == "metadata.labels['batch.kubernetes.io/job-name']"
    assert given["PET_MASTER_ADDR"]["value"] == f"$(SUBMISSION)-0.{pod['spec']['subdomain']}"
    names = list(given)
    assert names.index("SUBMISSION") < names.index("PET_MASTER_ADDR")
    assert pod["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()


GROUPS = ["nodes", "jobset", "trainer"]


@pytest.mark.parametrize("name", GROUPS)
def test_the_pods_of_a_group_reach_each_other_and_have_room_to_share(with_component, name):
    manifests = with_component(name)
    [pod] = pods(manifests).values()
    [policy] = of_kind(manifests, "NetworkPolicy", "nodes")
    [[one], [other]] = policy["spec"]["ingress"][0]["from"], policy["spec"]["egress"][0]["to"]
    for end in (policy["spec"], one, other):
        group = end["podSelector"]["matchLabels"]
        assert group.keys() == {"tunewright.org/group"}
        assert group.items() <= pod["metadata"]["labels"].items()
    [shared] = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "shared-memory"]
    assert shared["emptyDir"]["medium"] == "Memory"
    assert "/dev/shm" in [mount["mountPath"] for mount in container(pod)["volumeMounts"]]


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_is_one_run_whose_exit_codes_mean_what_those_of_one_pod_do(with_component, name):
    manifests = with_component(name)
    [job] = [job for one in manifests for job in jobs_of(one)]
    rules = job["podFailurePolicy"]["rules"]
    plain = of_kind(rendered("job"), "Job")[0]["spec"]["podFailurePolicy"]["rules"]
    named = container(job["template"])["name"]
    assert [rule.get("onExitCodes", {}).get("containerName", named) for rule in rules] == [named] * 3
    assert [(rule["action"], rule.get("onExitCodes", {}).get("values")) for rule in rules] == [
        (rule["action"], rule.get("onExitCodes", {}).get("values")) for rule in plain
    ]
    if name == "nodes":
        return
    # A pod that has failed has the others begin anew with it; what a person must mend ends all.
    assert job["backoffLimit"] == 0
    [whole] = [one for one in manifests if jobs_of(one)]
    policy = (whole["spec"]["template"]["spec"] if name == "trainer" else whole["spec"])["failurePolicy"]
    assert policy["maxRestarts"] == 3
    assert ("FailJobSet", "PodFailurePolicy") in [
        (one["action"], one["onJobFailureReasons"][0]) for one in policy["rules"]
    ]
    given = {one["name"]: one for one in container(job["template"])["env"]}
    # A name survives whatever makes the object anew; a uid does not.
    field = given["JOB_RUN_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert field == "metadata.labels['jobset.sigs.k8s.io/jobset-name']"


def test_a_field_that_a_neighbour_does_not_know_is_refused(with_component):
    [whole] = of_kind(with_component("jobset"), "JobSet")
    whole = copy.deepcopy(whole)
    whole["spec"]["replicatedJobs"][0]["replica"] = 2
    assert "'replica' was unexpected" in refused(whole)[0]


def test_a_jobset_tells_its_pods_where_to_meet(with_component):
    manifests = with_component("jobset")
    [whole] = of_kind(manifests, "JobSet")
    pod = pods(manifests)["JobSet"]
    given = {one["name"]: one for one in container(pod)["env"]}
    field = given["PET_MASTER_ADDR"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert field == "metadata.annotations['jobset.sigs.k8s.io/coordinator']"
    assert whole["spec"]["coordinator"]["replicatedJob"] == whole["spec"]["replicatedJobs"][0]["name"]
    assert given["PET_NNODES"]["value"] == "2"
    assert "SUBMISSION" not in given
    assert "subdomain" not in pod["spec"]
    assert of_kind(manifests, "Job") == of_kind(manifests, "Service") == []


def test_a_trainjob_names_a_runtime_whose_pods_the_trainer_tells_of_each_other(with_component):
    manifests = with_component("trainer")
    [runtime], [asked] = of_kind(manifests, "TrainingRuntime"), of_kind(manifests, "TrainJob")
    assert asked["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"]
    [job] = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    assert (job["name"], container(job["template"]["spec"]["template"])["name"]) == ("node", "node")
    assert job["template"]["metadata"]["labels"]["trainer.kubeflow.org/trainjob-ancestor-step"] == "trainer"
    given = {one["name"] for one in container(job["template"]["spec"]["template"])["env"]}
    assert not [name for name in given if name.startswith("PET_")]
    assert of_kind(manifests, "Job") == []


@pytest.mark.parametrize(("name", "kind"), [("nodes", "Job"), ("jobset", "JobSet"), ("trainer", "TrainJob")])
def test_a_queue_lets_a_group_begin(with_component, name, kind):
    manifests = with_component(name, "kueue")
    [waiting] = [one for one in manifests if "kueue.x-k8s.io/queue-name" in one["metadata"].get("labels", {})]
    assert (waiting["kind"], waiting["spec"]["suspend"]) == (kind, True)
    validate(waiting, OLDEST)


NEIGHBOURS = ROOT / "docs/guides/neighbours"


def test_the_queue_of_the_guide_is_the_one_that_jobs_name_and_covers_all_they_ask_for(with_component):
    objects = {one["kind"]: one for one in read((NEIGHBOURS / "kueue.yaml").read_text())}
    for one in objects.values():
        assert refused(one) == []
    flavor, whole, local = (objects[kind] for kind in ("ResourceFlavor", "ClusterQueue", "LocalQueue"))
    [job] = of_kind(with_component("kueue"), "Job")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == local["metadata"]["name"]
    assert local["spec"]["clusterQueue"] == whole["metadata"]["name"]
    [namespace] = whole["spec"]["namespaceSelector"]["matchLabels"].values()
    [submitted] = of_kind(rendered("overlays/local/job"), "Job")
    assert local["metadata"]["namespace"] == namespace == submitted["metadata"]["namespace"]
    [group] = whole["spec"]["resourceGroups"]
    [quotas] = group["flavors"]
    assert quotas["name"] == flavor["metadata"]["name"]
    assert [one["name"] for one in quotas["resources"]] == group["coveredResources"]
    asked = set()
    for manifests in [rendered(f"{site}job") for site in SITES] + [with_component(name) for name in ("gpu", *GROUPS)]:
        for pod in pods(manifests).values():
            resources = container(pod)["resources"]
            asked |= set(resources["requests"]) | set(resources["limits"])
    assert "ephemeral-storage" in asked
    assert asked == set(group["coveredResources"])


def test_a_further_run_of_the_trainer_is_one_of_the_runtime_that_the_component_makes(with_component):
    [asked] = read((NEIGHBOURS / "kubeflow-trainer.yaml").read_text())
    assert refused(asked) == []
    manifests = with_component("trainer")
    [runtime], [first] = of_kind(manifests, "TrainingRuntime"), of_kind(manifests, "TrainJob")
    assert asked["spec"]["runtimeRef"] == first["spec"]["runtimeRef"]
    trainer = dict(asked["spec"]["trainer"])
    arguments = trainer.pop("args")
    assert trainer == first["spec"]["trainer"]
    own = container(runtime["spec"]["template"]["spec"]["replicatedJobs"][0]["template"]["spec"]["template"])["args"]
    assert arguments[: len(own)] == own
    settings = load_settings(["--config", str(K8S / "job/settings/job.yaml"), *arguments[len(own) :]], "test")
    assert (settings.train.epochs, settings.train.learning_rate) == (5, 3e-5)


@pytest.mark.parametrize("name", GROUPS)
def test_what_has_a_name_of_its_content_is_found_by_the_pods_of_a_group(with_component, name):
    check_names(with_component(name))


@pytest.mark.parametrize("kind", ["JobSet", "TrainJob"])
def test_the_overlay_that_the_guide_shows_is_whole(tmp_path, kind):
    page = (ROOT / "docs/guides/several-nodes.md").read_text()
    [content] = re.findall(r"```\n(# kustomization.yaml of.*?)```", page, re.DOTALL)
    if kind == "TrainJob":
        content = re.sub(r"(components: ).*# or only: ", r"\1", content).replace("JobSet}", "TrainJob}")
    job = os.path.relpath(K8S / "overlays/local/job", tmp_path)
    components = os.path.relpath(K8S / "components", tmp_path)
    content = content.replace("../job", job).replace("../../../components", components)
    (tmp_path / "kustomization.yaml").write_text(content)
    manifests = rendered(str(tmp_path))
    check_names(manifests)
    assert of_kind(manifests, kind, "reviews-2026-02-01")
    assert {one["metadata"].get("namespace") for one in manifests if one["kind"] != "Namespace"} == {"tunewright"}


def check_names(manifests):
    [pod] = pods(manifests).values()
    names = {one["metadata"]["name"] for one in of_kind(manifests, "ConfigMap")}
    told = {source["configMapRef"]["name"] for source in container(pod)["envFrom"] if "configMapRef" in source}
    told |= {volume["configMap"]["name"] for volume in pod["spec"]["volumes"] if "configMap" in volume}
    assert told == names


def test_the_agent_that_lends_keys_is_reached_by_both(with_component):
    for policy in of_kind(with_component("pod-identity"), "NetworkPolicy"):
        assert policy["spec"]["egress"][-1] == {
            "to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}],
            "ports": [{"port": 80, "protocol": "TCP"}],
        }

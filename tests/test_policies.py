"""What policies of clusters commonly ask of pods, held against everything that is rendered here.

Each check has the name under which Kyverno or Gatekeeper publish the policy; they are written here by hand, as neither
of the two runs without a cluster.
"""

import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest
import yaml
from custom_resources import jobs_of

from tunewright.job.cluster.rendered import submission
from writers import chart

ROOT = Path(__file__).parents[1]
K8S = ROOT / "k8s"
KUBECTL = chart.kubectl()
HELM = os.environ.get("TUNEWRIGHT_HELM") or shutil.which("helm")
COMPONENTS = sorted(path.parent.name for path in K8S.glob("components/*/kustomization.yaml"))
OF_BOTH = {"namespace", "openshift", "private-ca", "s3-variables", "pod-identity"}
LEFT_OUT = {"registry", "autoscale-requests"}
"""The one is in each base, the other in place of `autoscale`."""
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
IMAGES = [
    {"name": f"localhost/tunewright-{room}", "newName": f"registry.example.com/{room}", "digest": DIGEST}
    for room in ("job", "serving")
]
pytestmark = pytest.mark.skipif(not KUBECTL, reason="there is no kubectl, which renders the manifests")


def kustomize(folder):
    return subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, check=True).stdout


def overlay(room, components):
    """The text of a room with components, in a namespace, with images by their digests."""
    with tempfile.TemporaryDirectory() as folder:
        content = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "tunewright",
            "resources": [os.path.relpath(K8S / room, folder)],
            "components": [os.path.relpath(K8S / "components" / name, folder) for name in components],
            "images": IMAGES,
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(content))
        return kustomize(folder)


def helm(*words):
    command = [HELM, "template", "release", str(chart.CHART), "--namespace", "tunewright", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@cache
def everything():
    """Name to objects of all that is rendered: bases, overlays, all components, a submission, the chart."""
    of_the_server = [*chart.together(), "namespace"]
    instead = {"jobset": ["nodes", "jobset"], "trainer": ["trainer"]}
    within = {*of_the_server, *LEFT_OUT, *instead, "group"}
    of_the_job = [one for one in COMPONENTS if one not in within or one in OF_BOTH]
    sites = [f"overlays/{site}/{room}" for site in ("local", "gpu") for room in ("job", "serving")]
    texts = {name: kustomize(str(K8S / name)) for name in sites}
    texts["job with all components"] = overlay("job", of_the_job)
    texts |= {f"job as {name}": overlay("job", components) for name, components in instead.items()}
    texts["serving with all components"] = overlay("serving", of_the_server)
    if HELM:
        texts["chart"] = helm()
        texts["chart with all components"] = helm(*(f"--set=components.{one}=true" for one in chart.together()))
    found = {name: [one for one in yaml.safe_load_all(text) if one] for name, text in texts.items()}
    made = submission(texts["overlays/gpu/job"], model=None, settings=None, image=f"registry.example.com/job@{DIGEST}")
    found["submission"] = [*made.beside, made.settings, made.with_run("reviews-1")]
    return found


def pods():
    """Where a pod stands, its template, and the object that makes it."""
    for name, objects in everything().items():
        for one in objects:
            templates = [job["template"] for job in jobs_of(one)]
            if one["kind"] == "Deployment":
                templates = [one["spec"]["template"]]
            for template in templates:
                yield f"{name}: {one['kind']} {one['metadata']['name']}", template, one


def container(pod):
    [only] = pod["spec"]["containers"]
    assert "initContainers" not in pod["spec"]
    return only


def limits(pod):
    return {f"{kind}.{name}" for kind, given in container(pod)["resources"].items() for name in given}


ASKED = {f"{kind}.{name}" for kind in ("requests", "limits") for name in ("cpu", "memory", "ephemeral-storage")}
VOLUMES = {"configMap", "emptyDir", "secret", "persistentVolumeClaim"}
HOST = {"hostNetwork", "hostPID", "hostIPC"}


def security(pod):
    return container(pod)["securityContext"]


def probes_differ(pod):
    probes = {kind: container(pod).get(f"{kind}Probe") for kind in ("startup", "readiness", "liveness")}
    return all(probes.values()) and probes["readiness"]["httpGet"] != probes["liveness"]["httpGet"]


def has_user(pod):
    # OpenShift gives one itself, and refuses a pod that names its own.
    return "runAsUser" not in pod["spec"]["securityContext"] or pod["spec"]["securityContext"]["runAsUser"] > 0


OF_PODS = {
    "kyverno/disallow-latest-tag": lambda pod: re.search(
        r"(@sha256:[0-9a-f]{64}|:(?!latest$)[\w.-]+)$", container(pod)["image"]
    ),
    "kyverno/require-pod-requests-limits": lambda pod: limits(pod) >= ASKED,
    "kyverno/require-labels": lambda pod: pod["metadata"]["labels"]["app.kubernetes.io/name"] == "tunewright",
    "kyverno/require-ro-rootfs": lambda pod: security(pod)["readOnlyRootFilesystem"] is True,
    "kyverno/restrict-automount-sa-token": lambda pod: pod["spec"]["automountServiceAccountToken"] is False,
    "kyverno/require-container-port-names": lambda pod: all("name" in one for one in container(pod).get("ports", [])),
    "kyverno/require-emptydir-requests-and-limits": lambda pod: all(
        "sizeLimit" in one["emptyDir"] for one in pod["spec"]["volumes"] if "emptyDir" in one
    ),
    "kyverno/disallow-capabilities-strict": lambda pod: security(pod)["capabilities"] == {"drop": ["ALL"]},
    "kyverno/disallow-host-namespaces": lambda pod: not HOST & set(pod["spec"]),
    "kyverno/disallow-host-ports": lambda pod: not any("hostPort" in one for one in container(pod).get("ports", [])),
    "kyverno/disallow-privileged-containers": lambda pod: "privileged" not in security(pod),
    "kyverno/disallow-privilege-escalation": lambda pod: security(pod)["allowPrivilegeEscalation"] is False,
    "kyverno/disallow-proc-mount": lambda pod: "procMount" not in security(pod),
    "kyverno/disallow-selinux": lambda pod: "seLinuxOptions" not in {**pod["spec"]["securityContext"], **security(pod)},
    "kyverno/require-run-as-nonroot": lambda pod: pod["spec"]["securityContext"]["runAsNonRoot"] is True,
    "kyverno/require-run-as-non-root-user": has_user,
    "kyverno/restrict-seccomp-strict": lambda pod: (
        pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    ),
    "kyverno/restrict-sysctls": lambda pod: "sysctls" not in pod["spec"]["securityContext"],
    "kyverno/restrict-volume-types": lambda pod: all(set(one) - {"name"} <= VOLUMES for one in pod["spec"]["volumes"]),
    "gatekeeper/k8scontainerlimits": lambda pod: {"limits.cpu", "limits.memory"} <= limits(pod),
    "gatekeeper/k8scontainerrequests": lambda pod: {"requests.cpu", "requests.memory"} <= limits(pod),
    "gatekeeper/k8scontainerephemeralstoragelimit": lambda pod: "limits.ephemeral-storage" in limits(pod),
    "gatekeeper/k8spspfsgroup": lambda pod: pod["spec"]["securityContext"].get("fsGroup", 1) > 0,
}
"""What is asked of each pod: true where it is kept."""


@pytest.mark.parametrize("policy", OF_PODS)
def test_every_pod_keeps_the_policy(policy):
    assert [place for place, pod, _ in pods() if not OF_PODS[policy](pod)] == []


def test_every_policy_of_pods_finds_what_breaks_it():
    """One pod that keeps none of them."""
    bad = {
        "image": "registry.example.com/job:latest",
        "resources": {"requests": {}, "limits": {}},
        "ports": [{"containerPort": 80, "hostPort": 80}],
        "securityContext": {
            "readOnlyRootFilesystem": False,
            "capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]},
            "privileged": True,
            "allowPrivilegeEscalation": True,
            "procMount": "Unmasked",
            "seLinuxOptions": {"type": "spc_t"},
        },
    }
    spec = {
        "containers": [bad],
        "hostNetwork": True,
        "automountServiceAccountToken": True,
        "volumes": [{"name": "root", "hostPath": {"path": "/"}}, {"name": "all", "emptyDir": {}}],
        "securityContext": {
            "runAsNonRoot": False,
            "runAsUser": 0,
            "fsGroup": 0,
            "seccompProfile": {"type": "Unconfined"},
            "sysctls": [{"name": "kernel.shm_rmid_forced", "value": "0"}],
        },
    }
    pod = {"metadata": {"labels": {"app.kubernetes.io/name": "other"}}, "spec": spec}
    assert [policy for policy, is_kept in OF_PODS.items() if is_kept(pod)] == []


def of_kind(objects, *kinds):
    return [one for one in objects if one["kind"] in kinds]


def matches(selector, pod):
    return selector["matchLabels"].items() <= pod["metadata"]["labels"].items()


def test_kyverno_require_pod_probes():
    """Of what runs on; a Job ends by itself, and Kyverno asks it of none."""
    servers = [(place, pod) for place, pod, made in pods() if made["kind"] == "Deployment"]
    assert len(servers) >= 3
    assert [place for place, pod in servers if not probes_differ(pod)] == []


def test_kyverno_require_labels_of_every_object():
    for name, objects in everything().items():
        for one in objects:
            labels = one["metadata"].get("labels", {})
            assert labels.get("app.kubernetes.io/name") == "tunewright", (name, one["kind"], one["metadata"]["name"])
            assert labels.get("app.kubernetes.io/part-of") == "tunewright", (name, one["kind"], one["metadata"]["name"])


def test_kyverno_require_image_checksum_and_gatekeeper_k8sallowedrepos():
    """Where an overlay names a digest and a registry, as it does once for both images."""
    pinned = [place for place, pod, _ in pods() if container(pod)["image"].endswith(f"@{DIGEST}")]
    assert {place.partition(":")[0] for place in pinned} == {
        "job with all components", "serving with all components", "job as jobset", "job as trainer", "submission",
    }  # fmt: skip
    for place, pod, _ in pods():
        if place in pinned:
            assert container(pod)["image"].startswith("registry.example.com/")
    assert HELM is None or f"image: registry.example.com/serving@{DIGEST}" in helm(
        "--set=image.repository=registry.example.com/serving", f"--set=image.digest={DIGEST}"
    ).replace('"', "")


def test_kyverno_disallow_secrets_from_env_vars():
    """But where a component is asked for that does just this."""
    for place, pod, _ in pods():
        sources = [one for one in container(pod)["envFrom"] if "secretRef" in one]
        sources += [one for one in container(pod)["env"] if "secretKeyRef" in one.get("valueFrom", {})]
        assert not sources or "with all components" in place, place


def test_kyverno_disallow_default_namespace():
    for name in ("overlays/local/job", "overlays/local/serving", "overlays/gpu/job", "overlays/gpu/serving"):
        for one in everything()[name]:
            assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "tunewright"


def test_kyverno_add_ttl_jobs_and_restrict_how_long_they_run():
    jobs = [one for objects in everything().values() for one in of_kind(objects, "Job")]
    assert jobs
    assert all({"ttlSecondsAfterFinished", "activeDeadlineSeconds", "backoffLimit"} <= set(one["spec"]) for one in jobs)


def test_kyverno_require_network_policy_and_require_pdb():
    for place, pod, made in pods():
        objects = everything()[place.partition(":")[0]]
        rules = [one["spec"] for one in of_kind(objects, "NetworkPolicy") if matches(one["spec"]["podSelector"], pod)]
        assert {kind for spec in rules for kind in spec["policyTypes"]} == {"Ingress", "Egress"}, place
        if made["kind"] == "Deployment":
            [budget] = of_kind(objects, "PodDisruptionBudget")
            assert matches(budget["spec"]["selector"], pod)
            assert pod["spec"]["topologySpreadConstraints"]
            assert budget["spec"]["minAvailable"] < made["spec"].get("replicas", 2)


def test_kyverno_prevent_bare_pods_and_what_gatekeeper_blocks_of_services():
    for name, objects in everything().items():
        assert not of_kind(objects, "Pod", "ReplicaSet", "Ingress", "ClusterRole", "ClusterRoleBinding", "Role"), name
        services = of_kind(objects, "Service")
        assert all(one["spec"].get("type", "ClusterIP") == "ClusterIP" for one in services)
        assert not any("externalIPs" in one["spec"] for one in services)
        selectors = [repr(one["spec"]["selector"]) for one in services]
        assert len(set(selectors)) == len(selectors)


def number(quantity):
    units = {"m": 1e-3, "": 1, "Mi": 2**20, "Gi": 2**30}
    value, unit = re.fullmatch(r"([0-9.]+)(\D*)", quantity).groups()
    return float(value) * units[unit]


def test_gatekeeper_k8scontainerratios():
    """What may be used is at most twice what is asked for, but on a laptop."""
    for place, pod, _ in pods():
        given = container(pod)["resources"]
        for name in ("cpu", "memory") if "local" not in place else ():
            assert number(given["limits"][name]) <= 2 * number(given["requests"][name]), (place, name)


def test_gatekeeper_verifydeprecatedapi():
    """Versions that every cluster of 1.29 and newer has, and those of operators that a component needs."""
    stable = {"v1", "apps/v1", "batch/v1", "networking.k8s.io/v1", "policy/v1", "autoscaling/v2"}
    versions = {one["apiVersion"] for objects in everything().values() for one in objects}
    assert {one for one in versions - stable if one.endswith(".k8s.io") or "/" not in one} == set()
    assert {one.partition("/")[0] for one in versions - stable} <= {
        "monitoring.coreos.com", "keda.sh", "jobset.x-k8s.io", "trainer.kubeflow.org",
    }  # fmt: skip

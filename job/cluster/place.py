"""Where an object lies in the API of a cluster."""

from urllib.parse import quote

from tunewright.job.cluster.kubectl import Document
from tunewright.job.errors import SettingsError

LABELS = {"app.kubernetes.io/name": "tunewright", "app.kubernetes.io/component": "job"}
"""Of every job, and of its pods."""


def jobs(namespace: str) -> str:
    """The jobs of a namespace."""
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def job(namespace: str, name: str) -> str:
    """One of them."""
    return f"{jobs(namespace)}/{quote(name, safe='')}"


def pods(namespace: str, name: str) -> str:
    """The pods of a job."""
    return f"/api/v1/namespaces/{namespace}/pods?labelSelector={_selector({'batch.kubernetes.io/job-name': name})}"


def all_pods(namespace: str) -> str:
    """The pods of all jobs of ours."""
    return f"/api/v1/namespaces/{namespace}/pods?labelSelector={_selector(LABELS)}"


def all_jobs(namespace: str) -> str:
    """The jobs of ours."""
    return f"{jobs(namespace)}?labelSelector={_selector(LABELS)}"


def log(namespace: str, pod: str) -> str:
    """What a pod's program writes, from its beginning to its end."""
    return f"/api/v1/namespaces/{namespace}/pods/{quote(pod, safe='')}/log?container=job&follow=true"


def kind_of(document: Document, namespace: str) -> str:
    """Where objects of this kind lie."""
    version, kind = document.get("apiVersion"), document.get("kind")
    if not isinstance(version, str) or not isinstance(kind, str):
        raise SettingsError(f"the overlay renders an object without apiVersion and kind: {str(document)[:100]}")
    group = f"/apis/{version}" if "/" in version else f"/api/{version}"
    inside = "" if kind == "Namespace" else f"/namespaces/{namespace}"
    return f"{group}{inside}/{_plural(kind.lower())}"


def _plural(word: str) -> str:
    if word.endswith("y"):
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith("s") else f"{word}s"


def _selector(labels: dict[str, str]) -> str:
    return quote(",".join(f"{name}={value}" for name, value in labels.items()), safe="")

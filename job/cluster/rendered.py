"""A submission: the job of an overlay under a name of its own, with these settings, and what must be there beside it.

The name is that of the model and a digest of the job as it is rendered (image, resources, registry) and its settings.
The same again has the same name, so a cluster never runs it twice at once, and whatever differs stands beside it.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime

import yaml

from tunewright.job.cluster.group import own_way, set_nodes
from tunewright.job.cluster.kubectl import Document
from tunewright.job.errors import SettingsError

RUN = "tunewright.org/run"
"""The label with the run id, of the job and of its pods."""
_RUN_ID = re.compile("[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
"""What a label can hold."""
DIGEST = "tunewright.org/digest"
"""The annotation with the whole digest that a job's name begins."""
SETTINGS = "job.yaml"
_LONGEST_MODEL = 36
"""Characters of a model's name in that of a job: with a digest, the time of a run and the number of a pod it must be a
label still."""
_BESIDE = ("ConfigMap", "NetworkPolicy", "PersistentVolumeClaim", "Service", "ServiceAccount")
"""What a job may need; it is made where it is missing, and never changed."""


@dataclass(frozen=True)
class Submission:
    """A job that can be created."""

    name: str
    namespace: str | None
    """The one that the overlay names."""
    job: Document
    settings: Document
    """The ConfigMap that belongs to the job, of the same name."""
    beside: Sequence[Document]
    own: Sequence[Document]
    """What belongs to the job as its settings do: the way of its pods to each other, where there are several."""
    space: Document | None
    """The namespace as an object, where the overlay has it."""
    run_id: str | None
    """The one that the settings name."""

    @property
    def digest(self) -> str:
        """What tells it from others."""
        return str(inner(self.job, "metadata", "annotations")[DIGEST])

    def with_run(self, run_id: str) -> Document:
        """The job with the id of its run, which its pods read from their label."""
        job = deepcopy(self.job)
        for metadata in (inner(job, "metadata"), inner(job, "spec", "template", "metadata")):
            inner(metadata, "labels")[RUN] = run_id
        return job


def run_id_of(name: str) -> str:
    """The id of a new run of a job."""
    return f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def submission(
    text: str,
    *,
    model: str | None,
    settings: str | None,
    run_id: str | None = None,
    image: str | None = None,
    variables: Mapping[str, str] | None = None,
    nodes: int | None = None,
) -> Submission:
    """What a rendered overlay comes to. SettingsError.

    `settings`: the text of a job's settings; those of the overlay where it is None. `model`, `run_id`: what they name,
    likewise.
    `nodes`: how many pods learn together; as many as the overlay says where it is None.
    """
    found = _documents(text)
    job = _only_job(found)
    container = _container(job)
    if image is not None:
        container["image"] = image
    if nodes is not None:
        set_nodes(inner(job, "spec"), entries(container, "env"), nodes)
    for name, value in (variables or {}).items():
        _set_variable(container, name, {"value": value})
    _set_variable(container, "JOB_RUN_ID", {"valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{RUN}']"}}})
    volume = _settings_volume(job)
    example = next((one for one in found if _is(one, "ConfigMap", str(volume["name"]))), None)
    settings = settings if settings is not None else _text_of(example)
    model, run_id = (model, run_id) if model is not None else _named(settings)
    if run_id is not None and not _RUN_ID.fullmatch(run_id):
        raise SettingsError(
            f"run_id is {run_id!r}, and a submission keeps it in a label; expected at most 63 letters, digits, "
            "'.', '_' and '-', a letter or digit at both ends"
        )
    rest = [one for one in found if one is not job and one is not example]
    digest = _digest(job, settings)
    name = f"{_label(model)}-{digest[:10]}"
    volume["name"] = name
    metadata = inner(job, "metadata")
    metadata["name"] = name
    space = metadata.pop("namespace", None)
    inner(metadata, "annotations")[DIGEST] = digest
    inner(metadata, "labels")["app.kubernetes.io/instance"] = name
    own = own_way(inner(job, "spec", "template", "metadata", "labels"), rest, name)
    return Submission(
        name,
        str(space) if space else None,
        job,
        _config_map(name, settings, inner(metadata, "labels")),
        [one for one in rest if one["kind"] != "Namespace" and one not in own],
        own,
        next((one for one in rest if one["kind"] == "Namespace"), None),
        run_id,
    )


def inner(document: Document, *path: str) -> Document:
    """The mapping at a place, made where it is missing. SettingsError where something else is there."""
    for word in path:
        found = document.setdefault(word, {})
        if not isinstance(found, dict):
            raise SettingsError(f"the overlay renders {word} as {found!r}; expected a mapping")
        document = found
    return document


def entries(document: Document, word: str) -> list[Document]:
    """The list of mappings at a place, made where it is missing."""
    found = document.setdefault(word, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise SettingsError(f"the overlay renders {word} as {found!r}; expected a list of mappings")
    return found


def _documents(text: str) -> list[Document]:
    found = [one for one in yaml.safe_load_all(text) if one]
    if not all(isinstance(one, dict) and isinstance(one.get("kind"), str) for one in found):
        raise SettingsError("the overlay renders what is no object of Kubernetes")
    return found


def _only_job(found: Sequence[Document]) -> Document:
    jobs = [one for one in found if one["kind"] == "Job"]
    if len(jobs) != 1:
        raise SettingsError(f"the overlay renders {len(jobs)} Jobs; a submission is one, as in k8s/job")
    others = sorted({str(one["kind"]) for one in found} - {"Job", "Namespace", *_BESIDE})
    if others:
        raise SettingsError(
            f"the overlay renders {', '.join(others)} beside the Job; a job is submitted alone, so name an overlay of "
            "k8s/job, and apply the rest with kubectl apply -k"
        )
    return jobs[0]


def _container(job: Document) -> Document:
    found = [one for one in entries(inner(job, "spec", "template", "spec"), "containers") if one.get("name") == "job"]
    if len(found) != 1:
        raise SettingsError("the overlay's Job has no container called job; overlays change that of k8s/job")
    return found[0]


def _settings_volume(job: Document) -> Document:
    volumes = entries(inner(job, "spec", "template", "spec"), "volumes")
    found = next((one for one in volumes if one.get("name") == "settings"), None)
    if found is None:
        raise SettingsError("the overlay's Job has no volume called settings; overlays change that of k8s/job")
    return inner(found, "configMap")


def _set_variable(container: Document, name: str, value: Document) -> None:
    variables = entries(container, "env")
    variables[:] = [one for one in variables if one.get("name") != name] + [{"name": name, **value}]


def _is(document: Document, kind: str, name: str) -> bool:
    return document["kind"] == kind and inner(document, "metadata").get("name") == name


def _text_of(example: Document | None) -> str:
    text = inner(example, "data").get(SETTINGS) if example is not None else None
    if not isinstance(text, str):
        raise SettingsError("the overlay holds no settings of a job; name a file of them with --config")
    return text


def _named(settings: str) -> tuple[str, str | None]:
    """The model and the run that settings name."""
    found = yaml.safe_load(settings)
    tree = found if isinstance(found, dict) else {}
    name, run_id = tree.get("model_name"), tree.get("run_id")
    if not isinstance(name, str):
        raise SettingsError("the settings of the overlay name no model (model_name); name a file with --config")
    return name, None if run_id is None else str(run_id)


def _digest(job: Document, settings: str) -> str:
    told = json.dumps([job, settings], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _label(model: str) -> str:
    """A model's name as part of the name of an object."""
    return re.sub("[^a-z0-9]+", "-", model.lower())[:_LONGEST_MODEL].strip("-")


def _config_map(name: str, settings: str, labels: Document) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": dict(labels)},
        "data": {SETTINGS: settings},
        "immutable": True,
    }

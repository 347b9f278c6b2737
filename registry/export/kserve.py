"""A version as KServe serves it: a plain folder `model/`, and the objects that run our server on it, `kserve.yaml`.

KServe copies what `storageUri` names to `/mnt/models` before the server starts. The record of a pull goes with the
files, so that the server compares each with its digest after that journey.
"""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path

import yaml

from tunewright.registry.errors import BadReference
from tunewright.registry.export.folder import Exported, files_in, whole
from tunewright.registry.export.mlflow import to_answer
from tunewright.registry.gates.evidence import MODEL, evidence
from tunewright.registry.oci.address import check_image
from tunewright.registry.stores.store import Store, open_store
from tunewright.registry.transfer.download import sha256_of
from tunewright.registry.upkeep.update import write_record
from tunewright.registry.versions.layout import check_line
from tunewright.registry.versions.pull import pull_into, writable
from tunewright.registry.versions.record import Version

FILES, OBJECTS = "model", "kserve.yaml"
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_LABELS = {"app.kubernetes.io/name": "tunewright", "app.kubernetes.io/component": "serving"}


@dataclass(frozen=True)
class Asked:
    """What the objects say that the version does not."""

    image: str | None = None
    """Of the server; None: as `make images` names it."""
    storage_uri: str | None = None
    """Where a cluster finds `model/`; None: where it is written."""


def export_kserve(store: Store, version: Version, target: str, *, cache: Path, asked: Asked) -> Exported:
    """Write the folder, or the objects of a bucket below `s3://bucket/prefix`, `kserve.yaml` as the last.

    Raises BadReference for a version that no job of this program has made, for a folder of this machine without a
    `storage_uri`, and where something else is there already; Conflict.
    """
    variant = evidence(store, version, cache=cache, files=(MODEL,), rows=False).served
    if variant is None:
        raise BadReference(
            f"{version} carries no model.json with a variant to serve: it was not made by a job of this program, and "
            "its server cannot answer with it"
        )
    is_bucket = target.startswith("s3://")
    storage_uri = asked.storage_uri
    if storage_uri is None and is_bucket:
        storage_uri = f"{target.rstrip('/')}/{FILES}"
    if storage_uri is None:
        raise BadReference(
            f"no cluster reaches the folder {target}; say where its {FILES}/ will lie, as in --storage-uri "
            "pvc://models/reviews, or export to s3://bucket/prefix"
        )
    told = objects(version, storage_uri, asked.image)
    if not is_bucket:
        with whole(Path(target)) as folder:
            _write(store, version, folder, variant, told)
            return Exported(version, str(Path(target).absolute()), files_in(folder))
    with writable(cache):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="export-") as made:
            _write(store, version, Path(made), variant, told)
            _send(Path(made), target)
            return Exported(version, target.rstrip("/"), files_in(Path(made)))


def objects(version: Version, storage_uri: str, image: str | None) -> list[dict[str, object]]:
    """The ServingRuntime and the InferenceService. Raises BadReference, AddressError for what is no address."""
    check_line(storage_uri, "the address")
    if not _URI.fullmatch(storage_uri):
        raise BadReference(
            f"--storage-uri is {storage_uri!r}; expected an address without blanks, as in pvc://models/reviews"
        )
    if image is not None:
        check_image(image)
    service: dict[str, object] = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            # A name of the DNS has no dots and lines below.
            "name": re.sub(r"[._]", "-", version.name),
            "labels": _LABELS,
            "annotations": {"tunewright.org/version": str(version), "tunewright.org/digest": version.digest},
        },
        "spec": {
            "predictor": {
                "model": {
                    "modelFormat": {"name": "tunewright"},
                    "runtime": "tunewright",
                    "protocolVersion": "v2",
                    "storageUri": storage_uri,
                }
            }
        },
    }
    return [_runtime(image or f"localhost/tunewright-serving:{version_of('tunewright')}"), service]


def _runtime(image: str) -> dict[str, object]:
    """Our server on what KServe has put into `/mnt/models`, under the name of the InferenceService."""
    threads = {"name": "SERVING_THREADS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}
    container = {
        "name": "kserve-container",
        "image": image,
        "args": ["serve", "{{.Name}}=/mnt/models"],
        "env": [threads],
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 2, "timeoutSeconds": 2},
        "livenessProbe": {"httpGet": {"path": "/livez", "port": 8080}, "periodSeconds": 10, "timeoutSeconds": 5},
        "resources": {"requests": {"cpu": "1", "memory": "512Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        },
    }
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": "tunewright", "labels": _LABELS},
        "spec": {
            "annotations": {"prometheus.kserve.io/port": "8080", "prometheus.kserve.io/path": "/metrics"},
            "supportedModelFormats": [{"name": "tunewright", "version": "1", "autoSelect": True}],
            "protocolVersions": ["v1", "v2"],
            "containers": [container],
        },
    }


def _write(store: Store, version: Version, folder: Path, variant: str, told: Sequence[dict[str, object]]) -> None:
    only = to_answer(variant)
    pulled = pull_into(store, version, folder / FILES, only=only)
    write_record(folder / FILES, version, [layer for layer in pulled.manifest.layers if only(layer.path)], variant)
    # Each value is written out: an anchor is legal YAML that not every reader of manifests takes.
    texts = [yaml.dump(one, Dumper=_Plain, sort_keys=False, allow_unicode=True) for one in told]
    (folder / OBJECTS).write_text("---\n".join(texts), encoding="utf-8")


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def _send(folder: Path, target: str) -> None:
    """The files as objects. What an export that was stopped has left is written again."""
    bucket, planned = open_store(target, foreign=True), files_in(folder)
    last = (folder / OBJECTS).read_bytes()
    there = [stat.key for stat in bucket.list("")]
    if strangers := sorted(set(there) - set(planned)):
        raise BadReference(f"{target} holds {strangers[0]} already; choose a prefix that is new or empty")
    if OBJECTS in there and bucket.read(OBJECTS) != last:
        raise BadReference(f"{target} holds another export already; choose a prefix that is new or empty")
    for path in planned:
        if path != OBJECTS:
            bucket.upload(path, folder / path, sha256=sha256_of(folder / path))
    bucket.create(OBJECTS, last)

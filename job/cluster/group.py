"""Several pods of one job: as many as are asked for, and a way to each other that no other job has."""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tunewright.job.cluster.kubectl import Document, Kubectl
from tunewright.job.errors import SettingsError

GROUP = "tunewright.org/group"
"""The label of the pods that learn together."""
_TRIES = 3
"""Of a pod that fails."""


def render(kubectl: Kubectl, overlay: Path, component: Path) -> str:
    """What an overlay comes to, with the component for several pods where it has not got it itself."""
    text = kubectl.render(overlay)
    if "completionMode: Indexed" in text:
        return text
    with tempfile.TemporaryDirectory(prefix="tunewright-") as made:
        folder = Path(made).resolve()
        content = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(overlay.resolve(), folder)],
            "components": [os.path.relpath(component.resolve(), folder)],
        }
        (folder / "kustomization.yaml").write_text(json.dumps(content))
        return kubectl.render(folder)


def set_nodes(spec: Document, variables: Sequence[Document], nodes: int) -> None:
    """Make a job one of so many pods. `spec`: of the job; `variables`: of its container. SettingsError."""
    told = next((one for one in variables if one.get("name") == "PET_NNODES"), None)
    if spec.get("completionMode") != "Indexed" or told is None:
        raise SettingsError(
            f"--nodes is {nodes}, and the overlay's Job is not that of components/nodes; add that to it"
        )
    spec |= {"completions": nodes, "parallelism": nodes, "backoffLimit": _TRIES * nodes}
    told["value"] = str(nodes)


def own_way(labels: Document, beside: Sequence[Document], name: str) -> list[Document]:
    """The policies that let the pods of a group reach each other, as they are for the job of this name alone.

    `labels`: of its pods; what is returned is changed in place, as they are."""
    if GROUP not in labels:
        return []
    labels[GROUP] = name
    own = [one for one in beside if one["kind"] == "NetworkPolicy" and GROUP in json.dumps(one)]
    for policy in own:
        _rename(policy, name)
        metadata = policy["metadata"]
        assert isinstance(metadata, dict)
        metadata["name"] = f"{name}-{metadata['name']}"
    return own


def _rename(value: object, name: str) -> None:
    if isinstance(value, dict):
        if GROUP in value:
            value[GROUP] = name
        for inner in value.values():
            _rename(inner, name)
    elif isinstance(value, list):
        for inner in value:
            _rename(inner, name)

"""Objects of Kubernetes and of its neighbours held against their schemas, with every unknown field refused."""

import json
from functools import cache

import kubernetes_validate
from crds import refused

_OF_NEIGHBOURS = ("JobSet", "TrainingRuntime", "TrainJob")


def validate(manifest, version):
    """One object as a cluster of this version takes it, with the custom resources that are installed there."""
    if manifest["kind"] not in _OF_NEIGHBOURS:
        _validate(json.dumps(manifest), version)
        return
    assert refused(manifest) == []
    for job in jobs_of(manifest):
        # What is embedded is a Job like any other.
        whole = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": job}
        _validate(json.dumps(whole), version)


@cache
def _validate(manifest, version):
    """Once for what stands in many renderings: the schemas are read anew each time."""
    kubernetes_validate.validate(json.loads(manifest), version, strict=True)


def jobs_of(manifest):
    """The specs of the Jobs in an object."""
    spec = manifest.get("spec", {})
    if manifest["kind"] == "TrainingRuntime":
        spec = spec["template"]["spec"]
    if manifest["kind"] == "Job":
        return [spec]
    return [one["template"]["spec"] for one in spec.get("replicatedJobs", [])]

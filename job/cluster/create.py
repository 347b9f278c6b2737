"""Bring a submission into the cluster: what it needs beside it where that is missing, its settings, the job.

Nothing that is there is changed, and of what has not ended nothing is removed. The order: the settings, then the job,
then the settings are the job's, so that they go with it.
"""

from dataclasses import dataclass

from tunewright.job.cluster import place
from tunewright.job.cluster.kubectl import AlreadyThere, ClusterError, Document, Forbidden, Kubectl, NotThere
from tunewright.job.cluster.rendered import Submission, inner, run_id_of
from tunewright.job.cluster.state import JobSeen, State, read_job, read_pods, state_of
from tunewright.job.errors import SettingsError


@dataclass(frozen=True)
class Submitted:
    """A job that is in the cluster."""

    job: JobSeen
    is_new: bool
    state: State
    """Of one that was there before, how it stood."""


def create(
    kubectl: Kubectl, submission: Submission, namespace: str, *, again: bool = False, space: Document | None = None
) -> Submitted:
    """The job of a submission in a namespace: a new one, or that which was submitted before.

    `again`: one that has ended is made anew. A run that failed goes on under its own id, from its last checkpoint where
    it keeps them; one that is complete gets another, unless the settings name it. `space`: the namespace, where it is
    to be made if it is missing. ClusterError.
    """
    if space:
        _make(kubectl, space, namespace, name=namespace)
    run_id = submission.run_id or run_id_of(submission.name)
    there = job_of(kubectl, namespace, submission.name)
    if there is not None:
        state = state_of(there, read_pods(kubectl.get(place.pods(namespace, submission.name))))
        if there.digest != submission.digest:
            raise ClusterError(
                f"a job {submission.name} is in {namespace} that was not submitted like this one; remove it, or rename "
                "the model"
            )
        if not (again and there.end):
            return Submitted(there, False, state)
        run_id = there.run_id if state.word == "failed" and there.run_id else run_id
        kubectl.delete(place.job(namespace, submission.name))
    try:
        made = _create_all(kubectl, submission, namespace, run_id)
    except AlreadyThere:  # somebody else submitted the same at the same moment
        there = job_of(kubectl, namespace, submission.name)
        if there is None:
            raise
        return Submitted(there, False, state_of(there, []))
    return Submitted(made, True, state_of(made, []))


def job_of(kubectl: Kubectl, namespace: str, name: str) -> JobSeen | None:
    """A job by its name; None where it is not there. ClusterError."""
    try:
        return read_job(kubectl.get(place.job(namespace, name)))
    except NotThere:
        return None


def _create_all(kubectl: Kubectl, submission: Submission, namespace: str, run_id: str) -> JobSeen:
    for document in submission.beside:
        _make(kubectl, document, namespace)
    belongs = [submission.settings, *submission.own]
    made = [one for one in belongs if _make(kubectl, one, namespace)]
    try:
        job = read_job(kubectl.create(place.jobs(namespace), _placed(submission.with_run(run_id), namespace)))
    except AlreadyThere:
        raise
    except ClusterError:
        for one in made:
            kubectl.delete(_path(one, namespace))
        raise
    for one in belongs:
        _give(kubectl, one, job, namespace)
    return job


def _make(kubectl: Kubectl, document: Document, namespace: str, *, name: str | None = None) -> bool:
    """Create an object where there is none of its name; whether it was created."""
    if name is not None:
        document = {**document, "metadata": {**inner(document, "metadata"), "name": name}}
    try:
        kubectl.create(place.kind_of(document, namespace), _placed(document, namespace))
    except AlreadyThere:
        return False
    except NotThere:
        raise SettingsError(
            f"there is no namespace {namespace} in the cluster; name yours with --namespace, or say --create-namespace"
        ) from None
    except Forbidden:  # whoever may not make one need not, where it is there
        kubectl.get(_path(document, namespace))
        return False
    return True


def _give(kubectl: Kubectl, document: Document, job: JobSeen, namespace: str) -> None:
    """The settings, and what else is the job's alone: the cluster removes it with the job."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job.metadata.name, "uid": job.metadata.uid}
    owned = _placed(document, namespace)
    inner(owned, "metadata")["ownerReferences"] = [owner]
    try:
        kubectl.replace(_path(document, namespace), owned)
    except NotThere:  # it went with an older job of that name
        kubectl.create(place.kind_of(document, namespace), owned)


def _path(document: Document, namespace: str) -> str:
    return f"{place.kind_of(document, namespace)}/{inner(document, 'metadata')['name']}"


def _placed(document: Document, namespace: str) -> Document:
    metadata = dict(inner(document, "metadata"))
    if document["kind"] != "Namespace":
        metadata["namespace"] = namespace
    return {**document, "metadata": metadata}

"""How a job stands, from what the cluster says of it and of its pods.

A job has ended when it is Complete or Failed. Whatever else it is, it runs: suspended by a queue, waiting for room, or
for its next try.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tunewright.job.cluster.kubectl import ClusterError, Document
from tunewright.job.cluster.rendered import DIGEST, RUN

Word = Literal["complete", "failed", "suspended", "running", "pending", "between tries", "waiting"]
_CODE = re.compile(r"exit code ([0-9]+)")
_INDEX = "batch.kubernetes.io/job-completion-index"
CONTAINER = "job"


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Condition(_Part):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class _Metadata(_Part):
    name: str
    uid: str = ""
    created: str = Field(default="", alias="creationTimestamp")
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class _JobSpec(_Part):
    suspend: bool = False


class _JobStatus(_Part):
    conditions: list[_Condition] = []
    failed: int = 0


class JobSeen(_Part):
    """A Job as the cluster keeps it."""

    metadata: _Metadata
    spec: _JobSpec
    status: _JobStatus = _JobStatus()

    @property
    def run_id(self) -> str:
        """Of its run; empty where it was not submitted by this program."""
        return self.metadata.labels.get(RUN, "")

    @property
    def digest(self) -> str:
        """What tells it from other submissions; empty likewise."""
        return self.metadata.annotations.get(DIGEST, "")

    @property
    def end(self) -> _Condition | None:
        """How it ended; None while it has not."""
        ends = {one.type: one for one in self.status.conditions if one.status == "True"}
        return ends.get("Complete") or ends.get("Failed")


class _Waiting(_Part):
    reason: str = ""
    message: str = ""


class _Terminated(_Part):
    code: int = Field(alias="exitCode")
    reason: str = ""
    finished: str = Field(default="", alias="finishedAt")


class _ContainerState(_Part):
    waiting: _Waiting | None = None
    terminated: _Terminated | None = None
    running: dict[str, object] | None = None


class _Container(_Part):
    name: str
    state: _ContainerState = _ContainerState()


class _PodStatus(_Part):
    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[_Condition] = []
    containers: list[_Container] = Field(default=[], alias="containerStatuses")


class PodSeen(_Part):
    """A pod of a Job."""

    metadata: _Metadata
    status: _PodStatus = _PodStatus()

    @property
    def leads(self) -> bool:
        """Whether its log is that of the job: it is alone, or the first of several."""
        return self.metadata.annotations.get(_INDEX, "0") == "0"

    @property
    def job(self) -> str:
        """The name of its Job."""
        return self.metadata.labels.get("batch.kubernetes.io/job-name", "")

    @property
    def state(self) -> _ContainerState:
        """Of the container that is the job."""
        return next((one.state for one in self.status.containers if one.name == CONTAINER), _ContainerState())

    @property
    def has_begun(self) -> bool:
        """Whether its program has written anything that could be read."""
        return self.state.running is not None or self.state.terminated is not None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state.terminated is not None or self.status.phase in ("Succeeded", "Failed")

    @property
    def trouble(self) -> str:
        """Why it does not begin, or was ended from outside: an image that cannot be pulled, no node with room, a folder
        that is full. Empty where nothing is said."""
        waiting = self.state.waiting
        if self.status.reason or self.status.message:
            return ": ".join(filter(None, (self.status.reason, self.status.message)))
        if waiting is not None and waiting.reason not in ("", "ContainerCreating", "PodInitializing"):
            return ": ".join(filter(None, (waiting.reason, waiting.message)))
        ready = next((one for one in self.status.conditions if one.type == "PodScheduled"), None)
        return ready.message if ready is not None and ready.status == "False" else ""


@dataclass(frozen=True)
class State:
    """How a job stands, in a word and in a sentence."""

    word: Word
    reason: str = ""
    code: int | None = None
    """The exit code of a job that has ended."""

    def __str__(self) -> str:
        code = f" (exit code {self.code})" if self.code else ""
        return f"{self.word}{code}" + (f": {self.reason}" if self.reason else "")


def state_of(job: JobSeen, pods: Sequence[PodSeen]) -> State:
    """How a job with these pods stands."""
    if (end := job.end) is not None:
        if end.type == "Complete":
            return State("complete", code=0)
        return State("failed", _why(end, pods), _code(end, pods))
    if job.spec.suspend:
        return State("suspended", "it waits until a queue, or whoever suspended it, lets it go on")
    there = [pod for pod in pods if not pod.has_ended]
    if any(pod.state.running is not None for pod in there):
        return State("running")
    if there:
        return State("pending", next((pod.trouble for pod in there if pod.trouble), ""))
    ended = [pod for pod in pods if pod.has_ended]
    if ended or job.status.failed:
        last = max(ended, key=_finished, default=None)
        return State("between tries", _of_try(last) if last is not None else "")
    return State("waiting", "it has no pod yet")


def _why(end: _Condition, pods: Sequence[PodSeen]) -> str:
    """Why it failed: what ended a pod from outside says more than that there were too many tries."""
    troubles = [pod.trouble for pod in sorted(pods, key=_finished, reverse=True) if pod.trouble]
    return ": ".join(filter(None, (end.reason, end.message))) + (f"; {troubles[0]}" if troubles else "")


def _code(end: _Condition, pods: Sequence[PodSeen]) -> int:
    """The one that ended it; else that of the last pod; 1 where no pod is left to tell."""
    if told := _CODE.search(end.message):
        return int(told[1])
    last = [pod.state.terminated for pod in sorted(pods, key=_finished) if pod.state.terminated]
    return next((one.code for one in reversed(last) if one is not None and one.code), 1)


def _of_try(pod: PodSeen) -> str:
    ended = pod.state.terminated
    said = f"{pod.metadata.name} ended with exit code {ended.code}" if ended else f"{pod.metadata.name} ended"
    return said + (f" ({pod.trouble})" if pod.trouble else "")


def _finished(pod: PodSeen) -> str:
    ended = pod.state.terminated
    return ended.finished if ended is not None else pod.metadata.created


def read_job(document: Document) -> JobSeen:
    """A Job out of the API's answer. ClusterError."""
    try:
        return JobSeen.model_validate(document)
    except ValidationError as error:
        raise ClusterError(f"the cluster answered what is no Job: {error.errors()[0]['msg']}") from None


def read_list(document: Document) -> list[Document]:
    """The objects of a list."""
    found = document.get("items")
    return found if isinstance(found, list) else []


def read_pods(document: Document) -> list[PodSeen]:
    """The pods of a list, the oldest first. ClusterError."""
    try:
        pods = [PodSeen.model_validate(one) for one in read_list(document)]
    except ValidationError as error:
        raise ClusterError(f"the cluster answered what is no pod: {error.errors()[0]['msg']}") from None
    return sorted(pods, key=lambda pod: (pod.metadata.created, pod.metadata.name))

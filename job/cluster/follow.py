"""Follow a job to its end: the log of each of its pods as it is written, how it stands in between, its exit code."""

import time
from collections.abc import Callable

from tunewright.job.cluster import place
from tunewright.job.cluster.create import job_of
from tunewright.job.cluster.kubectl import ClusterError, Kubectl
from tunewright.job.cluster.state import PodSeen, read_pods, state_of

_PAUSE = 2.0
"""Seconds between two looks."""
_MISSES = 30
"""Looks in a row that may fail before the following is given up: a minute and more."""


def follow(
    kubectl: Kubectl,
    namespace: str,
    name: str,
    *,
    write: Callable[[bytes], None],
    tell: Callable[[str], None],
    pause: Callable[[], None] = lambda: time.sleep(_PAUSE),
) -> int:
    """The exit code of a job once it has ended. `write`: takes its log; `tell`: takes sentences about it.

    ClusterError where the job is removed meanwhile, or the cluster does not answer for a minute."""
    followed = _Followed(kubectl, namespace, name, write, tell)
    misses = 0
    while True:
        try:
            code = followed.look()
            misses = 0
        except _Gone:
            raise
        except ClusterError as error:
            misses += 1
            if misses == 1:
                tell(f"the cluster does not answer: {error}")
            if misses >= _MISSES:
                raise
            code = None
        if code is not None:
            return code
        pause()


class _Gone(ClusterError):
    """The job is there no more."""


class _Followed:
    """What of a job has been told."""

    def __init__(
        self,
        kubectl: Kubectl,
        namespace: str,
        name: str,
        write: Callable[[bytes], None],
        tell: Callable[[str], None],
    ) -> None:
        self._kubectl, self._namespace, self._name = kubectl, namespace, name
        self._write, self._tell = write, tell
        self._written: dict[str, int] = {}
        """Bytes of the log of each pod."""
        self._done: set[str] = set()
        self._said = ""

    def look(self) -> int | None:
        """Tell what is new; the exit code once the job has ended."""
        job = job_of(self._kubectl, self._namespace, self._name)
        if job is None:
            raise _Gone(f"the job {self._name} was removed from {self._namespace}: nothing more is known of it")
        pods = read_pods(self._kubectl.get(place.pods(self._namespace, self._name)))
        state = state_of(job, pods)
        if state.code is None:
            self._say(str(state))
        for pod in pods:
            if pod.leads and pod.has_begun and pod.metadata.name not in self._done:
                self._log(pod)
        if state.code is not None:
            self._say(str(state))
        return state.code

    def _log(self, pod: PodSeen) -> None:
        """What a pod has written and writes, from where the last look ended."""
        name = pod.metadata.name
        skip, seen = self._written.get(name, 0), 0
        for piece in self._kubectl.log(place.log(self._namespace, name)):
            new = piece[max(0, skip - seen) :]
            seen += len(piece)
            if new:
                self._write(new)
        self._written[name] = max(skip, seen)
        # One that still runs is looked at again: the connection may have been cut.
        if pod.has_ended:
            self._done.add(name)

    def _say(self, sentence: str) -> None:
        if sentence != self._said:
            self._said = sentence
            self._tell(f"{self._name}: {sentence}")

"""The threads of an engine: several runs of a graph at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tunewright.serving.runtime.capacity import Capacity, available_cpus

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """Threads for the runs of one engine; used by several callers at once.

    One thread a run and several runs at once beat several threads in one run on rows this short.
    """

    def __init__(self, capacity: Capacity) -> None:
        self._pool = ThreadPoolExecutor(capacity.threads or available_cpus(), thread_name_prefix="predictor")

    def each(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """The result for each item, in their order. A single one is worked on in the caller's thread."""
        if len(items) == 1:
            return [work(items[0])]
        return list(self._pool.map(work, items))

    def close(self) -> None:
        """End the threads; runs in flight finish first."""
        self._pool.shutdown(wait=True)

"""The same step for several things at once; the first error stops what has not begun."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_WORKERS = 10

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(step: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The results in the order of the items. Raises what the first failing step raised."""
    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="registry")
    try:
        return list(pool.map(step, items))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

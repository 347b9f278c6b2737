"""The journal of an Optuna study in a store: one create-only object a line, so that several processes share it."""

import json
from collections.abc import Iterator
from typing import Any

from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.stores.store import Store

_Line = dict[str, Any]


class StoreJournal:
    """What `optuna.storages.JournalStorage` asks of a backend, over a folder or a bucket.

    A line is created under the number after the last one that is known, and nobody overwrites it: whoever comes too
    late takes the next number. So there are no gaps, the first number that is missing is the end, and each process
    reads the same lines in the same order.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next = 0

    def read_logs(self, log_number_from: int) -> Iterator[_Line]:
        """The lines from this number on."""
        number = log_number_from
        while True:
            key = _key(number)
            try:
                line = self._store.read(key)
            except NotFound:
                return
            number += 1
            self._next = max(self._next, number)
            yield self._parsed(key, line)

    def append_logs(self, logs: list[_Line]) -> None:
        """Add lines, behind those that others have added meanwhile."""
        for log in logs:
            line = json.dumps(log).encode()
            while not self._store.create(_key(self._next), line):
                self._next += 1
            self._next += 1

    def _parsed(self, key: str, line: bytes) -> _Line:
        try:
            parsed = json.loads(line)
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict):
            raise CorruptObject(
                f"{key!r} in {self._store.uri} is not a line of a study; begin another one with --study"
            )
        return parsed


def _key(number: int) -> str:
    return f"journal/{number:020d}.json"

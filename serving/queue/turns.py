"""Small requests before large ones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

_PATIENCE_SECONDS = 0.02
"""How long a large request lets small ones go first, where there always are some."""


class Turns:
    """Large requests are read one at a time, while no small one is worked on, or after some patience.

    Reading a body holds the lock of the interpreter. Each call of a decoder gives that away for a moment, and a small
    request would wait for large bodies at every one of them. To be used from one thread, that of the event loop.
    """

    def __init__(self) -> None:
        self._small = 0
        self._free, self._one = asyncio.Event(), asyncio.Lock()
        self._free.set()

    def small(self) -> AbstractContextManager[None]:
        """While a small request is worked on."""
        return _Small(self)

    def enter(self) -> None:
        """One more small request is worked on."""
        self._small += 1
        self._free.clear()

    def leave(self) -> None:
        """One of them is done."""
        self._small -= 1
        if not self._small:
            self._free.set()

    @asynccontextmanager
    async def large(self) -> AsyncIterator[None]:
        """While a large request is read."""
        async with self._one:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._free.wait()
            yield


@dataclass(slots=True)
class _Small(AbstractContextManager[None]):
    turns: Turns

    def __enter__(self) -> None:
        self.turns.enter()

    def __exit__(self, *_: object) -> None:
        self.turns.leave()

"""Windows through one graph: the engine of a task that answers per token."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np

from tunewright.serving.engines.text import TextEngine
from tunewright.serving.errors import InputError
from tunewright.serving.runtime.runs import finite
from tunewright.serving.runtime.session import Array, TimeLimit
from tunewright.serving.text.encoding import Encoded
from tunewright.serving.text.windows import Windowed

_TOKENS_AT_ONCE = 1 << 16
"""Tokens whose outputs are held at the same time: memory does not grow with the length of a request's texts."""


Input = TypeVar("Input")
Parameters = TypeVar("Parameters")


class WindowEngine(Generic[Input, Parameters]):
    """One variant of a bundle whose graph gives numbers per token.

    `cut`: an input and the checked parameters to windows. `answer`: the windows, one output `[T, ...]` of each, and
    the parameters to an answer. `defaults`: the parameters of a caller who sets none.
    """

    def __init__(
        self,
        text: TextEngine,
        *,
        cut: Callable[[Input, Parameters], Windowed],
        answer: Callable[[Windowed, list[Array], Parameters], object],
        defaults: Parameters,
    ) -> None:
        self.text, self.run_size = text, text.run_size
        self._cut, self._answer, self._defaults = cut, answer, defaults

    def prepare(
        self, inputs: Sequence[Input], parameters: Parameters, *, limit: TimeLimit | None = None, first: int = 0
    ) -> list[Windowed]:
        """Tokenize and cut into windows."""
        return [self._one(number, one, parameters) for number, one in enumerate(inputs, first)]

    def estimate(self, one: Input) -> int:
        """Tokens of all its windows, where these hardly overlap."""
        return self.text.estimate(one)

    def parts(self, row: Windowed) -> list[Encoded]:
        """Its windows."""
        return [window.row for window in row.windows]

    def size(self, part: Encoded) -> int:
        """Its tokens."""
        return len(part)

    def run_once(self, parts: Sequence[Encoded], *, limit: TimeLimit | None = None) -> list[Array]:
        """The numbers `[T, ...]` of each window of a run."""
        return self.text.run_once(parts, limit=limit, per_token=True)

    def joined(self, row: Windowed, outputs: Sequence[Array]) -> list[Array]:
        """Those of all its windows."""
        return list(outputs)

    def run(self, rows: Sequence[Windowed], *, limit: TimeLimit | None = None) -> Iterator[list[Array]]:
        """The outputs of each input's windows; windows of several inputs share runs."""
        for group in _groups(rows):
            windows = [window.row for row in group for window in row.windows]
            outputs = finite(self.text.run(windows, limit=limit, per_token=True) if windows else [])
            for row in group:
                yield [next(outputs) for _ in row.windows]

    def answer(self, row: Windowed, output: list[Array], parameters: Parameters) -> object:
        """What the task makes of the windows."""
        return self._answer(row, output, parameters)

    def outputs(self, inputs: Sequence[Input]) -> list[Array]:
        """What the model gave for each input: the rows of all its windows, one after the other."""
        nothing = np.zeros((0, 1), dtype=np.float32)
        rows = self.prepare(inputs, self._defaults)
        return [np.concatenate(outputs) if outputs else nothing for outputs in self.run(rows)]

    def close(self) -> None:
        """End the threads."""
        self.text.close()

    def _one(self, number: int, one: Input, parameters: Parameters) -> Windowed:
        try:
            return self._cut(one, parameters)
        except InputError as error:
            raise InputError(f"input {number}: {error}") from error


def _groups(rows: Sequence[Windowed]) -> Iterator[list[Windowed]]:
    group: list[Windowed] = []
    tokens = 0
    for row in rows:
        size = sum(len(window.row) for window in row.windows)
        if group and tokens + size > _TOKENS_AT_ONCE:
            yield group
            group, tokens = [], 0
        group.append(row)
        tokens += size
    if group:
        yield group

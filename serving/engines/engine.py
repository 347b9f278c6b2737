"""What a loaded variant can do: inputs to rows, rows through the model, and each row's output to an answer."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from tunewright.serving.generation.sequences import Finish, OnText
from tunewright.serving.runtime.session import Array, TimeLimit

VECTOR = "vector"
"""What a graph calls the vectors `[B, D]` of which it makes its logits, where it hands them out."""


class Row(Protocol):
    """One input as the model reads it."""

    @property
    def truncated(self) -> bool:
        """Whether a part of the input was left out."""


Input = TypeVar("Input", contravariant=True)
"""One checked input of a request."""
Parameters = TypeVar("Parameters", contravariant=True)
"""The checked parameters of a request."""
PreparedRow = TypeVar("PreparedRow", bound=Row)
Output = TypeVar("Output")
"""What the model gave for one row."""


class Engine(Protocol[Input, Parameters, PreparedRow, Output]):
    """One variant of a bundle, loaded; used by several threads at once."""

    def prepare(
        self, inputs: Sequence[Input], parameters: Parameters, *, limit: TimeLimit | None = None
    ) -> Sequence[PreparedRow]:
        """Checked inputs to what the model reads; what the model itself must know of the parameters is in the rows."""

    def run(self, rows: Sequence[PreparedRow], *, limit: TimeLimit | None = None) -> Iterable[Output]:
        """What the model gives for each row, in their order. Rows may be those of several requests.

        ModelFault when the model gives numbers that no answer can be made of.
        """

    def answer(self, row: PreparedRow, output: Output, parameters: Parameters) -> object:
        """The answer to one row, of which JSON can be made."""

    def outputs(self, inputs: Sequence[Input]) -> list[Array]:
        """Raw numbers of the model, one array of any shape per input."""

    def close(self) -> None:
        """End what was started; runs in flight finish first."""


Part = TypeVar("Part")
"""What goes through a graph by itself: a row, or a window of it."""


@runtime_checkable
class RunEngine(Protocol[Input, Parameters, PreparedRow, Part]):
    """An engine whose rows go through one graph in runs that somebody else forms, of the rows of several requests."""

    run_size: int
    """Most that the parts of a run may be, their number times the largest; 0: each part runs alone."""

    def estimate(self, one: Input) -> int:
        """The size that an input will probably have."""

    def prepare(
        self, inputs: Sequence[Input], parameters: Parameters, *, limit: TimeLimit | None = None, first: int = 0
    ) -> Sequence[PreparedRow]:
        """As any engine. `first`: the number of the first of these inputs in its request, for errors to name."""

    def parts(self, row: PreparedRow) -> Sequence[Part]:
        """What of a row goes through the graph."""

    def size(self, part: Part) -> int:
        """Its length in tokens, or 1 where all are equal."""

    def run_once(self, parts: Sequence[Part], *, limit: TimeLimit | None = None) -> Sequence[Array]:
        """What the graph gives for each, in one run in this thread. What is no number is not refused here."""

    def joined(self, row: PreparedRow, outputs: Sequence[Array]) -> object:
        """The output of a row, of which an answer is made, from those of its parts."""

    def answer(self, row: PreparedRow, output: Any, parameters: Parameters) -> object:
        """The answer to one row, of which JSON can be made."""


WrittenRow = TypeVar("WrittenRow", bound=Row, contravariant=True)


@runtime_checkable
class WritingEngine(Protocol[WrittenRow]):
    """An engine whose answers can be read while they are written."""

    def stream(self, row: WrittenRow, on_text: OnText, *, limit: TimeLimit | None = None) -> Finish:
        """Answer one prepared input piece by piece, and say why the answer ended.

        The pieces joined are what was written: without the prompt, special tokens, and a stop string.
        """


@runtime_checkable
class FileEngine(Protocol[Input]):
    """An engine that reads files, which may unfold into far more than was sent."""

    def unfolded(self, inputs: Sequence[Input]) -> Iterator[int]:
        """Bytes of memory that decoding each input takes, told from the headers of its file alone."""

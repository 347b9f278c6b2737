"""A graph with key/value caches among its inputs, and how those caches look.

Caches are plain numpy arrays, which ONNX Runtime reads in place; its own OrtValues, and buffers bound to its outputs,
were measured to be no faster on a CPU, and rows come, go and change places.

Axes: N rows, S tokens in the caches, V tokens of the vocabulary.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunewright.serving.errors import BundleError
from tunewright.serving.generation.sequences import Index
from tunewright.serving.runtime.capacity import Provider
from tunewright.serving.runtime.session import Array, Session, TimeLimit

Tensor = NDArray[np.generic]
Caches = dict[str, Tensor]

PRESENT = "present"
"""How the outputs begin that hold caches."""
_PAST = "past_key_values"
_FLOAT = "tensor(float)"
_BYTES_OF_A_FLOAT = 4


class Onnx:
    """One graph of a variant, its outputs taken by name."""

    def __init__(self, folder: Path, name: str, threads: int, provider: Provider = "cpu") -> None:
        self.path = folder / name
        if not self.path.is_file():
            raise BundleError(f"{folder} holds no {name}, which a model that generates needs")
        self.session = Session(self.path, threads=threads, provider=provider)
        self.inputs = {node.name: node for node in self.session.onnx.get_inputs()}
        self.outputs = {node.name: node for node in self.session.onnx.get_outputs()}

    def check_inputs(self, known: Sequence[str]) -> None:
        """BundleError for an input that is neither known nor a cache, or when there are no input_ids."""
        for name in self.inputs:
            if name not in known and not name.startswith(_PAST):
                raise BundleError(f"{self.path} wants an input {name!r}; known are {', '.join(known)} and {_PAST}.*")
        if "input_ids" not in self.inputs:
            raise BundleError(f"{self.path} has no input 'input_ids'")

    def check_outputs(self, names: Iterable[str]) -> None:
        """BundleError for an output that is missing."""
        for name in names:
            if name not in self.outputs:
                raise BundleError(f"{self.path} has no output {name!r}, which generation needs")

    def vocabulary(self) -> int:
        """How many tokens the logits are of."""
        size = self.outputs["logits"].shape[-1]
        if not isinstance(size, int):
            raise BundleError(f"{self.path} leaves open how many tokens its output 'logits' is of")
        return size

    def empty_shape(self, name: str) -> tuple[int, ...]:
        """Shape of an empty cache, less its first axis, which is the rows; the axis that grows is the open one."""
        shape: list[int | str | None] = self.inputs[name].shape
        inner = [size if isinstance(size, int) else 0 for size in shape[1:]]
        if not shape or isinstance(shape[0], int) or inner.count(0) != 1:
            raise BundleError(f"{self.path} has an input {name!r} of shape {shape}; rows and tokens alone may be open")
        if self.inputs[name].type != _FLOAT:
            raise BundleError(f"{self.path} has an input {name!r} of type {self.inputs[name].type}, not {_FLOAT}")
        return tuple(inner)

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Tensor], limit: TimeLimit | None) -> Sequence[Tensor]:
        """The named outputs, of those inputs that the graph has; DeadlineExceeded once the limit is over."""
        feed = {name: value for name, value in inputs.items() if name in self.inputs}
        return self.session.run(feed, outputs=outputs, limit=limit)


class CacheLayout:
    """Which inputs of a decoder are caches, which outputs hold them next, and how they look when empty."""

    def __init__(self, onnx: Onnx, *, first: Onnx, given: Onnx) -> None:
        """`first`: the graph that makes the caches that grow; `given`: the one that makes the others."""
        self.names = [name for name in onnx.inputs if name.startswith(_PAST)]
        if not self.names:
            raise BundleError(f"{onnx.path} has no {_PAST} inputs; export the model for generation with a cache")
        self._presents = {name: PRESENT + name.removeprefix(_PAST) for name in self.names}
        self.growing = {name for name in self.names if ".encoder." not in name}
        self.given = {name: present for name, present in self._presents.items() if name not in self.growing}
        """Those that hold what a decoder makes of the encoder's output, once."""
        first.check_outputs(["logits", *(self._presents[name] for name in self.names if name in self.growing)])
        given.check_outputs(self.given.values())
        onnx.check_outputs(["logits", *(self._presents[name] for name in self.growing)])
        self._empty = {name: onnx.empty_shape(name) for name in self.names}
        self.axes = {name: 1 + shape.index(0) for name, shape in self._empty.items()}
        """The axis of each cache that is its tokens."""
        sizes = (np.prod([size for size in shape if size]) for shape in self._empty.values())
        self.bytes_per_token = int(sum(sizes)) * _BYTES_OF_A_FLOAT

    def empty(self, rows: int) -> Caches:
        """Caches of no tokens."""
        return {name: np.zeros((rows, *self._empty[name]), np.float32) for name in self.names}

    def run(
        self,
        onnx: Onnx,
        inputs: Mapping[str, Tensor],
        caches: Caches,
        limit: TimeLimit | None,
        *,
        growing: bool = False,
    ) -> tuple[Array, Caches]:
        """Scores `[N, V]` of the next token and the caches after it. `growing`: the other caches stay as they are."""
        names = [name for name in self.names if not growing or name in self.growing]
        logits, *presents = onnx.run(["logits", *(self._presents[name] for name in names)], {**inputs, **caches}, limit)
        # A copy of the last token's scores lets go of those of all tokens of a prompt.
        scores: Array = np.ascontiguousarray(logits[:, -1], dtype=np.float32)
        return scores, {**caches, **dict(zip(names, presents, strict=True))}


def part(tensor: Tensor, axis: int, tokens: slice, rows: Index | slice = slice(None)) -> Tensor:
    """Some rows of a tensor, and of those some tokens."""
    places: list[Index | slice] = [slice(None)] * tensor.ndim
    places[0], places[axis] = rows, tokens
    return tensor[tuple(places)]


def stacked(tensors: Sequence[Tensor], axis: int, *, left: bool) -> Tensor:
    """The rows of all, made as wide as the widest by zeros before (`left`) or behind their tokens."""
    width = max(tensor.shape[axis] for tensor in tensors)
    shape = list(tensors[0].shape)
    shape[0], shape[axis] = sum(len(tensor) for tensor in tensors), width
    whole, at = np.zeros(shape, tensors[0].dtype), 0
    for tensor in tensors:
        tokens = slice(width - tensor.shape[axis], None) if left else slice(tensor.shape[axis])
        part(whole, axis, tokens, slice(at, at + len(tensor)))[...] = tensor
        at += len(tensor)
    return whole

"""A float32 graph to its int8 form: weights of one byte, and one scale for each row that they are multiplied with.

A row is a vector of the last axis: a token, a patch, a frame. Its scale is that of its own largest number, so nothing
else in the run changes what comes of it.

Axes: R rows, K numbers of a row, N numbers that a product makes of them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from tunewright.job.export.trace import INLINE
from tunewright.job.train.device.fake_int8 import LEAST, ONE_SIDED, TINY, ZERO

_HUGE = np.finfo(np.float32).max


def quantize_int8(source: Path, target: Path, *, inline: int = INLINE) -> None:
    """Write the int8 form of a graph: its products with a constant matrix, and its tables of embeddings.

    Products of two computed tensors (attention), norms and convolutions stay float32. `inline`: most bytes of weights
    in the file itself.
    """
    model = onnx_ir.load(source)
    _Quantizer(model.graph).rewrite()
    model.graph.opset_imports["com.microsoft"] = 1
    RemoveUnusedNodesPass()(model)
    _forget_shapes(model.graph)
    onnx_ir.external_data.load_to_model(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    weights = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    onnx_ir.save(model, target, external_data=f"{target.name}_data" if weights > inline else None)


def _forget_shapes(graph: onnx_ir.Graph) -> None:
    """What is known of weights and of values between nodes: no run needs it, and it would be written once more."""
    between = [value for node in graph for value in node.outputs if not value.is_graph_output()]
    for value in (*between, *graph.initializers.values()):
        value.shape = value.type = None


@dataclass(frozen=True)
class _Weight:
    """A constant matrix of a product."""

    stored: onnx_ir.Value
    turned: bool
    """Whether it is stored as [N, K] in place of [K, N]."""


_Rows = tuple[onnx_ir.Value, onnx_ir.Value, onnx_ir.Value]


class _Quantizer:
    """Rewrites a graph in place; what several nodes share is made once, before the first of them."""

    def __init__(self, graph: onnx_ir.Graph) -> None:
        self._graph = graph
        self._at = graph[0]
        self._rows: dict[onnx_ir.Value, _Rows] = {}
        self._tables: dict[onnx_ir.Value, tuple[onnx_ir.Value, onnx_ir.Value]] = {}
        self._matrices: dict[_Weight, tuple[onnx_ir.Value, onnx_ir.Value]] = {}
        self._readers: Counter[onnx_ir.Value] = Counter()
        self._tied = {_input(node, 0) for node in graph if _is_look_up(node)}
        self._made = 0

    def rewrite(self) -> None:
        """Every product and every look-up that can be."""
        for node in list(self._graph):
            self._at = node
            weight = _weight(node)
            if weight is not None:
                self._replace(node, self._product(node, weight))
            elif _is_look_up(node):
                self._replace(node, self._look_up(node))

    def _product(self, node: onnx_ir.Node, weight: _Weight) -> onnx_ir.Value:
        matrix_KN, scale_N = self._matrix(weight)
        matrix_KN = self._one_of_many(matrix_KN, _numbers(weight.stored).shape[:: -1 if weight.turned else 1])
        rows, scale_R1, zero = self._quantized_rows(_input(node, 0), _numbers(weight.stored).shape[weight.turned])
        whole = [rows, matrix_KN, self._constant("int8.one", np.float32(1)), scale_N, zero]
        found = self._op("MatMulIntegerToFloat", whole, domain="com.microsoft")
        found = self._op("Mul", [found, scale_R1])
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        return found if bias is None else self._op("Add", [found, bias])

    def _quantized_rows(self, source: onnx_ir.Value, numbers: int) -> _Rows:
        """Rows of so many numbers as unsigned bytes, the scale of each, `[..., 1]`, and the byte that is zero."""
        if source not in self._rows:
            scale, byte = self._scale(source)
            zero = self._constant(f"int8.zero_{byte}", np.uint8(byte))
            # Blocks want a zero point each; whatever is divided by the largest number of all is zero.
            zeros = self._op("QuantizeLinear", [scale, self._constant("int8.huge", _HUGE), zero])
            rows = self._op("QuantizeLinear", [source, scale, zeros], axis=-1, block_size=numbers)
            self._rows[source] = rows, scale, zero
        return self._rows[source]

    def _scale(self, source: onnx_ir.Value) -> tuple[onnx_ir.Value, int]:
        """The scale of each row, `[..., 1]`, and the byte that is to be zero."""
        maker = source.producer()
        byte, bound = ONE_SIDED.get(maker.op_type if maker else "", (ZERO, None))
        sized = source if bound is not None else self._op("Abs", [source])
        largest = self._op("ReduceMax", [sized, self._last_axis()], keepdims=1)
        share = self._constant(f"int8.share_{byte}", np.float32(1 / (255 - byte)))
        least = self._constant(f"int8.least_{byte}", np.float32(max(TINY, bound / byte if bound else 0)))
        return self._op("Max", [self._op("Mul", [largest, share]), least]), byte

    def _matrix(self, weight: _Weight) -> tuple[onnx_ir.Value, onnx_ir.Value]:
        """A weight as signed bytes `[K, N]`, and the scale of each column `[N]`."""
        if weight not in self._matrices:
            tied = weight.turned and weight.stored in self._tied
            self._matrices[weight] = self._table_turned(weight.stored) if tied else self._own(weight)
        return self._matrices[weight]

    def _one_of_many(self, matrix_KN: onnx_ir.Value, shape: Sequence[int]) -> onnx_ir.Value:
        """What one product reads of a weight: that, or for all but the first a constant of its own once it is loaded.

        ONNX Runtime makes signed weights unsigned, where it must, under a name that follows from theirs, and fails
        where two products share one. Each shape is a constant of its own, so that it does not see one `Reshape` in all.
        """
        self._readers[matrix_KN] += 1
        if self._readers[matrix_KN] == 1:
            return matrix_KN
        own = self._constant(f"{matrix_KN.name}.shape_{self._readers[matrix_KN]}", np.array(shape))
        return self._op("Reshape", [matrix_KN, own])

    def _own(self, weight: _Weight) -> tuple[onnx_ir.Value, onnx_ir.Value]:
        numbers = _numbers(weight.stored)
        quantized, scale_1N = quantized_columns(numbers.T if weight.turned else numbers)
        name = f"{weight.stored.name}{'.turned' if weight.turned else ''}"
        return self._constant(f"{name}.int8", quantized), self._constant(f"{name}.int8_scale", scale_1N[0])

    def _table_turned(self, stored: onnx_ir.Value) -> tuple[onnx_ir.Value, onnx_ir.Value]:
        """The last layer of a model that shares its embeddings; ONNX Runtime turns them once, when it loads."""
        table_NK, scale_N1 = self._table(stored)
        matrix_KN = self._op("Transpose", [table_NK], perm=[1, 0])
        return matrix_KN, self._op("Squeeze", [scale_N1, self._last_axis()])

    def _look_up(self, node: onnx_ir.Node) -> onnx_ir.Value:
        stored, positions = _input(node, 0), _input(node, 1)
        table, scale = self._table(stored)
        found, scale = (self._op("Gather", [values, positions], axis=0) for values in (table, scale))
        # DequantizeLinear by blocks does the same in four times the time.
        return self._op("Mul", [self._op("Cast", [found], to=onnx_ir.DataType.FLOAT), scale])

    def _table(self, stored: onnx_ir.Value) -> tuple[onnx_ir.Value, onnx_ir.Value]:
        """Embeddings as signed bytes, and the scale of each of them, `[..., 1]`."""
        if stored not in self._tables:
            turned, scale = quantized_columns(_numbers(stored).T)
            table = self._constant(f"{stored.name}.int8_table", turned.T)
            self._tables[stored] = table, self._constant(f"{stored.name}.int8_table_scale", scale.T)
        return self._tables[stored]

    def _last_axis(self) -> onnx_ir.Value:
        return self._constant("int8.last_axis", np.array([-1]))

    def _constant(self, name: str, value: NDArray[np.generic] | np.generic) -> onnx_ir.Value:
        """The initializer of this name, made where there is none."""
        if name not in self._graph.initializers:
            tensor = onnx_ir.Tensor(np.asarray(value, order="C"), name=name)
            kind = onnx_ir.TensorType(tensor.dtype)
            made = onnx_ir.Value(name=name, shape=onnx_ir.Shape(tensor.shape), type=kind, const_value=tensor)
            self._graph.register_initializer(made)
        return self._graph.initializers[name]

    def _op(
        self, kind: str, inputs: Sequence[onnx_ir.Value], domain: str = "", **attributes: int | Sequence[int]
    ) -> onnx_ir.Value:
        """The output of a new node before the one that is being replaced."""
        self._made += 1
        output = onnx_ir.Value(name=f"int8_{self._made}")
        self._graph.insert_before(self._at, onnx_ir.node(kind, inputs, attributes, domain=domain, outputs=[output]))
        return output

    def _replace(self, node: onnx_ir.Node, found: onnx_ir.Value) -> None:
        """Let all read this in place of what the node made, under its name."""
        (before,) = node.outputs
        name = before.name
        onnx_ir.convenience.replace_all_uses_with(before, found, replace_graph_outputs=True)
        found.shape, found.type = before.shape, before.type
        self._graph.remove(node, safe=True)
        found.name = name


def quantized_columns(weight_KN: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A weight as signed bytes, and the scale of each column, `[1, N]`."""
    scale_1N = np.maximum(np.abs(weight_KN).max(axis=0, keepdims=True) / np.float32(127), np.float32(TINY))
    return np.rint(weight_KN / scale_1N).astype(np.int8), scale_1N


def _weight(node: onnx_ir.Node) -> _Weight | None:
    """The constant matrix of a product, where that can be quantized."""
    if node.op_type == "Gemm":
        plain = all(node.attributes.get_float(name, 1.0) == 1.0 for name in ("alpha", "beta"))
        found = _Weight(_input(node, 1), bool(node.attributes.get_int("transB", 0)))
        return found if plain and not node.attributes.get_int("transA", 0) and _is_matrix(found.stored) else None
    if node.op_type != "MatMul":
        return None
    stored = _input(node, 1)
    before = stored.producer()
    turned = before is not None and before.op_type == "Transpose" and _is_matrix(_input(before, 0))
    found = _Weight(_input(before, 0) if before is not None and turned else stored, turned)
    return found if _is_matrix(found.stored) else None


def _is_look_up(node: onnx_ir.Node) -> bool:
    """Whether it takes rows of a constant table."""
    return node.op_type == "Gather" and node.attributes.get_int("axis", 0) == 0 and _is_matrix(_input(node, 0))


def _is_matrix(value: onnx_ir.Value) -> bool:
    """Whether it is a constant matrix of float32 that is worth it."""
    constant = value.const_value if value.is_initializer() else None
    if constant is None or constant.dtype != onnx_ir.DataType.FLOAT or len(constant.shape) != 2:
        return False
    return constant.size >= LEAST


def _input(node: onnx_ir.Node, at: int) -> onnx_ir.Value:
    value = node.inputs[at]
    assert value is not None
    return value


def _numbers(value: onnx_ir.Value) -> NDArray[np.float32]:
    assert value.const_value is not None
    return np.asarray(value.const_value.numpy(), dtype=np.float32)

"""Graphs of others whose outputs are not those that a server reads: the vectors of tokens, the two ends of an answer.

A few nodes are put behind what a graph gives; all that it is stays as it was given. Axes: B rows, T tokens of each.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from tunewright.job.errors import BaseModelError

_VECTOR = "sentence_embedding"
_TOKENS = ("last_hidden_state", "token_embeddings")
_ENDS = ("start_logits", "end_logits")
_OWN = "tunewright_"
"""How the names of what is added begin."""


def gives_vectors(graph: Path) -> bool:
    """Whether a graph makes one vector of each text itself."""
    return _VECTOR in _outputs(onnx.load(graph, load_external_data=False))


def with_vectors(graph: Path, pooling: str | None, address: str) -> Path:
    """A graph beside the given one that gives one vector a text alone, `logits` `[B, D]`.

    `pooling`: mean or cls, of the vectors of tokens; None where the graph has pooled them. BaseModelError for a graph
    without either.
    """
    model = onnx.load(graph, load_external_data=False)
    wanted = (_VECTOR,) if pooling is None else _TOKENS
    found = next((name for name in wanted if name in _outputs(model)), None)
    if found is None:
        raise _other(model, (_VECTOR, *_TOKENS) if pooling is None else _TOKENS, address)
    if pooling is None:
        nodes = [helper.make_node("Identity", [found], ["logits"])]
    elif pooling == "cls":
        _add(model, "first", TensorProto.INT64, [], [0])
        nodes = [helper.make_node("Gather", [found, f"{_OWN}first"], ["logits"], axis=1)]
    else:
        nodes = _mean(model, found, address)
    return _written(model, nodes, graph.with_name(f"vectors-{pooling or 'own'}.onnx"))


def with_spans(graph: Path, address: str) -> Path:
    """A graph beside the given one that gives both ends of an answer in one tensor, `logits` `[B, T, 2]`.
    BaseModelError for a graph without them."""
    model = onnx.load(graph, load_external_data=False)
    if set(_ENDS) - set(_outputs(model)):
        raise _other(model, _ENDS, address)
    _add(model, "column", TensorProto.INT64, [3], [0, -1, 1])
    nodes = [helper.make_node("Reshape", [name, f"{_OWN}column"], [_OWN + name]) for name in _ENDS]
    nodes.append(helper.make_node("Concat", [_OWN + name for name in _ENDS], ["logits"], axis=2))
    return _written(model, nodes, graph.with_name("spans.onnx"))


def _mean(model: onnx.ModelProto, tokens: str, address: str) -> list[onnx.NodeProto]:
    """The mean over the tokens that are no padding, in operators that no opset has changed: two products."""
    if "attention_mask" not in [node.name for node in model.graph.input]:
        raise BaseModelError(
            f"base model {address!r}: the graph takes no attention_mask, which tells tokens from padding; "
            "set options.pooling to cls where it was taught that"
        )
    _add(model, "row", TensorProto.INT64, [3], [0, 1, -1])
    _add(model, "column", TensorProto.INT64, [3], [0, -1, 1])
    _add(model, "flat", TensorProto.INT64, [2], [0, -1])
    _add(model, "least", TensorProto.FLOAT, [], [1.0])
    steps: list[tuple[str, list[str], str]] = [
        ("Reshape", ["mask", "row"], "mask_B1T"),
        ("Reshape", ["mask", "column"], "mask_BT1"),
        ("MatMul", ["mask_B1T", "mask_BT1"], "count_B11"),
        ("Max", ["count_B11", "least"], "divisor_B11"),
    ]
    nodes = [helper.make_node("Cast", ["attention_mask"], [f"{_OWN}mask"], to=TensorProto.FLOAT)]
    nodes += [helper.make_node(kind, [_OWN + name for name in given], [_OWN + made]) for kind, given, made in steps]
    return [
        *nodes,
        helper.make_node("MatMul", [f"{_OWN}mask_B1T", tokens], [f"{_OWN}sum_B1D"]),
        helper.make_node("Div", [f"{_OWN}sum_B1D", f"{_OWN}divisor_B11"], [f"{_OWN}mean_B1D"]),
        helper.make_node("Reshape", [f"{_OWN}mean_B1D", f"{_OWN}flat"], ["logits"]),
    ]


def _add(model: onnx.ModelProto, name: str, kind: int, shape: Sequence[int], values: Sequence[float]) -> None:
    model.graph.initializer.append(helper.make_tensor(_OWN + name, kind, shape, values))


def _written(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], target: Path) -> Path:
    """The model with these nodes at its end, beside the files that hold its weights; whole or not at all."""
    model.graph.node.extend(nodes)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, None))
    new = target.with_suffix(f".{os.getpid()}.new")
    new.write_bytes(model.SerializeToString())
    new.replace(target)
    return target


def _outputs(model: onnx.ModelProto) -> list[str]:
    return [node.name for node in model.graph.output]


def _other(model: onnx.ModelProto, wanted: Sequence[str], address: str) -> BaseModelError:
    given, joined = ", ".join(_outputs(model)[:8]), " and " if wanted == _ENDS else " or "
    return BaseModelError(f"base model {address!r}: the graph gives {given}; expected {joined.join(wanted)}")

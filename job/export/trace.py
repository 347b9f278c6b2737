"""One torch module to one ONNX file: traced with an example, its tensors named, nothing of this machine in it.

transformers' exporter is declared experimental: one call of it is used here, and torch's own exporter takes its place
by a change of one word.
"""

import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, cast

import onnx
import onnx_ir
import torch
from torch import nn
from torch.export import Dim
from transformers import PretrainedConfig, PreTrainedModel

from tunewright.job.errors import JobError

OPSET = 21
"""The first one that quantizes by blocks, as the int8 form does; from 20 on there is a GELU, which runs in one step."""
INLINE = 1_900_000_000
"""Bytes of weights that one file may hold; protobuf ends at 2 GiB. More lie in a file beside it."""

Tensors = Mapping[str, torch.Tensor | list[torch.Tensor]]
"""Arguments of a module by name."""
Axes = Mapping[int, str]
"""Which axes of a tensor may vary, and what they are called."""
Tracer = Callable[[nn.Module, Tensors, Mapping[str, object]], onnx_ir.Model]


def by_transformers(model: nn.Module, example: Tensors, dynamic: Mapping[str, object]) -> onnx_ir.Model:
    """Traced with the architectures' code mended where it cannot be traced as it is."""
    from transformers.exporters.configs import OnnxConfig
    from transformers.exporters.exporter_onnx import OnnxExporter

    exporter: Any = OnnxExporter()  # type: ignore[no-untyped-call]
    config = OnnxConfig(dynamic_shapes=dict(dynamic), opset_version=OPSET)
    return cast(onnx_ir.Model, exporter.export(model, dict(example), config).program)


def by_torch(model: nn.Module, example: Tensors, dynamic: Mapping[str, object]) -> onnx_ir.Model:
    """Traced with the architectures' code as it is, which all but T5 and its kin can bear."""

    class OneArgument(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, arguments: dict[str, torch.Tensor]) -> object:
            return self.model(**arguments)

    shapes = {"arguments": dict(dynamic)}
    program = torch.onnx.export(
        OneArgument().eval(),
        kwargs={"arguments": dict(example)},
        dynamic_shapes=shapes,
        opset_version=OPSET,
        dynamo=True,
    )
    assert program is not None
    return program.model


def to_onnx(
    model: nn.Module,
    example: Tensors,
    axes: Mapping[str, Axes],
    target: Path,
    *,
    names: Sequence[str] | None = None,
    through: Tracer = by_transformers,
    inline: int = INLINE,
) -> None:
    """Write the graph of a module that answers with tensors by name.

    `example`: its arguments; `axes`: which axes of each may vary, of a list those of all tensors in it; all others are
    fixed. `names`: what the graph calls the tensors, where some arguments are lists. `inline`: most bytes of weights in
    the file itself. JobError where the module cannot be traced.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    dynamic = {name: _dynamic(value, axes.get(name, {})) for name, value in example.items()}
    config = cast(PretrainedConfig, model.config)
    try:
        with _quietly(), _plain_attention(model), torch.no_grad():
            outputs = list(model.eval()(**example))
            traced = through(model, example, dynamic)
    except Exception as error:  # the exporter raises whatever the architecture's code raises while traced
        raise JobError(f"the ONNX export of a {config.model_type} failed: {_reason(error)}") from error
    _name_inputs(traced.graph, list(names or example), [axes.get(name, {}) for name in _each(example)])
    for value, name in zip(traced.graph.outputs, outputs, strict=True):
        value.name = name
    weights = sum(value.const_value.nbytes for value in traced.graph.initializers.values() if value.const_value)
    onnx_ir.save(traced, target, external_data=f"{target.name}_data" if weights > inline else None)
    strip(target)


def _dynamic(value: torch.Tensor | list[torch.Tensor], axes: Axes) -> object:
    """As torch wants it. DYNAMIC is refused where the code fixes an axis; AUTO would fix it without a word."""
    one = dict.fromkeys(axes, Dim.DYNAMIC)
    return [one] * len(value) if isinstance(value, list) else one


def _each(example: Tensors) -> list[str]:
    """The name of the argument of each tensor."""
    return [name for name, value in example.items() for _ in (value if isinstance(value, list) else [value])]


def _name_inputs(graph: onnx_ir.Graph, names: Sequence[str], axes: Sequence[Axes]) -> None:
    """Give tensors and axes their names; an output's axes are called as those of the inputs they come from."""
    called: dict[str, str] = {}
    for value, name, varying in zip(graph.inputs, names, axes, strict=True):
        value.name = name
        assert value.shape is not None
        for at, axis in varying.items():
            called.setdefault(str(value.shape[at]), axis)
            value.shape[at] = axis
    for value in graph.outputs:
        if value.shape is not None:
            value.shape = onnx_ir.Shape([_called(size, called) for size in value.shape])


def _called(size: int | onnx_ir.SymbolicDim, called: Mapping[str, str]) -> int | str:
    """A size in the names of the axes it is made of, such as `past_tokens + tokens`."""
    return size if isinstance(size, int) else re.sub(r"\w+", lambda word: called.get(word[0], word[0]), str(size))


@contextmanager
def _plain_attention(model: nn.Module) -> Iterator[None]:
    """Attention as plain products while a model is traced: what torch's fused form becomes has more steps."""
    kept = [(one, one.config._attn_implementation) for one in model.modules() if isinstance(one, PreTrainedModel)]
    for one, _ in kept:
        one.config._attn_implementation = "eager"
    try:
        yield
    finally:
        for one, before in reversed(kept):
            one.config._attn_implementation = before


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporter warns of every Python number in the architecture's code, of each tied weight, and of releases it was
    not tried with; parity is what proves the graph."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _reason(error: Exception) -> str:
    """The first line that says something: the exporter's reports are pages long and name files of this machine."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def strip(path: Path) -> None:
    """Take out of a graph what no run needs.

    That is the shapes of every value between two nodes, with which ONNX Runtime fuses norms into a form that is slower
    on processors, and what tells of the machine that wrote it (stack traces, paths).
    """
    model = onnx.load(path, load_external_data=False)
    for part in (model, *model.functions):
        part.doc_string = ""
        del part.metadata_props[:]
    _strip_graph(model.graph)
    onnx.save(model, path)


def _strip_graph(graph: onnx.GraphProto) -> None:
    graph.doc_string = ""
    del graph.value_info[:], graph.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") or attribute.graphs else ():
                _strip_graph(inner)

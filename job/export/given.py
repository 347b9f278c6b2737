"""A model that is there as an ONNX graph alone: it answers as a model in torch does, and is exported as it is."""

import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import onnx
import torch
from onnx.external_data_helper import ExternalDataInfo, uses_external_data
from onnx.version_converter import convert_version
from torch import nn

from tunewright.job.data.faults import shown
from tunewright.job.errors import BaseModelError, first_line
from tunewright.job.export.int8 import quantize_int8
from tunewright.job.export.trace import OPSET
from tunewright.job.inside import leaves
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.progress.events import warn
from tunewright.serving.errors import BundleError
from tunewright.serving.runtime.session import Session
from tunewright.serving.trial.trials import Answers, try_graph

_KINDS = {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL}
_SMALL = 1024
"""Numbers of a constant that may be of any kind: zero points, bounds."""
_WORTH = 0.95
"""Share of the bytes of a graph that its int8 form may have; one that rounds nothing has about all of them."""


class GivenGraph(nn.Module):
    """A graph from token ids to logits in the place of a model."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.session = path, Session(path)
        tensors = list(_tensors(_read(path, path.name)))
        self.weights = sum(math.prod(one.dims) for one in tensors if one.data_type == onnx.TensorProto.FLOAT)
        self.files = (path, *(path.parent / name for name in sorted(set(filter(None, map(_beside, tensors))))))

    @property
    def inputs(self) -> list[str]:
        """The tensors that it takes."""
        return self.session.inputs

    @property
    def bytes(self) -> int:
        """Size of its files."""
        return sum(path.stat().st_size for path in self.files)

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Its inputs to its logits."""
        (logits,) = self.session.run({name: value.numpy() for name, value in inputs.items()})
        return {"logits": torch.from_numpy(logits)}

    def write(self, target: Path) -> None:
        """Copy it, with the files beside it that hold its weights."""
        target.parent.mkdir(parents=True, exist_ok=True)
        for path in self.files:
            shutil.copyfile(path, target if path == self.path else target.parent / path.name)

    def write_int8(self, target: Path) -> bool:
        """Write its int8 form; whether it has one, which a warning says where it has not."""
        try:
            self._quantize(target)
            Session(target)
            size = sum(path.stat().st_size for path in target.parent.iterdir())
            reason = (
                ""
                if size < _WORTH * self.bytes
                else "it would hardly be smaller, with so few constant matrices in products"
            )
        except Exception as error:  # whatever ONNX, its converter and the Runtime make of a graph of others
            reason = first_line(error)
        if reason:
            warn("export", f"the graph has no int8 form, and is served as it is: {reason}")
            shutil.rmtree(target.parent, ignore_errors=True)
        return not reason

    def _quantize(self, target: Path) -> None:
        model = onnx.load(self.path)
        if _opset(model) < OPSET:
            # Scales of single rows came with this one.
            model = convert_version(model, OPSET)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent.parent) as work:
            source = Path(work) / "model.onnx"
            onnx.save(model, source, save_as_external_data=model.ByteSize() > 2**30, location="model.onnx_data")
            quantize_int8(source, target)


def answers_of(base: BaseCheckpoint) -> Answers:
    """What the graph of a base model gives; BaseModelError for one that a server could not use."""
    assert base.graph is not None
    try:
        return try_graph(base.graph, digest=f"{base.digest} {base.graph.name}", cache=base.cache)
    except BundleError as error:
        raise BaseModelError(f"base model {base.address!r}: {error}") from error


def graph_files(found: Path, name: str, address: str) -> list[str]:
    """The files of a graph, by their paths in its folder; BaseModelError where one of them leaves the folder, or the
    weights are not those of a float32 model."""
    folder = PurePosixPath(name).parent
    _require_plain(found, name, address)
    model = _read(found / name, address)
    names = {name}
    for tensor in _tensors(model):
        if tensor.data_type not in _KINDS and math.prod(tensor.dims) > _SMALL:
            kind = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
            raise BaseModelError(
                f"base model {address!r}: {name} holds weights of {kind}, and a version begins with those of float32, "
                "of which int8 is made; export it anew without an optimization of its weights"
            )
        if (beside := _beside(tensor)) is None:
            continue
        if PurePosixPath(beside).name != beside or beside in ("", "..") or "\\" in beside:
            raise BaseModelError(
                f"base model {address!r}: {name} names weights in {shown(beside)}, which is not a file beside it"
            )
        names.add((folder / beside).as_posix())
    for one in sorted(names - {name}):
        _require_plain(found, one, address)
    return sorted(names)


def _require_plain(found: Path, name: str, address: str) -> None:
    path = found / name
    if leaves(found, path):
        raise BaseModelError(
            f"base model {address!r}: {name} is a link to a file outside the folder; put the file there"
        )
    if not path.is_file():
        raise BaseModelError(f"base model {address!r}: {name} is not there, or is not a plain file")


def _read(path: Path, address: str) -> onnx.ModelProto:
    """A graph without the weights that lie in other files."""
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf has a class of its own in each of its forms
        raise BaseModelError(f"base model {address!r}: {path.name} is no ONNX graph: {first_line(error)}") from error


def _opset(model: onnx.ModelProto) -> int:
    return next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every constant of a graph, in the graphs and functions inside it as well."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _of_node(node)


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _of_node(node)


def _of_node(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (attribute.g, *attribute.graphs):
            yield from _of_graph(graph)


def _beside(tensor: onnx.TensorProto) -> str | None:
    """The file that holds a constant; None where the graph itself does."""
    return ExternalDataInfo(tensor).location if uses_external_data(tensor) else None

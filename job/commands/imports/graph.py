"""A model that is given as an ONNX graph alone: found, tried, and held against the task and its labels."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from tunewright.job.errors import BaseModelError
from tunewright.job.export.arranged import gives_vectors, with_spans, with_vectors
from tunewright.job.export.given import answers_of, graph_files
from tunewright.job.kinds.options import EmbeddingOptions
from tunewright.job.learners.vectors import pooling_of, refuse_more_modules, say_pooling
from tunewright.job.model.base_model import BaseCheckpoint, weight_files
from tunewright.job.model.find import GRAPHS, INDEX
from tunewright.job.progress.events import say
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.contradictions import read_options

TASKS = {
    "text-classification": False,
    "text-regression": False,
    "token-classification": True,
    "question-answering": True,
    "feature-extraction": False,
}
"""Those of which a graph can be imported, to whether it answers each token."""


def model_files(found: Path, address: str) -> list[str]:
    """The files that hold the model: its weights, or the graph and what lies beside it where there are none."""
    graph = _graph_in(found)
    if graph is None or (found / "model.safetensors").exists() or (found / INDEX).exists():
        return weight_files(found, address)
    return graph_files(found, graph, address)


def with_graph(base: BaseCheckpoint, settings: JobSettings) -> BaseCheckpoint:
    """The same with the graph that stands for its weights, if one does, its outputs arranged as the task has them."""
    if (graph := _graph_in(base.folder)) is None:
        return base
    if settings.task not in TASKS:
        raise BaseModelError(
            f"base model {base.address!r} is an ONNX graph without weights, of which {settings.task} cannot be "
            f"imported; expected one of {', '.join(TASKS)}, or the weights that it was made of (model.safetensors)"
        )
    path = base.folder / graph
    if settings.task == "feature-extraction":
        path = _vectors(path, base, cast(EmbeddingOptions, read_options(settings)))
    elif settings.task == "question-answering":
        path = with_spans(path, base.address)
    return replace(base, graph=path)


def _vectors(graph: Path, base: BaseCheckpoint, options: EmbeddingOptions) -> Path:
    if options.pooling == "auto" and gives_vectors(graph):
        say("model", "the vector of a text is sentence_embedding, as the graph makes it")
        return with_vectors(graph, None, base.address)
    refuse_more_modules(base)
    pooling = pooling_of(options, base)
    say_pooling(pooling, base)
    return with_vectors(graph, pooling, base.address)


def check_graph(base: BaseCheckpoint, task: str, labels: Sequence[str]) -> None:
    """BaseModelError for a graph of another task or of other labels, and for one that a server could not use."""
    if base.graph is None:
        return
    answers, about = answers_of(base), f"base model {base.address!r} is an ONNX graph without weights"
    if answers.per_token != TASKS[task]:
        given = "each token of a text" if answers.per_token else "each text"
        raise BaseModelError(f"{about} and answers {given}, which {task} does not; name the task that it was taught")
    if labels and answers.labels != len(labels):
        raise BaseModelError(
            f"{about} and gives {answers.labels} logits, but config.json names {len(labels)} labels (id2label): they "
            "do not belong together"
        )


def _graph_in(folder: Path) -> str | None:
    return next((name for name in GRAPHS if (folder / name).exists()), None)

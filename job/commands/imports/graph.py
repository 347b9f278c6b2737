"""A model that is given as an ONNX graph alone: found, tried, and held against the task and its labels."""

from collections.abc import Sequence
from pathlib import Path

from tunewright.job.errors import BaseModelError
from tunewright.job.export.given import graph_files
from tunewright.job.model.base_model import BaseCheckpoint, weight_files
from tunewright.job.model.find import GRAPHS, INDEX
from tunewright.serving.errors import BundleError
from tunewright.serving.trial.trials import try_graph

TASKS = {"text-classification": False, "token-classification": True}
"""Those of which a graph can be imported, to whether it answers each token."""


def model_files(found: Path, address: str) -> list[str]:
    """The files that hold the model: its weights, or the graph and what lies beside it where there are none."""
    graph = _graph_in(found)
    if graph is None or (found / "model.safetensors").exists() or (found / INDEX).exists():
        return weight_files(found, address)
    return graph_files(found, graph, address)


def given_graph(base: BaseCheckpoint) -> Path | None:
    """The graph of a model that is given as one; None where there are weights."""
    name = _graph_in(base.folder)
    return base.folder / name if name else None


def check_graph(base: BaseCheckpoint, task: str, labels: Sequence[str]) -> None:
    """BaseModelError for a graph of another task or of other labels, and for one that a server could not use."""
    graph = given_graph(base)
    if graph is None:
        return
    about = f"base model {base.address!r} is an ONNX graph without weights"
    if task not in TASKS:
        raise BaseModelError(
            f"{about}, of which {task} cannot be imported; expected one of {', '.join(TASKS)}, or the weights that it "
            "was made of (model.safetensors)"
        )
    try:
        answers = try_graph(graph, digest=base.digest, cache=base.cache)
    except BundleError as error:
        raise BaseModelError(f"base model {base.address!r}: {error}") from error
    if answers.per_token != TASKS[task]:
        given = "each token of a text" if answers.per_token else "each text"
        raise BaseModelError(f"{about} and answers {given}, which {task} does not; name the task that it was taught")
    if answers.labels != len(labels):
        raise BaseModelError(
            f"{about} and gives {answers.labels} logits, but config.json names {len(labels)} labels (id2label): they "
            "do not belong together"
        )


def _graph_in(folder: Path) -> str | None:
    return next((name for name in GRAPHS if (folder / name).exists()), None)

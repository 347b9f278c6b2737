"""The tasks this program can answer: name to module. One is imported when a version needs it."""

from typing import Any

from tunewright.registry.plugins import Catalogue, Modules
from tunewright.serving.engines.task import Task

_BUILT_IN: Modules[Task[Any, Any]] = Modules(
    "tunewright.serving.tasks",
    "audio-classification",
    "audio-regression",
    "feature-extraction",
    "image-classification",
    "image-regression",
    "image-text-classification",
    "masked-language-modelling",
    "question-answering",
    "summarization",
    "text-classification",
    "text-generation",
    "text-regression",
    "token-classification",
    "translation",
)
TASKS: Catalogue[Task[Any, Any]] = Catalogue("task", "tunewright.answers", Task, _BUILT_IN)

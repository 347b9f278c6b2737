"""The tasks this program can answer: name to module."""

from typing import Any

from tunewright.registry.plugins import Catalogue
from tunewright.serving.engines.task import Task
from tunewright.serving.tasks import (
    audio_classification,
    audio_regression,
    feature_extraction,
    image_classification,
    image_regression,
    image_text_classification,
    masked_language_modelling,
    question_answering,
    summarization,
    text_classification,
    text_generation,
    text_regression,
    token_classification,
    translation,
)

_BUILT_IN: dict[str, Task[Any, Any]] = {
    "audio-classification": audio_classification,
    "audio-regression": audio_regression,
    "feature-extraction": feature_extraction,
    "image-classification": image_classification,
    "image-regression": image_regression,
    "image-text-classification": image_text_classification,
    "masked-language-modelling": masked_language_modelling,
    "question-answering": question_answering,
    "summarization": summarization,
    "text-classification": text_classification,
    "text-generation": text_generation,
    "text-regression": text_regression,
    "token-classification": token_classification,
    "translation": translation,
}
TASKS: Catalogue[Task[Any, Any]] = Catalogue("task", "tunewright.answers", Task, _BUILT_IN)

"""Which tasks' answers are explained. What explains them is imported when somebody asks for it."""

from collections.abc import Mapping

from tunewright.serving.errors import InputError
from tunewright.serving.predictor import Predictor

KINDS: Mapping[str, str] = {
    "text-classification": "texts:text_subject",
    "text-regression": "texts:text_subject",
    "token-classification": "tokens:entities_subject",
    "question-answering": "tokens:passage_subject",
    "image-classification": "files:image_subject",
    "image-regression": "files:image_subject",
    "image-text-classification": "files:image_text_subject",
    "audio-classification": "files:audio_subject",
    "audio-regression": "files:audio_subject",
}
"""The tasks whose answers can be explained, and which function of this wing says what of an input is."""

NEARBY = ("text-classification", "text-regression", "image-classification", "image-regression")
"""The tasks whose versions may carry training rows, of which those nearest to an input are shown."""


def is_explainable(predictor: Predictor) -> bool:
    """Whether answers of the model's task are explained."""
    return predictor.model.task in KINDS


def require_explainable(predictor: Predictor) -> None:
    """InputError where they are not."""
    if not is_explainable(predictor):
        raise InputError(
            f"answers of {predictor.model.task} are not explained; those of these tasks are: {', '.join(KINDS)}"
        )

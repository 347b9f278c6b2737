"""The tasks this program can teach: name to the task."""

from tunewright.job.kinds.task import Task
from tunewright.job.tasks.audio_classification import AUDIO_CLASSIFICATION
from tunewright.job.tasks.audio_regression import AUDIO_REGRESSION
from tunewright.job.tasks.feature_extraction import FEATURE_EXTRACTION
from tunewright.job.tasks.image_classification import IMAGE_CLASSIFICATION
from tunewright.job.tasks.image_regression import IMAGE_REGRESSION
from tunewright.job.tasks.image_text_classification import IMAGE_TEXT_CLASSIFICATION
from tunewright.job.tasks.masked_language_modelling import MASKED_LANGUAGE_MODELLING
from tunewright.job.tasks.question_answering import QUESTION_ANSWERING
from tunewright.job.tasks.summarization import SUMMARIZATION
from tunewright.job.tasks.text_classification import TEXT_CLASSIFICATION
from tunewright.job.tasks.text_generation import TEXT_GENERATION
from tunewright.job.tasks.text_regression import TEXT_REGRESSION
from tunewright.job.tasks.token_classification import TOKEN_CLASSIFICATION
from tunewright.job.tasks.translation import TRANSLATION
from tunewright.registry.plugins import Catalogue

_BUILT_IN: dict[str, Task] = {
    "audio-classification": AUDIO_CLASSIFICATION,
    "audio-regression": AUDIO_REGRESSION,
    "feature-extraction": FEATURE_EXTRACTION,
    "image-classification": IMAGE_CLASSIFICATION,
    "image-regression": IMAGE_REGRESSION,
    "image-text-classification": IMAGE_TEXT_CLASSIFICATION,
    "masked-language-modelling": MASKED_LANGUAGE_MODELLING,
    "question-answering": QUESTION_ANSWERING,
    "summarization": SUMMARIZATION,
    "text-classification": TEXT_CLASSIFICATION,
    "text-generation": TEXT_GENERATION,
    "text-regression": TEXT_REGRESSION,
    "token-classification": TOKEN_CLASSIFICATION,
    "translation": TRANSLATION,
}
TASKS: Catalogue[Task] = Catalogue("task", "tunewright.tasks", Task, _BUILT_IN)

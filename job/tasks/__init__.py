"""The tasks this program can teach: name to the task."""

from tunewright.job.kinds.task import Task
from tunewright.job.tasks.audio_classification import AudioClassification
from tunewright.job.tasks.feature_extraction import FeatureExtraction
from tunewright.job.tasks.image_classification import ImageClassification
from tunewright.job.tasks.image_text_classification import ImageTextClassification
from tunewright.job.tasks.masked_language_modelling import MaskedLanguageModelling
from tunewright.job.tasks.question_answering import QuestionAnswering
from tunewright.job.tasks.summarization import Summarization
from tunewright.job.tasks.text_classification import TextClassification
from tunewright.job.tasks.text_generation import TextGeneration
from tunewright.job.tasks.text_regression import TextRegression
from tunewright.job.tasks.token_classification import TokenClassification
from tunewright.job.tasks.translation import Translation

TASKS: dict[str, Task] = {
    "audio-classification": AudioClassification(),
    "feature-extraction": FeatureExtraction(),
    "image-classification": ImageClassification(),
    "image-text-classification": ImageTextClassification(),
    "masked-language-modelling": MaskedLanguageModelling(),
    "question-answering": QuestionAnswering(),
    "summarization": Summarization(),
    "text-classification": TextClassification(),
    "text-generation": TextGeneration(),
    "text-regression": TextRegression(),
    "token-classification": TokenClassification(),
    "translation": Translation(),
}

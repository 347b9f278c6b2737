"""The tasks this program can teach: name to the task."""

from job.task import Task
from job.tasks.audio_classification import AudioClassification
from job.tasks.feature_extraction import FeatureExtraction
from job.tasks.image_classification import ImageClassification
from job.tasks.image_text_classification import ImageTextClassification
from job.tasks.masked_language_modelling import MaskedLanguageModelling
from job.tasks.question_answering import QuestionAnswering
from job.tasks.summarization import Summarization
from job.tasks.text_classification import TextClassification
from job.tasks.text_generation import TextGeneration
from job.tasks.text_regression import TextRegression
from job.tasks.token_classification import TokenClassification
from job.tasks.translation import Translation

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

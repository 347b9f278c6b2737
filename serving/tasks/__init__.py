"""The tasks this program can answer: name to module."""

from serving.tasks import text_classification, text_regression
from serving.tasks.task import Task

TASKS: dict[str, Task] = {
    "text-classification": text_classification,
    "text-regression": text_regression,
}

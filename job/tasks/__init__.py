"""The tasks this job can teach: name to module, the twins of `serving.tasks`."""

from job.tasks import text_classification, text_regression
from job.tasks.task import Task

TASKS: dict[str, Task] = {
    "text-classification": text_classification,
    "text-regression": text_regression,
}

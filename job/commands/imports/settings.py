"""The settings of `tunewright import`: those of `train`, without what teaches."""

from collections.abc import Iterator

from pydantic import Field

from tunewright.job.data.faults import listed
from tunewright.job.settings.data import DataSettings
from tunewright.job.settings.fields import Sources
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.contradictions import contradictions

TASKS = (
    "text-classification",
    "text-regression",
    "token-classification",
    "question-answering",
    "feature-extraction",
    "translation",
    "summarization",
    "text-generation",
    "image-classification",
    "image-regression",
    "audio-classification",
    "audio-regression",
)
"""Those whose models have a head, or write, and need nothing but that to be measured."""
_NOTHING_IS_TAUGHT = "import teaches nothing"
_AS_GIVEN = "the rows of data.test, and of data.validation, are taken as they are given"
_OF_DATA = {
    "train": _NOTHING_IS_TAUGHT,
    "unlabelled": _NOTHING_IS_TAUGHT,
    "validation_fraction": _AS_GIVEN,
    "test_fraction": _AS_GIVEN,
    "limit": "it draws training rows, and there are none",
    "gate": "the doctor looks at training rows, and there are none",
}
"""Settings of `data` that are for rows that teach, and why they are of no use."""
_OF_JOB = ("adapt", "search", "searched")
_OF_INPUTS = ("max_length",)
"""Settings of `train` that say how inputs are read, and hold where nothing learns."""


class ImportedData(DataSettings):
    """What an imported model is measured on."""

    train: Sources = Field(default=[])
    """Nothing: no row teaches."""
    test: Sources
    """Rows to measure the model on, read once at the end."""


class ImportSettings(JobSettings):
    """A model that was taught elsewhere, and what it is measured on."""

    base_model: str = Field(min_length=1)
    """The model: hub id (org/name[@revision]), folder, s3://, package://module/folder or models:/name@alias."""
    data: ImportedData
    """What it is measured on."""

    def told(self) -> dict[str, object]:
        """Without what would have taught."""
        asked = self.model_dump(mode="json", exclude=set(_OF_JOB))
        return {**asked, "train": {name: getattr(self.train, name) for name in _OF_INPUTS}}


def import_faults(settings: JobSettings) -> list[str]:
    """Everything that is wrong with the settings of an import, a sentence each: what would teach, and what is wrong in
    a training too."""
    if settings.task not in TASKS:
        return [
            f"task is {settings.task!r}, of which no model can be imported; expected one of {listed(TASKS, len(TASKS))}"
        ]
    own = dict(_useless(settings))
    others = (one for one in contradictions(settings) if not one.startswith(tuple(f"{name} " for name in own)))
    faults = [f"{name} would have no effect: {reason}; remove it" for name, reason in own.items()]
    return [*faults, *_without_validation(settings), *others]


def _useless(settings: JobSettings) -> Iterator[tuple[str, str]]:
    for name, reason in _OF_DATA.items():
        if name in settings.data.model_fields_set:
            yield f"data.{name}", reason
    for name in type(settings.train).model_fields:
        is_given = name in settings.train.model_fields_set and getattr(settings.train, name) is not None
        if is_given and name not in _OF_INPUTS:
            yield f"train.{name}", _NOTHING_IS_TAUGHT
    for name in _OF_JOB:
        if getattr(settings, name):
            yield name, _NOTHING_IS_TAUGHT
    if settings.export.neighbours:
        yield "export.neighbours", "they are training rows, and there are none"


def _without_validation(settings: JobSettings) -> Iterator[str]:
    if settings.export.abstain is not None and settings.data.validation is None:
        yield "export.abstain needs validation rows: give data.validation"

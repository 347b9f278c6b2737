"""Audio regression, taught: one number per recording, in the unit of the data."""

from tunewright.job.kinds.files import SOUND_CHANGES, Files, recording_size
from tunewright.job.kinds.number import Number
from tunewright.job.kinds.task import Task
from tunewright.job.tasks.audio_classification import audio_learner

AUDIO_REGRESSION = Task(
    about="Recordings to numbers.",
    columns=Files("audio", "a recording", recording_size),
    target=Number(),
    learner=audio_learner,
    augments=SOUND_CHANGES,
)

"""Audio classification, taught: recordings to one label or several; each at the sampling rate of the base model."""

from tunewright.job.kinds.files import SOUND_CHANGES, Files, recording_size
from tunewright.job.kinds.labels import Labels
from tunewright.job.kinds.task import Learner, Task


def audio_learner() -> Learner:
    """Models of recordings."""
    from tunewright.job.learners.recordings import AUDIO_LEARNER

    return AUDIO_LEARNER


AUDIO_CLASSIFICATION = Task(
    about="Recordings to labels.",
    columns=Files("audio", "a recording", recording_size),
    target=Labels(),
    learner=audio_learner,
    augments=SOUND_CHANGES,
)

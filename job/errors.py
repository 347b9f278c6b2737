"""What can go wrong while a model is made, each with the exit code of the job.

JobError            1   anything without a better name
├── SettingsError   2   the settings contradict themselves or the world
├── BaseModelError  2   the base model cannot be used
├── DataError       3   the data cannot be used
├── GateFailed      4   the model is worse than the settings or the alias allow: no version, or no move
└── TrainingFailed  1   training cannot go on (a loss that is not finite)

Interrupted        75   SIGTERM: nothing was registered, the same job may simply run again
"""


class JobError(Exception):
    """The root of the tree; `str()` of it is written for people."""

    exit_code = 1


class SettingsError(JobError):
    """A setting is unknown, out of range, or names something that is not there."""

    exit_code = 2


class BaseModelError(JobError):
    """The base model is missing, unsafe, or not of a supported kind."""

    exit_code = 2


class DataError(JobError):
    """The data is missing, unreadable, or not what the settings say."""

    exit_code = 3


class GateFailed(JobError):
    """The exported model does not reach what the gate asks for, or the version what its alias does."""

    exit_code = 4


class TrainingFailed(JobError):
    """The training loop met something it must not continue from."""


class Interrupted(BaseException):
    """The platform asked the job to stop (SIGTERM).

    No Exception, as KeyboardInterrupt is none, so that nobody catches it by chance.
    """

    exit_code = 75


def first_line(error: Exception) -> str:
    """What an error of a library says, in a line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def visible(text: str) -> str:
    """A sentence without what moves the cursor or changes the colours of a terminal: names in it come from the data."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)

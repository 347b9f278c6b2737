"""Before the first version of a model is there: look again and again, and say once a minute what is waited for."""

from collections.abc import Callable

from tunewright.registry.errors import NotFound, Unreachable
from tunewright.registry.versions.watch import Seen
from tunewright.serving.events import emit
from tunewright.serving.live.models import Models

WAITED_FOR = (NotFound, Unreachable)
"""What passes without anybody starting the server again: nothing is registered yet, or the registry does not answer."""
_SAY_AGAIN = 60.0
"""Seconds between two lines about the same."""


def wait_for(models: Models, reference: str, look: Callable[[str], Seen], *, pause: Callable[[], float]) -> Seen:
    """Where a reference points, once it points anywhere; RegistryError for what no time mends.

    Meanwhile the models are not ready, and tell why. `pause`: waits until the next look, and gives the seconds that it
    took.
    """
    said, since = "", 0.0
    while True:
        try:
            seen = look(reference)
        except WAITED_FOR as error:
            models.waits_for = f"waiting for {reference}: {error}"
        else:
            models.waits_for = None
            return seen
        if models.waits_for != said or since >= _SAY_AGAIN:
            said, since = models.waits_for, 0.0
            emit("waiting", said, model=reference)
        since += pause()

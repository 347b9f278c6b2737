"""How many bytes the bodies of all requests take together."""

from dataclasses import dataclass
from typing import Self

from tunewright.serving.errors import Overloaded

SMALL_BODY = 64 << 10
"""A body up to so many bytes is always read: large ones may fill all the place, and must not shut out the others."""


class Bodies:
    """A bound on the bytes of all bodies in the house. To be used from one thread, that of the event loop."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0

    def share(self) -> "Share":
        """The place of one body, until its request is answered: `with bodies.share() as share: ...`."""
        return Share(self)


@dataclass(slots=True)
class Share:
    """What one body takes of that."""

    bodies: Bodies
    taken: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bodies.taken -= self.taken

    def grow(self, size: int) -> None:
        """The body has so many bytes by now; Overloaded when a large one finds no room."""
        if size > SMALL_BODY and self.bodies.taken + size - self.taken > self.bodies.most:
            raise Overloaded(
                f"the bodies of all requests together would be over {self.bodies.most} bytes; try again in 1 s "
                "(SERVING_LIMITS__BODIES_BYTES)",
                retry_after=1,
            )
        self.bodies.taken += size - self.taken
        self.taken = size

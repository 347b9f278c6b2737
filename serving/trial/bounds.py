"""What a program of others may take while it is tried."""

from dataclasses import dataclass

_CPU_SECONDS = 10.0
_MEMORY = 1 << 30
_BYTES_PER_SECOND = 20_000_000
"""A large model takes longer to load and to replay: a second of processor time more for so many bytes of it."""


@dataclass(frozen=True)
class Bounds:
    """What a program may take."""

    cpu_seconds: float
    memory: int
    """Bytes of its data, beside what the interpreter itself takes."""

    @classmethod
    def of(cls, size: int = 0) -> "Bounds":
        """10 s and 1 GiB, and more for a program of so many bytes: reading it holds it up to three times."""
        return cls(_CPU_SECONDS + size / _BYTES_PER_SECOND, _MEMORY + 3 * size)

    @property
    def too_large(self) -> str:
        """What is wrong with a program that wants more memory."""
        return f"it wants more memory than {self.memory / 2**30:.1f} GiB"

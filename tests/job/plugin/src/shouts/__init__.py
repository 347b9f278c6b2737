"""One of everything that can be added to Tunewright."""

from shouts import answers

__all__ = ["answers"]

"""Passages of a context, as a data set keeps them."""

from typing import TypedDict


class Passages(TypedDict):
    """The right answers to one question; none where it has no answer."""

    text: list[str]
    start: list[int]
    """Where each begins in the context, in characters."""

"""The same test for one more architecture or setting.

All of them take an hour of a processor, and what breaks one mostly breaks its siblings too: `make test` runs one
or two of each kind, `make test-slow` all, and CI a quarter (`tests/conftest.py`).
"""

from collections.abc import Collection

import pytest

SIBLING = (pytest.mark.slow, pytest.mark.sibling)


def siblings(cases: Collection, quick: Collection):
    """Cases of a parametrized test, all but the quick ones marked."""
    return [
        pytest.param(*(one if isinstance(one, tuple) else (one,)), marks=() if one in quick else SIBLING)
        for one in cases
    ]

"""What tells runs, and rows that were checked, from others."""

import hashlib
import json


def digest(value: object) -> str:
    """The sha256 of what JSON can say: equal for equal values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

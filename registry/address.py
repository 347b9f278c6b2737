"""Addresses as they may be shown: in messages, logs and reports, without what only their owner may know."""

import re


def shown_address(text: str) -> str:
    """An address without a user name and password, and without the query and fragment of a signed one.

    A text that is no address is shown as it is, and so is an object's key that merely holds an `@` or a `?`.
    """
    scheme, slashes, rest = text.partition("://")
    if not slashes:
        return text
    # Neither has a user name; in both an `@` may stand further on: in a key, before a revision.
    is_bucket = scheme.lower() in ("s3", "hf")
    first = rest.partition("/")[0]
    # A password may hold a slash where nobody has escaped it.
    if "@" in rest and (not is_bucket or "@" in first or ":" in first):
        rest = "***@" + rest.rpartition("@")[2]
    end = re.search("[?#]", rest)
    if end and (not is_bucket or "=" in rest[end.start() :]):
        rest = rest[: end.start()] + "?***"
    return scheme + slashes + rest

"""What can go wrong while answering.

ServingError
├── SettingsError    a SERVING_* variable is missing, unknown or has an impossible value
├── BundleError      the pulled folder is not a model this program can serve
├── ModelFault       the model's own output cannot be answered with (HTTP 500)
├── NotLoaded        the model is not in memory (HTTP 503)
├── DeadlineExceeded the model did not answer in time (HTTP 503)
└── RequestError     the caller's doing
    ├── Malformed    the body is not a JSON object (HTTP 400)
    ├── NotFound     nothing at this address answers: no such model, or not in this way (HTTP 404)
    ├── Incomplete   the body did not arrive in time (HTTP 408)
    ├── TooLarge     the request is over a limit (HTTP 413)
    ├── InputError   the inputs or parameters are wrong (HTTP 422)
    ├── Left         the caller closed the connection before the answer (counted as 499, never sent)
    └── Overloaded   too many requests at once (HTTP 429)
"""

from itertools import islice

_SHOWN = 60
"""Characters of a caller's value that an error repeats."""
_DEEPEST = 8
"""Lists and objects within each other of which an error shows what is in them."""


class ServingError(Exception):
    """The root of the tree; `str()` of it is one sentence for people."""


class SettingsError(ServingError):
    """A setting cannot be used; all mistakes are in the message."""


class BundleError(ServingError):
    """The folder of a version is incomplete, inconsistent or made for another program."""


class ModelFault(ServingError):
    """The model answered with something that is not a finite number."""


class NotLoaded(ServingError):
    """The model is not in memory: not yet, or not now."""

    def __init__(self, message: str, *, model: str) -> None:
        super().__init__(message)
        self.model = model


class DeadlineExceeded(ServingError):
    """The model took longer than the limit."""


class RequestError(ServingError):
    """The request cannot be answered as it stands, and it is not this program's fault."""


class Malformed(RequestError):
    """The body is not a JSON object of the expected shape."""


class NotFound(RequestError):
    """No such model is served here, or it cannot do what is asked."""


class Incomplete(RequestError):
    """The body did not arrive whole."""


class Left(RequestError):
    """Nobody waits for the answer any more."""


class TooLarge(RequestError):
    """The request is over one of the limits of this server."""


class InputError(RequestError, ValueError):
    """The inputs or the parameters are wrong."""


class Overloaded(RequestError):
    """As many requests as allowed are being answered already."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds after which it makes sense to try again."""


def shown(item: object) -> str:
    """A caller's value as an error message repeats it: in the words of JSON, quoted, printable, short."""
    text = _spelt(item, _DEEPEST)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _spelt(item: object, depth: int) -> str:
    match item:
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[item]
        case bytes():
            return f"a file of {len(item):,} bytes"
        case list() | dict() if not depth:
            return "..."
        case list():
            return f"[{', '.join(_spelt(one, depth - 1) for one in item[:_SHOWN])}]"
        case dict():
            some = islice(item.items(), _SHOWN)
            return f"{{{', '.join(f'{name!r}: {_spelt(value, depth - 1)}' for name, value in some)}}}"
    # Python's quotes: what cannot be printed is escaped by them.
    return repr(item)

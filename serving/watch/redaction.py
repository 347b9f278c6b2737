"""What is taken out of samples of requests before they leave the process."""

import re
from collections.abc import Callable

from tunewright.registry.plugins import Catalogue
from tunewright.serving.errors import SettingsError

REDACTORS = "tunewright.redactors"
"""The entry points of packages that bring more."""


class Redactor:
    """A named function from a text to what of it may be kept."""

    def __init__(self, name: str, redact: Callable[[str], str]) -> None:
        self.name = name
        self.redact = redact


def _pattern(name: str, expression: str) -> Redactor:
    found = re.compile(expression)
    return Redactor(name, lambda text: found.sub(f"[{name}]", text))


_BUILT_IN = [
    _pattern("email", r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    _pattern("url", r"https?://\S+"),
    _pattern("number", r"\+?\d(?:[ ().-]?\d){6,}"),
    Redactor("digits", lambda text: re.sub(r"\d", "0", text)),
]

_CATALOGUE: Catalogue[Redactor] = Catalogue(
    "redactor", REDACTORS, Redactor, {redactor.name: redactor for redactor in _BUILT_IN}
)


def redaction(names: list[str]) -> Callable[[object], object]:
    """A function that redacts every text in a value, by these redactors one after the other; SettingsError."""
    unknown = [name for name in names if name not in _CATALOGUE]
    if unknown:
        raise SettingsError(
            f"SERVING_FEEDBACK__REDACT names {unknown[0]!r}; there is: {', '.join(_CATALOGUE)} (a package may bring "
            f"more, under the entry points {REDACTORS})"
        )
    chosen = [_CATALOGUE[name] for name in names]

    def redacted(value: object) -> object:
        if isinstance(value, str):
            for one in chosen:
                value = one.redact(value)
            return value
        if isinstance(value, dict):
            return {name: redacted(item) for name, item in value.items()}
        return [redacted(item) for item in value] if isinstance(value, list | tuple) else value

    return redacted

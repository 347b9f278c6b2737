"""Personal data seen in texts: counted, by rows, and never shown."""

import re
from collections import Counter
from collections.abc import Callable, Iterator

from tunewright.job.data.doctor.finding import SHOWN, Finding
from tunewright.job.data.doctor.side import Side

_E_MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_CARD = re.compile(r"(?<![\d.,])[3-6]\d(?:[ -]?\d){11,17}(?![\d.,]?\d)")
_ACCOUNT = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_PHONE = re.compile(
    # With the sign or the zeros of another country, with the zero of a city, or as written in North America.
    r"(?<![\w.,/+-])(?:(?:\+|00)[1-9]\d{0,2}(?:[ ./-]?\(?\d{1,5}\)?){2,6}"
    r"|\(?0[1-9]\d{1,4}\)?[ ./-]?\d{3,8}(?:[ -]\d{2,5}){0,3}"
    r"|\(?[2-9]\d{2}\)?[ .-]\d{3}[ .-]\d{4})(?![\d/-])"
)
_DATE = re.compile(r"\d{1,2}[-./ ]\d{1,2}[-./ ]\d{2,4}")
_QUOTED = 60
"""Characters of a label in a sentence."""
_FEWEST, _MOST = 9, 15
"""Digits of a telephone number."""


def _is_card(text: str) -> bool:
    """Whether the check digit is right (Luhn's sum, ISO/IEC 7812)."""
    digits = [int(one) for one in reversed(text) if one.isdecimal()]
    doubled = [sum(divmod(2 * one, 10)) for one in digits[1::2]]
    return len(set(digits)) > 1 and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_account(text: str) -> bool:
    """Whether the check digits of an IBAN are right (ISO 7064, modulo 97)."""
    plain = text.replace(" ", "")
    return len(plain) >= 15 and int("".join(str(int(one, 36)) for one in plain[4:] + plain[:4])) % 97 == 1


def _is_phone(text: str) -> bool:
    digits = sum(map(str.isdecimal, text))
    return _FEWEST <= digits <= _MOST and not _DATE.fullmatch(text)


KINDS: dict[str, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "e-mail address": (_E_MAIL, lambda text: True),
    "card number": (_CARD, _is_card),
    "bank account": (_ACCOUNT, _is_account),
    "telephone number": (_PHONE, _is_phone),
}
"""What is looked for, in this order: digits of a card are no telephone number too."""


def masked(text: str) -> str:
    """The text with a word in place of each personal value."""
    return _without(text, Counter())


def quoted(label: str) -> str:
    """A label as a sentence quotes it: without personal values, cut where it is long."""
    text = masked(label)
    return repr(text if len(text) <= _QUOTED else text[: _QUOTED - 3] + "...")


def _without(text: str, found: Counter[str]) -> str:
    for kind, (pattern, is_one) in KINDS.items():

        def taken(match: re.Match[str], kind: str = kind, is_one: Callable[[str], bool] = is_one) -> str:
            if not is_one(match.group()):
                return match.group()
            found[kind] += 1
            return f"[{kind}]"

        text = pattern.sub(taken, text)
    return text


def personal(side: Side) -> Iterator[Finding]:
    """Rows in whose texts addresses and numbers of people stand."""
    rows = Counter[str]()
    first: list[int] = []
    for at, (texts, _) in enumerate(side.rows()):
        found = Counter[str]()
        for text in texts:
            # What has neither an @ nor a few digits holds none of them.
            if "@" in text or _may_hold_number(text):
                _without(text, found)
        rows.update(dict.fromkeys(found, 1))
        if found:
            rows["any"] += 1
            first += [at] if len(first) < SHOWN else []
    if not (count := rows.pop("any", 0)):
        return
    told = ", ".join(f"{kind} in {many:,}" for kind, many in rows.most_common())
    yield Finding(
        "personal",
        "warning",
        side.name,
        count,
        count / len(side),
        f"{count:,} of {len(side):,} {side.name} rows seem to hold personal data (rows: {told})",
        "mask or remove it: a model may learn it, and registered neighbours and samples of rows show it",
        side.examples(first),
    )


_DIGITS = re.compile(r"\d[\d ()./-]{5,}\d|[A-Z]{2}\d{2}")


def _may_hold_number(text: str) -> bool:
    return _DIGITS.search(text) is not None

"""Labels as data writes them: one value or a list, a list written as text, whole numbers; cleaned as texts are."""

import ast
import json
import re
from collections.abc import Iterator, Sequence

from tunewright.serving.text.cleaning import clean_label

_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_CALL = re.compile(r"(?:[a-z]+\.)?(?:array|list|set|frozenset|tuple|deque|Index|Categorical|Series)\((.*)\)", re.DOTALL)
_KEYWORDS = re.compile(r",\s*(?:dtype|categories|ordered|name|length)\s*=.*", re.DOTALL)
_SCALAR = re.compile(rf"(?:np|numpy)\.str_\(({_QUOTED})\)")
_SEQUENCE = re.compile(rf"(?:{_QUOTED})(?:(?:\s*[,;]\s*|\s+)(?:{_QUOTED}))*\s*[,;]?", re.DOTALL)
_NUMBERS = re.compile(r"-?\d+\.?\d*(?:\s+-?\d+\.?\d*)+")
_FASTTEXT = re.compile(r"(?:__label__\S+(?:\s+|$))+")
_BIT = re.compile(r"[01](\.0*)?|true|false", re.IGNORECASE)
_ENCLOSED = {"[": "]", "{": "}", "(": ")"}
_HINT = 'write the labels apart (joy,fear), as a JSON list (["joy", "fear"]), or name them in data.label_names'


def parts_of(value: object, role: str, separator: str) -> Sequence[object]:
    """The labels of one value. ValueError for a list where one label belongs, or in a form that is not known."""
    if isinstance(value, dict):
        value = _choices(value)
    if isinstance(value, str):
        found = _written_list(value.strip(), separator, role)
        if role == "labels" and _FASTTEXT.fullmatch(value.strip()):
            found = [one.removeprefix("__label__") for one in value.split()]
        if found is None and role == "labels":
            parts = [part for part in value.split(separator) if part.strip()]
            _refuse_remains(parts)
            found = parts
        value = value if found is None else found
    if isinstance(value, list) and role != "labels":
        raise ValueError("is a list where one label belongs; give the column the role labels, or write the label alone")
    if isinstance(value, list):
        _refuse_bits(value)
    return value if isinstance(value, list) else [value]


def label_of(value: object) -> str:
    """One label, cleaned as a text is. ValueError for what is none."""
    if value is None:
        raise ValueError("is empty where a label belongs")
    if isinstance(value, float):
        raise ValueError(_float_fault(value))
    if not isinstance(value, str | int):
        raise ValueError("is not a label (text or a whole number)")
    label = clean_label(str(value).lower() if isinstance(value, bool) else str(value))
    if not label:
        raise ValueError("is empty where a label belongs")
    return label


def _float_fault(value: float) -> str:
    if value.is_integer():
        return (
            "is not a label (text or a whole number): a missing value turns whole numbers of pandas into decimals; "
            'write the column with astype("Int64"), or as text'
        )
    return "is not a label (text or a whole number)"


def _choices(value: dict[str, object]) -> Sequence[object]:
    """Label Studio writes several choices so."""
    found = value.get("choices")
    if set(value) != {"choices"} or not isinstance(found, str | list):
        raise ValueError(f'is an object, of which only {{"choices": [...]}} is known; {_HINT}')
    return found if isinstance(found, list) else [found]


def _written_list(text: str, separator: str, role: str) -> Sequence[object] | None:
    """The labels of a list that is written as text; None for a text that is none."""
    call = _CALL.fullmatch(text)
    inner = _KEYWORDS.sub("", call[1]).strip() if call else text
    if call and not inner:
        return []
    if text.startswith("{") and (found := _json_object(text)) is not None:
        return _choices(found)
    if _ENCLOSED.get(inner[:1]) != inner[-1:] or len(inner) < 2:
        _refuse_quotes(inner)
        return None
    body = _SCALAR.sub(r"\1", inner[1:-1]).strip()
    if _SEQUENCE.fullmatch(body):
        return list(_unquoted(body))
    # A single label may stand in round brackets, and labels of several too: (other).
    if (inner[0] == "(" and not call) or (inner[0] == "{" and role != "labels"):
        return None if body else []
    return _unquoted_list(body, separator)


def _json_object(text: str) -> dict[str, object] | None:
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return found if isinstance(found, dict) and found else None
    return None


def _unquoted_list(body: str, separator: str) -> Sequence[object]:
    """Without quotes: [joy, fear], or numpy's [1 2]."""
    if re.search(r"""["'‘’“”«»\[\](){}]""", body):
        raise ValueError(f"is a list written as text, in a form that is not known; {_HINT}")
    if _NUMBERS.fullmatch(body):
        return body.split()
    between = separator if separator in body else ","
    return [part for part in body.split(between) if part.strip()]


def _unquoted(body: str) -> Iterator[str]:
    for quoted in re.findall(_QUOTED, body):
        try:
            yield str(json.loads(quoted) if quoted[0] == '"' else ast.literal_eval(quoted))
        except (ValueError, SyntaxError):
            yield quoted[1:-1]


def _refuse_bits(values: Sequence[object]) -> None:
    """Zeros and ones, one for each label that there is, would become two labels that nearly every row has."""
    written = [str(value).strip() for value in values]
    are_bits = len(written) > 1 and all(_BIT.fullmatch(one) for one in written)
    if are_bits and (len(set(written)) < len(written) or not all(map(str.isdecimal, written))):
        raise ValueError("is a row of zeros and ones, one for each label; write the names of the labels that it has")


def _refuse_quotes(text: str) -> None:
    """Quotes around a label that an earlier reader has left there."""
    if re.fullmatch(_QUOTED, text, re.DOTALL):
        raise ValueError("stands in quotes, which would become part of the label; write it without them")


def _refuse_remains(parts: list[str]) -> None:
    """A piece of a list that was cut at the separator would become a label."""
    for part in map(str.strip, parts):
        _refuse_quotes(part)
        if any(part.count(opened) != part.count(closed) for opened, closed in _ENCLOSED.items()):
            raise ValueError(f"has brackets that are not closed within one label; {_HINT}")

"""Labels that look like one label written in several ways: other capitals, separators, or widths of letters."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from tunewright.job.data.doctor.finding import Finding
from tunewright.job.data.doctor.personal import quoted
from tunewright.job.data.doctor.side import Side

_SEPARATORS = re.compile(r"(?<=\w)[\s_\-]+(?=\w)")


def respelled(counts: Mapping[str, int]) -> dict[str, str]:
    """Labels that differ from a commoner one only in how they are written, to that one; `counts`: rows of each."""
    forms: dict[str, list[str]] = {}
    for label in counts:
        forms.setdefault(_form(label), []).append(label)
    found = {}
    for labels in forms.values():
        common, *others = sorted(labels, key=lambda label: (-counts[label], label))
        found.update(dict.fromkeys(others, common))
    return found


def _form(label: str) -> str:
    plain = unicodedata.normalize("NFKC", label).casefold()
    # Signs of a number are no separators: "1-2" is another label than "12", "-1" than "1".
    return _SEPARATORS.sub(" ", plain).strip()


def alike(counts: Mapping[str, int], others: Mapping[str, str]) -> str:
    """How such labels are told, the commonest first; `others` as `respelled` gives them."""
    label = min(others, key=lambda one: (-counts[one], one))
    common = others[label]
    more = f" (so do {len(others) - 1} more)" if others.keys() - {label} else ""
    return (
        f"the labels {quoted(common)} ({counts[common]:,} rows) and {quoted(label)} ({counts[label]:,}) differ only in "
        f"capitals, separators or widths{more}, and are learned as two"
    )


def spellings(side: Side) -> Iterator[Finding]:
    """Rows whose label differs from a commoner one of the side only in how it is written."""
    counts = Counter(chain.from_iterable(_labels(side)))
    others = respelled(counts)
    if not others:
        return
    rows = [at for at, labels in enumerate(_labels(side)) if not others.keys().isdisjoint(labels)]
    yield Finding(
        "spellings",
        "warning",
        side.name,
        len(rows),
        len(rows) / len(side),
        alike(counts, others),
        "if they mean the same, give them one name in data.label_names or write them alike",
        side.examples(rows),
        said=side.name == "train",
    )


def _labels(side: Side) -> Iterator[Sequence[str]]:
    """The labels of each row, without its texts."""
    return map(side.labels_of, chain.from_iterable(side.data.target_parts()))

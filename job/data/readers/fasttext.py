"""Lines as fastText reads them, each with its labels in front: `__label__good __label__cheap Fits well.`"""

import re
from collections.abc import Iterator

from tunewright.job.data.readers.lines import of_lines
from tunewright.job.data.readers.reader import Layout, Reader, Row

PREFIX = "__label__"
"""How a word begins that is a label."""
_LABEL = re.compile(rf"(?<!\S){PREFIX}(\S+)(?:\s+|$)")


def read_fasttext(text: Iterator[str], address: str, layout: Layout) -> Iterator[Row]:
    """The rows in these lines: `text`, all `labels` of the line, and its `label`, a list where it has several."""
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        labels = _LABEL.findall(line)
        label = labels[0] if len(labels) == 1 else labels or None
        yield Row(number, {"text": _LABEL.sub("", line).strip(), "label": label, "labels": labels})


FASTTEXT = Reader("fasttext", of_lines(read_fasttext))

"""A format: a label, a bar, a text."""

from tunewright.job.data.readers.reader import Reader, Row


def _read(path, address, layout):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        label, _, text = line.partition("|")
        yield Row(number, {"label": label, "text": text})


PIPES = Reader("pipes", _read, (".pipes",), settings=frozenset())

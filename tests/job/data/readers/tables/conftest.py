"""Tables for the tests."""

import pytest

from tunewright.job.data.readers.formats import read_rows
from tunewright.job.data.readers.reader import Layout


@pytest.fixture
def rows(write):
    """rows(content, "text", "label", ...): the values of each row, and what is wrong with it."""

    def read(content, *wanted, name="a.csv", **layout):
        path = write(name, content if isinstance(content, bytes) else content.encode())
        layout = {"format": name.rpartition(".")[2], **layout}
        return [
            row.fault or row.values
            for row in read_rows(path, name, Layout(wanted=wanted or ("text", "label"), **layout))
        ]

    return read

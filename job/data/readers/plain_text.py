"""Plain text as rows with the one column `text`: a line each, a paragraph each, or the whole file.

Blank lines separate and are no rows. Line breaks inside a row are LF.
"""

from collections.abc import Iterator

from tunewright.job.data.readers.lines import LINE_LIMIT, of_lines
from tunewright.job.data.readers.reader import Layout, Reader, Row
from tunewright.job.errors import DataError


def read_text(text: Iterator[str], address: str, layout: Layout) -> Iterator[Row]:
    """The rows in these lines, each at its first line. DataError for one that is too long to be a row."""
    block = _Block(address, layout.sample_by)
    for number, line in enumerate(text, 1):
        blank = not line.strip()
        if layout.sample_by == "line" or (blank and layout.sample_by == "paragraph"):
            yield from block.end()
        if not blank or block.lines:
            block.take(number, line.rstrip("\r\n"))
    yield from block.end()


class _Block:
    """The lines of the row that is being read."""

    def __init__(self, address: str, unit: str) -> None:
        self._address, self._unit = address, unit
        self.lines: list[str] = []
        self._start = self._size = 0

    def take(self, number: int, line: str) -> None:
        self._start = self._start if self.lines else number
        self.lines.append(line)
        self._size += len(line) + 1
        if self._size > LINE_LIMIT:
            raise DataError(
                f"{self._address}: the {self._unit} that starts in line {self._start} is longer than {LINE_LIMIT:,} "
                "characters; set data.sample_by to line or paragraph, or divide the file"
            )

    def end(self) -> Iterator[Row]:
        """The row of the lines so far, if there are any; then begin the next."""
        text = "\n".join(self.lines).rstrip("\n")
        if text:
            yield Row(self._start, {"text": text})
        self.lines, self._size = [], 0


TEXT = Reader("text", of_lines(read_text), (".txt", ".text"), settings=frozenset(("encoding", "sample_by")))

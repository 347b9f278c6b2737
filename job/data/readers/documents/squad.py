"""Questions about texts, in the JSON of SQuAD 1 and 2 (https://rajpurkar.github.io/SQuAD-explorer/), as flat rows.

Only one paragraph is in memory at a time. A row is a question, counted from 1 through the file; its answers are
lists, as the library `datasets` has them, and empty where the question has none.
"""

from collections.abc import Iterator

from tunewright.job.data.faults import listed, shown
from tunewright.job.data.readers.documents.text import PieceText
from tunewright.job.data.readers.lines import of_pieces
from tunewright.job.data.readers.reader import Reader, Row
from tunewright.job.errors import DataError


def read_squad(pieces: Iterator[str], address: str) -> Iterator[Row]:
    """The questions in the text, with the columns id, question, context and answers. DataError where it is broken."""
    number = 1
    for paragraph in _Document(pieces, address).paragraphs():
        for row in _questions(paragraph, number):
            yield row
            number += 1


class _Document:
    """The text as nested objects, read from its beginning to its end."""

    def __init__(self, pieces: Iterator[str], address: str) -> None:
        self._text, self._place = PieceText(pieces), address
        self._address = address

    def paragraphs(self) -> Iterator[object]:
        """Every paragraph of every article, in order."""
        for _ in self._under("data"):
            yield from self._articles()
        if after := self._text.peek():
            raise DataError(f"{self._address}: {after!r} stands after the end of the one JSON object")

    def _articles(self) -> Iterator[object]:
        for number in self._elements():
            self._place = f"{self._address}, article {number}"
            for _ in self._under("paragraphs"):
                for paragraph in self._elements():
                    self._place = f"{self._address}, article {number}, paragraph {paragraph}"
                    yield self._value()

    def _under(self, wanted: str) -> Iterator[None]:
        """Read an object; give control where the value of one key stands. DataError where the key is not there."""
        place = self._place
        seen: list[str] = []
        self._take("{")
        while self._text.peek() != "}":
            if seen:
                self._take(",")
            seen.append(self._key())
            if seen[-1] == wanted:
                yield
            else:
                self._value()
        self._text.take()
        if wanted not in seen:
            keys = listed(map(shown, seen)) or "none"
            raise DataError(f"{place} has no {wanted!r}, so this is not SQuAD JSON; its keys are {keys}")

    def _key(self) -> str:
        if self._text.peek() != '"':
            raise self._broken(self._text.peek(), "a key")
        key = str(self._value())
        self._take(":")
        return key

    def _elements(self) -> Iterator[int]:
        """Read an array; give control, with the number from 1, where each element stands."""
        self._take("[")
        number = 0
        while self._text.peek() != "]":
            if number:
                self._take(",")
            number += 1
            yield number
        self._text.take()

    def _take(self, wanted: str) -> None:
        found = self._text.take()
        if found != wanted:
            raise self._broken(found, repr(wanted))

    def _broken(self, found: str, wanted: str) -> DataError:
        what = f"{found!r} stands" if found else "the file ends"
        return DataError(
            f"{self._place} is not SQuAD JSON: {what} where {wanted} belongs "
            '(expected {"data": [{"paragraphs": [{"context": ..., "qas": [...]}]}]})'
        )

    def _value(self) -> object:
        try:
            return self._text.value()
        except RecursionError:
            raise DataError(f"{self._place} is nested too deeply") from None
        except ValueError as error:
            raise DataError(f"{self._place} is not JSON: {getattr(error, 'msg', error)}") from error


def _questions(paragraph: object, number: int) -> Iterator[Row]:
    """The rows of one paragraph, of which the first is question `number`."""
    if not isinstance(paragraph, dict):
        yield Row(number, {}, "stands in a paragraph that is no JSON object", shown(paragraph))
        return
    context, questions = paragraph.get("context"), paragraph.get("qas")
    if not isinstance(context, str):
        yield _missing(number, "stands in a paragraph without a text 'context'", paragraph)
    elif not isinstance(questions, list):
        yield _missing(number, "stands in a paragraph without a list 'qas'", paragraph)
    else:
        yield from (_question(one, context, place) for place, one in enumerate(questions, number))


def _question(value: object, context: str, number: int) -> Row:
    if not isinstance(value, dict):
        return Row(number, {}, "is no JSON object", shown(value))
    if not isinstance(value.get("question"), str):
        return _missing(number, "has no text 'question'", value)
    impossible = value.get("is_impossible")
    answers = value.get("answers", [] if impossible is True else None)
    if not isinstance(answers, list):
        return _missing(number, "has no list 'answers'", value)
    for answer in answers:
        if not _is_answer(answer):
            what = "has an answer without a text 'text' and a whole number 'answer_start'"
            return Row(number, {}, what, shown(answer), "answer_start counts the characters of the context from 0")
    if impossible is not None and impossible is not (not answers):
        what = f"has {'answers' if answers else 'no answer'} and is_impossible is not {str(not answers).lower()}"
        return Row(number, {}, what, shown(impossible), "a question has answers or is impossible")
    flat = {"text": [one["text"] for one in answers], "answer_start": [one["answer_start"] for one in answers]}
    return Row(number, {"id": value.get("id"), "question": value["question"], "context": context, "answers": flat})


def _is_answer(answer: object) -> bool:
    return (
        isinstance(answer, dict)
        and isinstance(answer.get("text"), str)
        and isinstance(answer.get("answer_start"), int)
        and not isinstance(answer["answer_start"], bool)
    )


def _missing(number: int, fault: str, value: dict[str, object]) -> Row:
    return Row(number, {}, fault, shown(value), f"its keys are {listed(map(shown, value)) or 'none'}")


SQUAD = Reader("squad", of_pieces(read_squad), unit="question")

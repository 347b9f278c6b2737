"""What a file is, and how it is laid out."""

import gzip
import json

import pytest

from tunewright.job.commands.guess.sample import sample
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.errors import DataError

SQUAD = json.dumps(
    {"data": [{"paragraphs": [{"context": "abc", "qas": [{"id": "1", "question": "q", "answers": []}]}]}]}
)
ROWS = [f"the text of row {number}" for number in range(12)]


@pytest.fixture
def look(write):
    """look("a.csv", "text"): the sample of a file with this content."""

    def make(name, content):
        data = content if isinstance(content, bytes) else content.encode()
        path = write(name, data)
        return sample(SourceFile(name, path, "", len(data)))

    return make


def table(between, *, header="", rows=ROWS):
    lines = [header] * bool(header) + [f"{row}{between}{number % 2}" for number, row in enumerate(rows)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("name", "content", "settings"),
    [
        ("a.csv", table(",", header="text,label"), {}),
        ("a.csv", table(","), {"header": False}),
        ("a.csv", table(";", header="text;label"), {"delimiter": ";"}),
        ("a.tsv", table("\t"), {"header": False}),
        ("a.txt", table("\t", header="text\tlabel"), {"format": "tsv"}),
        ("a", table(","), {"format": "csv", "header": False}),
        ("a.json", json.dumps([{"text": "a"}, {"text": "b"}]), {}),
        ("a.json", '{"text": "a"}\n{"text": "b"}\n', {"format": "jsonl"}),
        ("a.json", SQUAD, {"format": "squad"}),
        ("a.txt", "One line of prose.\nAnother one, with a comma.\nA third.\n", {}),
        ("a.txt", "One line.\n\nAnother.\n\nA third.\n", {"sample_by": "paragraph"}),
        ("a.txt", "Rome B-LOC\nfell O\n\nAda B-PER\nran O\n", {"format": "conll"}),
        ("a.conll", "# id 1\nRome\tB-LOC\n\n# id 2\nAda\tB-PER\n", {"comment": "# "}),
        ("a.tsv.gz", gzip.compress(table("\t").encode(), mtime=0), {"header": False}),
    ],
)
def test_what_data_must_say(look, name, content, settings):
    assert look(name, content).settings == settings


@pytest.mark.parametrize(
    ("first", "is_header"),
    [
        ("stars,opinion", True),
        ("text,1", False),
        ("1,the text of a row", False),
        ("Meinung,Wert", True),
        ("the text of a row,0", False),
    ],
)
def test_the_first_line_is_a_header_or_data(look, first, is_header):
    seen = look("a.csv", first + "\n" + table(","))
    assert seen.layout.header is is_header
    assert seen.rows == len(ROWS) + (not is_header)


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [("B-LOC I-LOC O", "BIO"), ("B-LOC E-LOC S-LOC O", "BIOES"), ("NOUN VERB X", "plain"), ("O O O", "plain")],
)
def test_how_tags_are_spelt(look, tags, scheme):
    assert look("a.conll", "".join(f"word {tag}\n" for tag in tags.split())).facts.scheme == scheme


def test_answers_that_do_not_stand_where_they_say_are_counted(look):
    answers = [{"text": "b", "answer_start": 1}, {"text": "b", "answer_start": 0}]
    questions = [{"id": str(n), "question": "q", "answers": [answer]} for n, answer in enumerate(answers)]
    data = {"data": [{"paragraphs": [{"context": "abc", "qas": [*questions, questions[0] | {"question": " "}]}]}]}
    seen = look("a.json", json.dumps(data))
    assert (seen.rows, seen.facts.wrong, seen.facts.empty) == (3, 1, 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x00\x01\x02\x03" * 50, "a.bin is no text, and of no format that is known: "),
        (b"PK\x03\x04rest", "a.bin is a ZIP archive or a spreadsheet (.xlsx); unpack it, or save the sheet as CSV"),
        (b"<html><body>", "a.bin is a web page (HTML); download the file itself, not the page that shows it"),
    ],
)
def test_what_is_no_data_is_named(look, content, said):
    with pytest.raises(DataError) as caught:
        look("a.bin", content)
    assert str(caught.value).startswith(said)

"""SQuAD files as flat rows: one paragraph in memory at a time, every fault with its question."""

import gzip
import json
import os
import tracemalloc
from pathlib import Path

import pytest

from tunewright.job.data.readers.documents.squad import read_squad
from tunewright.job.data.readers.formats import read_rows, unit_of
from tunewright.job.data.readers.reader import Layout, Row
from tunewright.job.errors import DataError

DATA = os.environ.get("TUNEWRIGHT_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TUNEWRIGHT_DATA does not name a folder of real data sets")

NONE = {"text": [], "answer_start": []}


def question(**changes):
    return {"id": "q", "question": "who?", "answers": [{"text": "Ada", "answer_start": 0}], **changes}


def document(*questions, **changes):
    paragraph = {"qas": list(questions), "context": "Ada wrote it.", **changes}
    return {"version": "v2.0", "data": [{"title": "t", "paragraphs": [paragraph], "n": 1}], "more": {"data": []}}


def read(value, size=1):
    text = value if isinstance(value, str) else json.dumps(value)
    return list(read_squad(iter([text[at : at + size] for at in range(0, len(text), size)]), "a.json"))


def row(number, **changes):
    flat = {"text": ["Ada"], "answer_start": [0]}
    values = {"id": "q", "question": "who?", "context": "Ada wrote it.", "answers": flat}
    return Row(number, values | changes)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("indent", [None, 2])
def test_questions_become_rows_wherever_the_pieces_end(size, indent):
    two = [{"text": "Ada", "answer_start": 0}, {"text": "it", "answer_start": 10}]
    value = document(question(), question(id=7, answers=two), question(answers=[]))
    value["data"] += [{"paragraphs": []}, *document(question())["data"]]
    both = {"text": ["Ada", "it"], "answer_start": [0, 10]}
    rows = [row(1), row(2, id=7, answers=both), row(3, answers=NONE), row(4)]
    assert read(json.dumps(value, indent=indent), size) == rows


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_format_is_read_from_a_file(write, pack):
    path = write("a.json", pack(json.dumps(document(question())).encode()))
    assert list(read_rows(path, "a.json", Layout("squad"))) == [row(1)]
    assert unit_of("a.json", Layout("squad")) == "question"


def test_impossible_questions_have_no_answers():
    plausible = question(answers=[], is_impossible=True, plausible_answers=[{"text": "it", "answer_start": 10}])
    without = {"id": "q", "question": "who?", "is_impossible": True}
    rows = read(document(plausible, without, question(is_impossible=False)))
    assert rows == [row(1, answers=NONE), row(2, answers=NONE), row(3)]


def test_a_question_may_have_no_id():
    assert read(document({key: value for key, value in question().items() if key != "id"})) == [row(1, id=None)]


ANSWER = "has an answer without a text 'text' and a whole number 'answer_start'"
COUNTS = "answer_start counts the characters of the context from 0"


@pytest.mark.parametrize(
    ("changes", "fault", "found", "hint"),
    [
        ({"answers": [{"text": "a", "answer_start": "0"}]}, ANSWER, "{'text': 'a', 'answer_start': '0'}", COUNTS),
        ({"answers": [{"text": "a", "answer_start": True}]}, ANSWER, "{'text': 'a', 'answer_start': True}", COUNTS),
        ({"answers": ["a"]}, ANSWER, "'a'", COUNTS),
        (
            {"is_impossible": True},
            "has answers and is_impossible is not false",
            "True",
            "a question has answers or is impossible",
        ),
        (
            {"is_impossible": False, "answers": []},
            "has no answer and is_impossible is not true",
            "False",
            "a question has answers or is impossible",
        ),
    ],
)
def test_a_broken_question_is_a_fault_of_that_question(changes, fault, found, hint):
    assert read(document(question(), question(**changes), question())) == [
        row(1),
        Row(2, {}, fault, found, hint),
        row(3),
    ]


def test_what_is_missing_is_named_with_what_is_there():
    value = document({"query_text": "who?"}, {"question": "who?"}, 5)
    value["data"][0]["paragraphs"] += [{"context_text": "a", "qas": []}, {"context": "a"}, "a"]
    value["data"] += document(question())["data"]
    assert read(value) == [
        Row(1, {}, "has no text 'question'", "{'query_text': 'who?'}", "its keys are 'query_text'"),
        Row(2, {}, "has no list 'answers'", "{'question': 'who?'}", "its keys are 'question'"),
        Row(3, {}, "is no JSON object", "5"),
        Row(
            4,
            {},
            "stands in a paragraph without a text 'context'",
            "{'context_text': 'a', 'qas': []}",
            "its keys are 'context_text', 'qas'",
        ),
        Row(5, {}, "stands in a paragraph without a list 'qas'", "{'context': 'a'}", "its keys are 'context'"),
        Row(6, {}, "stands in a paragraph that is no JSON object", "'a'"),
        row(7),
    ]


def stands(place, found, wanted):
    shape = '{"data": [{"paragraphs": [{"context": ..., "qas": [...]}]}]}'
    return f"a.json{place} is not SQuAD JSON: {found} where {wanted} belongs (expected {shape})"


def lacks(place, key, keys):
    return f"a.json{place} has no {key!r}, so this is not SQuAD JSON; its keys are {keys}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", stands("", "the file ends", "'{'")),
        ("[]", stands("", "'[' stands", "'{'")),
        ('{"data": {}}', stands("", "'{' stands", "'['")),
        ('{"data" []', stands("", "'[' stands", "':'")),
        ('{"a": 1 "data": []}', stands("", "'\"' stands", "','")),
        ('{"data": [], }', stands("", "'}' stands", "a key")),
        ('{"data": [{"paragraphs": []}, 5]}', stands(", article 2", "'5' stands", "'{'")),
        ('{"data": [{"paragraphs": [{} {}', stands(", article 1, paragraph 1", "'{' stands", "','")),
        (
            '{"data": [{"paragraphs": [{"context": "a"',
            "a.json, article 1, paragraph 1 is not JSON: Expecting ',' delimiter",
        ),
        ("{}", lacks("", "data", "none")),
        ('{"a": 1, "b": []}', lacks("", "data", "'a', 'b'")),
        ('{"data": [{"text": 1}]}', lacks(", article 1", "paragraphs", "'text'")),
        ('{"data": []} x', "a.json: 'x' stands after the end of the one JSON object"),
        ('{"a": ' + "[" * 100_000, "a.json is nested too deeply"),
    ],
)
def test_a_file_that_is_no_squad_is_told_where(text, said):
    with pytest.raises(DataError) as caught:
        read(text)
    assert str(caught.value) == said


def test_one_paragraph_is_in_memory_at_a_time():
    paragraph = json.dumps({"context": "x" * 100_000, "qas": [question()]})

    def pieces():
        yield '{"data": [{"paragraphs": ['
        for number in range(400):
            yield ("," if number else "") + paragraph
        yield "]}]}"

    tracemalloc.start()
    assert sum(1 for _ in read_squad(pieces(), "a.json")) == 400
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000


def flat(articles):
    """The same rows, from the whole file at once."""
    for article in articles:
        for paragraph in article["paragraphs"]:
            for one in paragraph["qas"]:
                answers = {key: [answer[key] for answer in one["answers"]] for key in ("text", "answer_start")}
                yield {
                    **{key: one[key] for key in ("id", "question")},
                    "context": paragraph["context"],
                    "answers": answers,
                }


@needs_data
@pytest.mark.parametrize(
    ("name", "questions", "answers", "misplaced"),
    [
        ("policyqa/dev.json", 3809, None, 0),
        ("policyqa/test.json", 4152, None, 0),
        ("cmrc2018/cmrc2018_trial.json", 1002, 1002, 5),
        ("cmrc2018/cmrc2018_dev.json", 3219, 9657, 200),
    ],
)
def test_all_of_a_real_set_is_read(name, questions, answers, misplaced):
    path = Path(DATA) / name
    rows = list(read_rows(path, name, Layout("squad")))
    assert [row.values for row in rows] == list(flat(json.loads(path.read_text())["data"]))
    assert len(rows) == questions
    places = [
        (row.values["context"], text, start)
        for row in rows
        for text, start in zip(*row.values["answers"].values(), strict=True)
    ]
    assert answers in (None, len(places))
    assert sum(context[start : start + len(text)] != text for context, text, start in places) == misplaced

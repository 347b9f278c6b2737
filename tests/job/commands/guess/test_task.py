"""Task and columns, from what the columns hold."""

import pytest

from tunewright.job.commands.guess.columns import FILL
from tunewright.job.commands.guess.facts import Facts
from tunewright.job.commands.guess.filling import ROLES, Asked, Unclear
from tunewright.job.commands.guess.profile import columns_of
from tunewright.job.commands.guess.sample import Sample
from tunewright.job.commands.guess.task import guess
from tunewright.job.data.readers.reader import Layout
from tunewright.job.errors import SettingsError
from tunewright.job.tasks import TASKS

COUNT = 40
TEXT = [f"this is the sentence number {number}, and no other" for number in range(COUNT)]
OTHER = [f"another sentence, of number {number}, for the pair" for number in range(COUNT)]
LONG = [f"a document of many words, of which this is number {number}. " * 9 for number in range(COUNT)]
LABEL = ["good", "bad"] * (COUNT // 2)
CLASS = [0, 1, 2, 3] * (COUNT // 4)
MANY = ["joy", "fear", "joy,fear", "joy"] * (COUNT // 4)
NUMBER = [number / 7 for number in range(COUNT)]
WORDS = [[f"word{number}", "runs", "far"] for number in range(COUNT)]
TAGS = [["B-PER", "O", "O"]] * COUNT
MESSAGES = [[{"role": "user", "content": f"question {number}"}] for number in range(COUNT)]
ANSWERS = [{"text": ["this"], "answer_start": [0]}] * COUNT
IMAGE = [{"bytes": b"x", "path": None}] * COUNT


def seen(facts=None, **columns):
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return Sample(Layout("jsonl"), columns_of(rows), COUNT, facts=facts or Facts())


def guessed(columns, task="", **roles):
    found = guess(seen(**columns), Asked(task, roles))
    return found.task, found.columns


CLEAR = [
    ({"a": TEXT, "b": LABEL}, "text-classification", {"text": "a", "label": "b"}),
    ({"a": TEXT, "b": CLASS}, "text-classification", {"text": "a", "label": "b"}),
    ({"a": TEXT, "b": MANY}, "text-classification", {"text": "a", "labels": "b"}),
    ({"a": TEXT, "b": LABEL, "stars": CLASS}, "text-classification", {"text": "a", "label": "b"}),
    ({"text": TEXT, "label": CLASS, "gold": CLASS}, "text-classification", {"text": "text", "label": "label"}),
    ({"text": TEXT, "title": OTHER, "label": LABEL}, "text-classification", {"text": "text", "label": "label"}),
    (
        {"sentence1": TEXT, "sentence2": OTHER, "b": LABEL},
        "text-classification",
        {"text": "sentence1", "text_pair": "sentence2", "label": "b"},
    ),
    ({"0": TEXT, "1": OTHER, "2": NUMBER}, "text-regression", {"text": "0", "text_pair": "1", "score": "2"}),
    ({"a": TEXT, "b": NUMBER}, "text-regression", {"text": "a", "score": "b"}),
    ({"words": WORDS, "tags": TAGS}, "token-classification", {"tokens": "words", "tags": "tags"}),
    ({"messages": MESSAGES}, "text-generation", {"messages": "messages"}),
    ({"instruction": TEXT, "output": LONG}, "text-generation", {"prompt": "instruction", "response": "output"}),
    ({"dialogue": LONG, "summary": TEXT, "by": OTHER}, "summarization", {"source": "dialogue", "target": "summary"}),
    ({"a": TEXT, "b": LONG}, "summarization", {"source": "b", "target": "a"}),
    ({"en": TEXT, "de": OTHER}, "translation", {"source": "en", "target": "de"}),
    (
        {"question": TEXT, "context": LONG, "answers": ANSWERS},
        "question-answering",
        {"question": "question", "context": "context", "answers": "answers"},
    ),
    ({"picture": IMAGE, "b": LABEL}, "image-classification", {"image": "picture", "label": "b"}),
    ({"audio": IMAGE, "b": LABEL}, "audio-classification", {"audio": "audio", "label": "b"}),
    ({"picture": IMAGE, "b": NUMBER}, "image-regression", {"image": "picture", "score": "b"}),
    ({"audio": IMAGE, "b": NUMBER}, "audio-regression", {"audio": "audio", "score": "b"}),
]


@pytest.mark.parametrize(("columns", "task", "roles"), CLEAR)
def test_what_is_clear_is_guessed(columns, task, roles):
    assert guessed(columns) == (task, roles)


UNCLEAR = [
    (
        {"a": TEXT, "b": LABEL, "c": LABEL},
        "several columns may be the label, b (2 different), c (2 different): say --columns.label b or "
        "--columns.label c",
    ),
    (
        {"a": TEXT, "b": OTHER, "c": LABEL},
        "several columns hold texts: say --columns.text a or --columns.text b (--columns.text_pair NAME beside it "
        "takes two of them)",
    ),
    (
        {"a": TEXT, "b": OTHER},
        "columns a and b hold texts, and nothing is beside them: say --task translation, --task summarization, --task "
        "text-generation (a prompt and its response) or --task text-classification with --columns.label",
    ),
    (
        {"a": TEXT},
        "there is one column, a, and nothing to learn beside it: add a column of labels or scores, or say --task "
        "text-generation or --task masked-language-modelling to learn from texts alone",
    ),
    (
        {"a": LABEL, "b": CLASS},
        "no column holds texts (a: 2 words or numbers over and over; b: 4 words or numbers over and over): name it, "
        "--columns.text NAME",
    ),
    (
        {"a": [[one, two] for one, two in zip(TEXT, OTHER, strict=True)], "b": TEXT},
        "no column looks like what is to be learned (a holds lists of texts, which are not read: join them; b holds "
        "texts): name it, --columns.label NAME for a class, --columns.labels NAME for several, --columns.score NAME "
        "for a number, or --columns.target NAME with --task translation or summarization for a text",
    ),
]


@pytest.mark.parametrize(("columns", "question"), UNCLEAR)
def test_what_is_not_clear_is_asked_with_the_choices(columns, question):
    with pytest.raises(Unclear) as caught:
        guessed(columns)
    assert str(caught.value) == question


@pytest.mark.parametrize(
    ("columns", "asked", "task", "roles"),
    [
        ({"a": TEXT, "b": LABEL, "c": LABEL}, {"label": "c"}, "text-classification", {"text": "a", "label": "c"}),
        ({"a": TEXT, "b": OTHER, "c": LABEL}, {"text": "b"}, "text-classification", {"text": "b", "label": "c"}),
        ({"a": TEXT, "b": LABEL, "c": NUMBER}, {"score": "c"}, "text-regression", {"text": "a", "score": "c"}),
        ({"a": TEXT, "b": CLASS}, {"task": "text-regression"}, "text-regression", {"text": "a", "score": "b"}),
        (
            {"picture": IMAGE, "b": LABEL, "c": LABEL},
            {"label": "c"},
            "image-classification",
            {"image": "picture", "label": "c"},
        ),
        (
            {"picture": IMAGE, "b": LABEL, "c": NUMBER},
            {"score": "c"},
            "image-regression",
            {"image": "picture", "score": "c"},
        ),
        ({"wave": IMAGE, "b": LABEL}, {"audio": "wave"}, "audio-classification", {"audio": "wave", "label": "b"}),
        ({"a": TEXT, "b": OTHER}, {"task": "translation"}, "translation", {"source": "a", "target": "b"}),
        ({"a": TEXT}, {"task": "masked-language-modelling"}, "masked-language-modelling", {"text": "a"}),
        ({"a": TEXT}, {"task": "text-generation"}, "text-generation", {"text": "a"}),
        ({"a": TEXT}, {"task": "feature-extraction"}, "feature-extraction", {"text": "a"}),
        (
            {"0": TEXT, "1": OTHER, "2": NUMBER},
            {"task": "feature-extraction"},
            "feature-extraction",
            {"text": "0", "text_pair": "1", "score": "2"},
        ),
        (
            {"image": IMAGE, "caption": TEXT, "b": LABEL},
            {"task": "image-text-classification"},
            "image-text-classification",
            {"image": "image", "text": "caption", "label": "b"},
        ),
    ],
)
def test_what_the_user_settles_is_followed(columns, asked, task, roles):
    assert guessed(columns, **asked) == (task, roles)


def test_a_question_is_answered_by_any_of_its_flags():
    for columns, question in UNCLEAR[:2]:
        flags = [part.split()[0] for part in question.split("--columns.")[1:]]
        name = question.split("--columns.")[1].split()[1]
        assert guessed(columns, **{flags[0]: name})[1][flags[0]] == name


def test_a_column_or_a_task_that_is_not_there():
    with pytest.raises(Unclear) as caught:
        guessed({"a": TEXT, "b": LABEL}, label="c")
    assert str(caught.value) == "--columns.label names 'c', which is no column; the columns are a, b"
    with pytest.raises(SettingsError) as caught:
        guessed({"a": TEXT, "b": LABEL}, task="text-clasification")
    assert str(caught.value) == "--task is 'text-clasification'; did you mean text-classification?"


def test_a_part_that_no_task_has():
    with pytest.raises(SettingsError) as caught:
        guessed({"a": TEXT, "b": LABEL}, lable="b")
    assert str(caught.value) == "--columns.lable names no part of a task; did you mean label?"


def test_what_else_it_might_be_is_told():
    found = guess(seen(a=TEXT, b=LABEL, c=NUMBER, d=CLASS), Asked())
    assert found.also == "it might also be --columns.label d or --columns.score c"
    assert found.reason == "b has 2 words or numbers over and over (good: 20, bad: 20)"


def test_options_follow_from_the_data():
    words = {"words": WORDS, "tags": TAGS}
    assert guess(seen(Facts(scheme="plain"), **words), Asked()).options == {"scheme": "plain"}
    assert guess(seen(Facts(scheme="BIO"), **words), Asked()).options == {}
    questions = {"question": TEXT, "context": LONG, "answers": ANSWERS}
    assert guess(seen(Facts(wrong=3), **questions), Asked()).options == {"drop_wrong": True}


def test_every_task_can_be_guessed_with_every_part_it_knows():
    assert set(FILL) == set(TASKS)
    assert set(ROLES) == {role for task in TASKS.values() for form in task.forms for role in form.roles}

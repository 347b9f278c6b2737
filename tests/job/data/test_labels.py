"""Labels as data writes them."""

import pytest

from tunewright.job.data.labels import label_of, parts_of

TWO = [
    "['joy', 'fear']", '["joy", "fear"]', "{'joy', 'fear'}", "('joy', 'fear')", "['joy' 'fear']", "['joy'\n 'fear']",
    '{"choices": ["joy", "fear"]}', "{'choices': ['joy', 'fear']}", "array(['joy', 'fear'], dtype=object)",
    "array(['joy', 'fear'], dtype='<U4')", "list(['joy', 'fear'])", "set(['joy', 'fear'])",
    "frozenset({'joy', 'fear'})",
    "np.array(['joy', 'fear'])", "[np.str_('joy'), np.str_('fear')]", "Index(['joy', 'fear'], dtype='object')",
    "['joy', 'fear',]", "['joy'; 'fear']", "[joy, fear]", " [ 'joy' ,  'fear' ] ", "joy,fear", "joy, fear,",
]  # fmt: skip


@pytest.mark.parametrize("written", TWO)
def test_a_list_written_as_text_is_read_as_a_list(written):
    assert [label_of(part) for part in parts_of(written, "labels", ",")] == ["joy", "fear"]


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        ("['joy']", ["joy"]), ('["joy"]', ["joy"]), ("('joy',)", ["joy"]), ("{'joy'}", ["joy"]), ("[joy]", ["joy"]),
        ('{"choices": "joy"}', ["joy"]), ("[]", []), ("set()", []), ("()", []), ("{}", []), ("", []), (" ", []),
        ('["a, b", "c"]', ["a, b", "c"]), ("['it\\'s', 'b']", ["it's", "b"]), ("[\"it's\", 'b']", ["it's", "b"]),
        ('["caf\\u00e9", "\\ud83d\\ude00"]', ["caf\u00e9", "\U0001f600"]),
        ("[1, 2]", ["1", "2"]), ("[1 2]", ["1", "2"]),
        ("[New York, Rome]", ["New York", "Rome"]), ("joy (mild),fear", ["joy (mild)", "fear"]), (3, ["3"]),
        (["b", "a"], ["b", "a"]), ({"choices": ["b", "a"]}, ["b", "a"]), ("(other)", ["(other)"]),
        ("rock 'n' roll", ["rock 'n' roll"]),
    ],
)  # fmt: skip
def test_every_form_gives_its_labels_without_brackets_or_quotes(written, labels):
    assert [label_of(part) for part in parts_of(written, "labels", ",")] == labels


def test_a_list_of_text_may_stand_beside_another_separator():
    assert parts_of("['a', 'b']", "labels", ";") == ["a", "b"]
    assert parts_of("[a; b]", "labels", ";") == ["a", " b"]
    assert parts_of("a;b", "labels", ";") == ["a", "b"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("['joy', ['fear']]", "is a list written as text, in a form that is not known; write the labels apart"),
        ("['joy', nan]", "is a list written as text, in a form that is not known"),
        ("[[0, 5, 'PER']]", "is a list written as text, in a form that is not known"),
        ("['joy', 'fear'", "has brackets that are not closed within one label"),
        ("(joy, fear)", "has brackets that are not closed within one label"),
        ("'joy', 'fear'", "stands in quotes, which would become part of the label"),
        ('{"joy": 1, "fear": 0}', 'is an object, of which only {"choices": [...]} is known'),
        ({"joy": 1}, 'is an object, of which only {"choices": [...]} is known'),
    ],
)
def test_a_form_that_is_not_known_is_refused(written, said):
    with pytest.raises(ValueError) as caught:
        parts_of(written, "labels", ",")
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    "written", ["['joy']", '["joy"]', "{'joy'}", "('joy',)", "[joy]", ["joy"], {"choices": ["joy"]}]
)
def test_a_list_where_one_label_belongs_is_refused(written):
    with pytest.raises(ValueError) as caught:
        parts_of(written, "label", ",")
    assert str(caught.value) == (
        "is a list where one label belongs; give the column the role labels, or write the label alone"
    )


@pytest.mark.parametrize("written", ["a, b", "(none)", "it's", '5" pipe', "C[a]", ":)"])
def test_one_label_may_hold_what_separates_several(written):
    assert parts_of(written, "label", ",") == [written]


@pytest.mark.parametrize(
    ("value", "label"),
    [(" joy ", "joy"), (3, "3"), (True, "true"), ("New\u00a0 York", "New York"), ("e\u0301\u200b", "\u00e9")],
)
def test_a_label_is_cleaned_as_a_text_is(value, label):
    assert label_of(value) == label


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.5, "is not a label (text or a whole number)"),
        ("  ", "is empty where a label belongs"),
        (None, "is empty where a label belongs"),
        ("\u200b", "is empty where a label belongs"),
    ],
)
def test_what_is_no_label_is_said(value, said):
    with pytest.raises(ValueError) as caught:
        label_of(value)
    assert str(caught.value) == said


VECTORS = [
    [1, 0, 0], [True, False], [1.0, 0.0], ["1", "0", "0"], "[1, 0, 0]", "[1 0 0]", "[1. 0.]", "1,0,0", "[true, false]",
    "array([0., 0., 1.])", [0, 0],
]  # fmt: skip


@pytest.mark.parametrize("value", VECTORS, ids=str)
def test_zeros_and_ones_for_each_label_are_no_labels(value):
    with pytest.raises(ValueError, match="is a row of zeros and ones, one for each label; write the names"):
        parts_of(value, "labels", ",")


@pytest.mark.parametrize("value", [[1, 0], [1], "0,1", [2, 1, 3], [1, 2, 2], "1"])
def test_numbers_that_may_be_labels_are_read(value):
    assert parts_of(value, "labels", ",")


@pytest.mark.parametrize("written", ["[‘good’, ‘x’]", "[“good”]", "{«a», «b»}"])
def test_quotes_of_a_word_processor_do_not_become_part_of_a_label(written):
    with pytest.raises(ValueError, match="is a list written as text, in a form that is not known"):
        parts_of(written, "labels", ",")


def test_labels_as_fasttext_writes_them_are_read_where_there_may_be_several():
    assert parts_of("__label__joy  __label__fear", "labels", ",") == ["joy", "fear"]
    assert parts_of("__label__joy", "label", ",") == ["__label__joy"]
    assert parts_of("a __label__joy", "labels", ",") == ["a __label__joy"]

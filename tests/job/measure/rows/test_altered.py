import pytest

from tunewright.job.measure.rows.altered import ALTERATIONS, HARMLESS, altered

NAMED = "Tom likes it: John, of 1999, does not."


def once(kind, *texts, row=3):
    return altered(kind, texts, row)


@pytest.mark.parametrize(
    ("kind", "text", "made"),
    [
        ("lower_case", "A Good One", "a good one"),
        ("upper_case", "A Good One", "A GOOD ONE"),
        ("punctuation", "Well, it is good .", "Well it is good"),
        ("punctuation", "it is good", "it is good."),
        ("punctuation", "is 3.5 good? yes!", "is 3.5 good? yes!"),
        ("punctuation", "\u5f88\u597d\uff0c\u771f\u7684\u3002", "\u5f88\u597d\u771f\u7684"),
        ("names", "it was a rose", "it was a rose"),
        ("numbers", "5 of 9", "5 of 9"),
        ("negation", "it is good", "it is not good"),
        ("negation", "it isn't good", "it is good"),
        ("negation", "You can't lose", "You can lose"),
        ("negation", "it won\u2019t do", "it will do"),
        ("negation", "good", "good"),
        ("typos", "a b c", "a b c"),
    ],
)
def test_a_text_is_written_otherwise(kind, text, made):
    assert once(kind, text) == [made]


def test_a_name_and_a_number_become_the_same_others_in_both_texts_of_a_row():
    first, second = once("names", NAMED, "So Tom does.")
    name = first.split()[0]
    assert name != "Tom"
    assert second == f"So {name} does."
    first, second = once("numbers", NAMED, "In 1999, not 1990.")
    year = first.split()[5].strip(",")
    assert (year[:3], year != "1999") == ("199", True)
    assert second == f"In {year}, not 199{(int(year[3]) + 1) % 10}."


def test_typos_stand_in_some_words_and_leave_the_others():
    words = ["wonderful"] * 200
    made = once("typos", " ".join(words))[0].split(" ")
    assert 5 <= sum(one != "wonderful" for one in made) <= 40
    assert all(one[0] == "w" for one in made)


def test_a_row_is_written_otherwise_in_the_same_way_whenever_it_is():
    for kind in ALTERATIONS:
        assert once(kind, NAMED) == once(kind, NAMED)
    assert len({once("names", NAMED, row=row)[0] for row in range(20)}) > 5
    assert set(ALTERATIONS) - set(HARMLESS) == {"negation"}

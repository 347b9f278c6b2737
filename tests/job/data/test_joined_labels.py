"""Several labels that stand as one: warned about where it shows, and never because of prose."""

import pytest

from tunewright.job.data.joined_labels import JoinedLabels


def told(labels, separator=","):
    seen = JoinedLabels()
    for label in labels:
        seen.see([label])
    return seen.sentence(separator)


GENRES = ["drama", "drama{}romance", "comedy{}drama", "romance{}comedy", "comedy", "horror{}comedy"] * 5


@pytest.mark.parametrize("separator", ["|", ";", ",", "/", "+", "&", "; ", " | ", " / "])
def test_labels_whose_parts_recur_are_told_with_the_setting(separator):
    labels = [label.format(separator) for label in [*GENRES, "romance", "horror"]]
    sign = separator.strip()
    assert told(labels, "\t") == (
        f"20 of 32 rows have a label with {sign!r} in it, such as 'drama{separator}romance', and its parts recur in "
        f"other labels; add `label_separator: \"{sign}\"` under data: if it separates labels, as '\\t' does now"
    )
    assert told(labels, sign) == ""


@pytest.mark.parametrize("separator", ["|", ";"])
def test_two_sets_that_share_a_label_are_enough(separator):
    assert told([f"good{separator} x", f"bad{separator} x"] * 20)
    assert told(["food", f"food{separator}price"] * 10)


@pytest.mark.parametrize("separator", ["/", "+", "&"])
def test_parts_that_change_their_place_are_no_path(separator):
    assert told([label.format(separator) for label in ["a{}b", "b{}c", "c{}a"] * 10])
    assert not told([label.format(separator) for label in ["a{}b", "a{}c", "d{}b"] * 10])


@pytest.mark.parametrize(
    "labels",
    [
        ["Rude; offensive", "Friendly", "Neutral"],
        ["Billing and payment; refunds", "Delivery; late or lost", "Other"],
        ["The answer is right; it could be shorter", "The answer is wrong; it could be shorter"],
        ["Food/Drink", "Clothes/Shoes", "Other"],
        ["Men/Shoes", "Men/Shirts", "Women/Shoes", "Women/Shirts"],
        ["Sports", "Sports/Football", "Sports/Tennis"],
        ["R&B", "Rock", "Drum & Bass"],
        ["C++", "C", "C#"],
        ["AC/DC", "Queen"],
        ["yes|", "|no", "|"],
        [""],
    ],
)
def test_separators_inside_single_labels_are_no_alarm(labels):
    assert told(labels * 20) == ""


def test_an_accident_is_no_alarm():
    assert told(["good", "bad"] * 100 + ["good;bad"] * 2) == ""
    assert told(["good", "bad"] * 1000 + ["good;bad"] * 90) == ""
    assert told([]) == ""

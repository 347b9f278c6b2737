"""How large one request may be; test_app.py has the sentences."""

import pytest

from tunewright.serving.errors import TooLarge
from tunewright.serving.queue.limits import check_files, check_texts, longest_text
from tunewright.serving.settings import Limits


def test_many_small_parts_of_one_input_are_as_long_as_the_text_they_make():
    assert longest_text([["aa", "", "a"]]) == 6
    assert longest_text([({"role": "user", "content": "aaaa"},) * 2]) == 18


def test_the_longest_text_counts_the_texts_of_a_pair_separately():
    assert longest_text([("aa", "aaaa"), "aaa"]) == 4


def test_as_much_as_is_allowed_is_allowed():
    check_texts(["aaa", "aaaa"], Limits(inputs=2, characters=4))
    check_files([1 << 18] * 4, Limits(media_bytes=1 << 20))


@pytest.mark.parametrize("inputs", [["a"] * 3, ["aaaaa"], [("a", "aaaaa")], [["aa", "a"]]])
def test_one_input_or_character_too_many_is_too_large(inputs):
    with pytest.raises(TooLarge):
        check_texts(inputs, Limits(inputs=2, characters=4))


def test_no_file_is_looked_at_behind_the_first_that_is_too_much():
    looked_at = []

    def sizes():
        for size in (1 << 18, (1 << 18) + 1, 0):
            looked_at.append(size)
            yield size

    with pytest.raises(TooLarge):
        check_files(sizes(), Limits(media_bytes=1 << 20))
    assert len(looked_at) == 2

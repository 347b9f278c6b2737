"""Tags, and what they mark."""

import pytest

from tunewright.job.commands.label.item import Entity, entities, places, tags

WORDS = ["Ada", "Lovelace", "saw", "Paris", "Rome"]
TAGGED = {
    "BIO": ["B-PER", "I-PER", "O", "B-LOC", "B-LOC"],
    "BIOES": ["B-PER", "E-PER", "O", "S-LOC", "S-LOC"],
    "plain": ["NOUN", "NOUN", "VERB", "NOUN", "NOUN"],
}


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
def test_neighbours_of_one_kind_are_an_entity(scheme):
    assert list(entities(TAGGED[scheme], scheme)) == [Entity(0, 2, "PER"), Entity(3, 4, "LOC"), Entity(4, 5, "LOC")]


def test_a_plain_tag_is_each_word_alone():
    assert [(one.first, one.kind) for one in entities(TAGGED["plain"], "plain")] == list(enumerate(TAGGED["plain"]))


@pytest.mark.parametrize("scheme", TAGGED)
def test_what_is_marked_comes_back_as_the_same_tags(scheme):
    where = places(WORDS)
    marked = [(where[one.first][0], where[one.end - 1][1], one.kind) for one in entities(TAGGED[scheme], scheme)]
    assert tags(where, marked, scheme) == TAGGED[scheme]


def test_a_mark_takes_all_words_that_it_touches():
    assert tags(places(WORDS), [(1, 6, "PER")], "BIO") == ["B-PER", "I-PER", "O", "O", "O"]

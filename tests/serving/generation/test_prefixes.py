"""Beginnings that prompts share."""

import numpy as np

from tunewright.serving.generation.prefixes import Prefixes

SYSTEM = list(range(100, 140))


def tell(prefixes, prompt, made=None):
    """As the loop does once a prompt is read; what was known of it."""
    known = prefixes.longest(prompt)

    def caches(tokens):
        if made is not None:
            made.append(tokens)
        return {"key": np.array([prompt[:tokens]])}

    prefixes.see(prompt, known, caches)
    return known


def test_a_beginning_is_kept_the_second_time_and_used_from_then_on():
    prefixes, made = Prefixes(1000), []
    assert tell(prefixes, [*SYSTEM, 1, 2, 3], made) is None
    assert made == []
    assert tell(prefixes, [*SYSTEM, 4, 5], made) is None
    assert made == [40]
    known = tell(prefixes, [*SYSTEM, 6], made)
    assert known.tokens == 40
    assert known.caches["key"].tolist() == [SYSTEM]
    assert made == [40]
    assert tell(prefixes, [*SYSTEM[:20], 7]).tokens == 20
    assert tell(prefixes, [*SYSTEM[:8], 7]) is None


def test_the_last_token_is_always_read():
    prefixes = Prefixes(1000)
    for _ in range(2):
        tell(prefixes, SYSTEM)
    assert tell(prefixes, SYSTEM).tokens == len(SYSTEM) - 1


def test_a_longer_beginning_takes_the_place_of_a_shorter_one():
    prefixes, made = Prefixes(1000), []
    longer = [*SYSTEM, *range(200, 230)]
    for prompt in ([*SYSTEM, 1], [*SYSTEM, 2], [*longer, 3], [*longer, 4]):
        tell(prefixes, prompt, made)
    assert made == [40, 70]
    assert tell(prefixes, [*longer, 5]).tokens == 70
    assert tell(prefixes, [*SYSTEM, 6]).tokens == 40


def test_what_was_not_used_for_longest_makes_room():
    prefixes = Prefixes(100)
    others = [[*range(start, start + 40)] for start in (300, 400)]
    for beginning in (SYSTEM, others[0]):
        tell(prefixes, [*beginning, 1])
        tell(prefixes, [*beginning, 2])
    assert tell(prefixes, [*SYSTEM, 3]).tokens == 40
    tell(prefixes, [*others[1], 1])
    tell(prefixes, [*others[1], 2])
    assert tell(prefixes, [*SYSTEM, 4]).tokens == 40
    assert tell(prefixes, [*others[0], 3]) is None
    tell(prefixes, [*range(500, 700), 1])
    tell(prefixes, [*range(500, 700), 2])
    assert tell(prefixes, [*range(500, 700), 3]) is None

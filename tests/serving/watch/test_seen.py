"""What is known of the request that a task works on."""

import asyncio

from tunewright.serving.watch.seen import Seen, Stretch, begin, now_seen


def test_each_request_is_known_in_its_own_task_and_in_those_it_starts():
    async def learn(rows):
        now_seen().rows = rows

    async def work(name, rows):
        begin(Seen(name))
        await asyncio.gather(learn(rows))
        return now_seen().id, now_seen().rows

    async def both():
        return await asyncio.gather(work("a", 1), work("b", 2))

    assert asyncio.run(both()) == [("a", 1), ("b", 2)]


def test_outside_of_a_request_nothing_is_remembered():
    now_seen().rows = 3
    assert now_seen().rows == 0


def test_stretches_are_kept_in_their_order():
    seen = Seen("a")
    seen.waited(1.0, 2.0)
    seen.ran(2.0, 5.0)
    assert seen.stretches == [Stretch("queue", 1.0, 2.0), Stretch("run", 2.0, 5.0)]

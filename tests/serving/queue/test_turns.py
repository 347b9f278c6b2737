"""Who goes first."""

import asyncio
from contextlib import suppress

from tunewright.serving.queue.turns import Turns


async def large(turns, log, name):
    async with turns.large():
        log.append(f"{name} begins")
        await asyncio.sleep(0)
        log.append(f"{name} ends")


def test_large_requests_are_read_one_after_the_other():
    async def several():
        turns, log = Turns(), []
        await asyncio.gather(*(large(turns, log, name) for name in "abc"))
        return log

    assert asyncio.run(several()) == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]


def test_a_large_request_waits_for_the_small_ones_that_are_worked_on():
    async def both():
        turns, log = Turns(), []
        with turns.small(), turns.small():
            waiting = asyncio.create_task(large(turns, log, "large"))
            await asyncio.sleep(0)
            log.append("small")
        await waiting
        return log

    assert asyncio.run(both()) == ["small", "large begins", "large ends"]


def test_a_large_request_does_not_wait_for_ever():
    async def both():
        turns, log = Turns(), []
        with turns.small():
            await large(turns, log, "large")
        return log

    assert asyncio.run(both()) == ["large begins", "large ends"]


def test_who_leaves_while_waiting_leaves_the_turn_to_the_next():
    async def both():
        turns, log = Turns(), []
        with turns.small():
            leaving = asyncio.create_task(large(turns, log, "leaving"))
            next_one = asyncio.create_task(large(turns, log, "next"))
            await asyncio.sleep(0)
            leaving.cancel()
            with suppress(asyncio.CancelledError):
                await leaving
        await next_one
        return log

    assert asyncio.run(both()) == ["next begins", "next ends"]


def test_a_small_request_that_fails_holds_nobody_up():
    async def both():
        turns, log = Turns(), []
        with suppress(ZeroDivisionError), turns.small():
            raise ZeroDivisionError
        reading = asyncio.create_task(large(turns, log, "large"))
        await asyncio.sleep(0)
        log.append("at once")
        await reading
        return log

    assert asyncio.run(both()) == ["large begins", "at once", "large ends"]

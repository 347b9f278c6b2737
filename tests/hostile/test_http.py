"""Raw requests by the thousand, thrown at real servers: none breaks, none forgets how to answer."""

import asyncio
import collections
import json

import pytest
import raw_requests as raw

SEED = 21
MEGABYTES = 64
"""What a server may hold more than when it was idle."""
BY_DESIGN = (b'"Overloaded"', b'"DeadlineExceeded"')
"""What an answer of 500 and above may say."""
AT_ONCE = 24


def throw_all(target, sent):
    """How many requests of each kind were sent and answers of each status came, and what was wrong."""
    queue, seen, wrong = iter(enumerate(sent)), collections.Counter(), []

    async def caller():
        for number, one in queue:
            seen[one.kind] += one.requests
            try:
                said = await raw.throw(target.port, one)
                seen.update(raw.statuses(said))
                fault = fault_of(one, said)
            except TimeoutError:
                fault = "the connection was never closed"
            if fault:
                wrong.append((number, one.kind, one.data[:300], fault))

    async def callers():
        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))

    asyncio.run(callers())
    return seen, wrong


def fault_of(sent, said):
    """What is wrong with the answers of a connection."""
    broken = said.split(b"HTTP/1.1 5")[1:]
    if b"InternalError" in said or any(not any(kind in one for kind in BY_DESIGN) for one in broken):
        return said[-300:]
    if sent.kind in ("JSON", "parameters") and len(raw.statuses(said)) != sent.requests + 1:
        return "not every request was answered"
    return None


QUICK = [("text", 600), ("image", 200)]
WHOLE = [("text", 20_000), ("pair", 6_000), ("chat", 8_000), ("image", 5_000)]


@pytest.mark.parametrize(("kind", "requests"), [*QUICK, *(pytest.param(*one, marks=pytest.mark.slow) for one in WHOLE)])
def test_no_request_breaks_the_server(served, kind, requests):
    target = served(kind)
    sound = raw.sound_of(json.loads(target.get("/openapi.json")))
    normal = json.dumps(sound.bodies[0]).encode()
    before = target.post(normal)
    assert before[0] == 200
    seen, wrong = throw_all(target, raw.connections(sound, seed=SEED, requests=requests))
    print(f"{kind}: {dict(seen)}, {target.megabytes:.0f} MB more than idle")
    assert wrong == []
    assert target.process.poll() is None
    assert target.troubles == []
    assert target.megabytes < MEGABYTES
    assert target.post(normal) == before

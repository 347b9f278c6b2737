"""Streams that are in flight while another version comes to answer."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tunewright.registry.versions.record import Version
from tunewright.serving.live.service import Service
from tunewright.serving.predictor import open_predictor

CHAT = {"model": "reviews", "messages": [{"role": "user", "content": "abc"}]}


def read_stream(client):
    """Who answered, and what."""
    with client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as reply:
        events = [line.removeprefix("data: ") for line in reply.iter_lines() if line.startswith("data: {")]
    pieces = [json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events]
    return reply.headers["X-Tunewright-Model"], "".join(pieces)


def hold(service, runs):
    """The graph of a service stops after so many runs: told when it has, and where to let it go."""
    session = service.predictor.engine._writer.graph._onnx.session
    run, left = session.run, iter(range(runs))
    is_held, let_go = threading.Event(), threading.Event()

    def run_or_wait(*arguments, **options):
        if next(left, None) is None:
            is_held.set()
            let_go.wait(30)
        return run(*arguments, **options)

    session.run = run_or_wait
    return is_held, let_go


def test_streams_in_flight_end_on_the_version_that_began_them(bundle, serve_bundle):
    with serve_bundle(bundle("chat")) as (client, models), ThreadPoolExecutor(3) as callers:
        old = models.default
        is_held, let_go = hold(old, 2)
        streams = [callers.submit(read_stream, client) for _ in range(3)]
        assert is_held.wait(30)
        while models.admission.in_flight < 3:
            time.sleep(0.01)
        version = Version("reviews", 4, "sha256:" + "1" * 64, "run-2", "2026-01-31T12:00:00Z", 1)
        new = Service(open_predictor(bundle("chat")), version, limits=models.limits, meters=models.meters)
        assert models.put(models.model().main, new) is old
        assert read_stream(client) == ("reviews:4/fp32", "defghijkl")
        assert not models.wait_for_last(old, 0)
        assert not any(stream.done() for stream in streams)
        let_go.set()
        assert [stream.result(30) for stream in streams] == [("reviews:3/fp32", "defghijkl")] * 3
        assert models.wait_for_last(old, 30)
        old.close()

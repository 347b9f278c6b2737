"""Rows of many requests through one engine."""

import os
import sys
import threading
from concurrent.futures import Future
from contextlib import nullcontext

import pytest

from tunewright.serving.errors import InputError, ModelFault
from tunewright.serving.queue.engine_threads import TEXTS, EngineThreads
from tunewright.serving.queue.work import Work


class Seen:
    """Remembers the sizes of runs, and how many requests each was for."""

    def __init__(self):
        self.runs, self.answers = [], 0

    def preparing(self):
        return nullcontext()

    def running(self, parts):
        self.runs.append(([part.size for part in parts], len({part.work for part in parts})))
        return nullcontext()

    def answered_row(self, work, row, answer):
        pass

    def answered(self, work):
        self.answers += 1


@pytest.fixture
def start(open_bundle):
    """A function: engine threads over a bundle."""
    started = []

    def start_them(folder, *, variant="fp32", threads=1, seconds=30.0):
        predictor = open_bundle(folder, variant=variant)
        seen = Seen()

        def weigh(inputs):
            return [len(one) for one in inputs]

        made = EngineThreads(predictor.engine, weigh=weigh, portions=TEXTS, threads=threads, seconds=seconds, seen=seen)
        started.append(made)
        return made, predictor, seen

    yield start_them
    for threads in started:
        threads.close()


def ask(threads, predictor, texts, caller=None):
    """A request, and the future of its answers."""
    future = Future()

    def done(outcome):
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    parameters = predictor.task.read_parameters({"function_to_apply": "none"}, predictor.model)
    work = Work(texts, parameters, list, done, caller)
    threads.put(work)
    return work, future


def close_to(answers, expected):
    for own, other in zip(answers, expected, strict=True):
        assert [item["label"] for item in own] == [item["label"] for item in other]
        assert [item["score"] for item in own] == pytest.approx([item["score"] for item in other], abs=1e-5)


@pytest.fixture
def busy(start, reviews):
    """Engine threads with one thread, which waits until it is let go: what is asked meanwhile is there together."""
    threads, predictor, seen = start(reviews)
    begun, let_go = threading.Event(), threading.Event()
    run_once = predictor.engine.run_once

    def wait_and_run(parts, **options):
        begun.set()
        let_go.wait(30)
        return run_once(parts, **options)

    predictor.engine.run_once = wait_and_run
    _, first = ask(threads, predictor, ["first of all"])
    begun.wait(30)
    yield threads, predictor, seen, let_go
    let_go.set()
    first.result(30)


@pytest.mark.skipif(sys.platform != "linux", reason="a priority is a thread's on Linux alone")
def test_engine_threads_give_way_to_all_others(start, reviews):
    threads, predictor, _ = start(reviews, threads=2)
    ask(threads, predictor, ["great"])[1].result(30)
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    engine = [one.native_id for one in threading.enumerate() if one.name.startswith("engine-")]
    assert engine
    assert all(os.getpriority(os.PRIO_PROCESS, one) == min(19, own + 5) for one in engine)


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_many_requests_get_each_their_own_answers(start, reviews, variant):
    threads, predictor, _ = start(reviews, variant=variant, threads=2)
    requests = [[f"great {'lamp ' * (number % 9)}", "terrible"][: 1 + number % 2] for number in range(60)]
    asked = [ask(threads, predictor, texts)[1] for texts in requests]
    for texts, future in zip(requests, asked, strict=True):
        close_to(future.result(30), predictor.predict(texts, {"function_to_apply": "none"}))


def test_rows_of_several_requests_share_a_run(busy):
    threads, predictor, seen, let_go = busy
    asked = [ask(threads, predictor, [text])[1] for text in ("a great lamp", "a sad lamp", "a guitar")]
    let_go.set()
    for future in asked:
        future.result(30)
    assert [requests for _, requests in seen.runs] == [1, 3]


def test_a_small_request_has_its_turn_before_a_large_one_ends(busy):
    threads, predictor, seen, let_go = busy
    _, large = ask(threads, predictor, ["lamp " * 200] * 200)
    _, small = ask(threads, predictor, ["great"])
    let_go.set()
    small.result(30)
    assert len(large.result(30)) == 200
    runs = [sizes for sizes, _ in seen.runs]
    assert runs.index([3]) < 3 < len(runs)


def test_what_nobody_waits_for_is_not_begun(busy):
    threads, predictor, seen, let_go = busy
    left, _ = ask(threads, predictor, ["lamp"] * 3)
    _, stays = ask(threads, predictor, ["great"])
    left.give_up()
    let_go.set()
    stays.result(30)
    assert sum(len(sizes) for sizes, _ in seen.runs) == 2


def test_a_row_that_makes_the_model_fail_fails_alone(start, make_bundle, recipe):
    threads, predictor, _ = start(make_bundle(recipe(nan_on="guitar")))
    asked = [ask(threads, predictor, texts)[1] for texts in (["a lamp"], ["a guitar"], ["a price"], ["the lamp"])]
    with pytest.raises(ModelFault, match="not finite"):
        asked.pop(1).result(30)
    assert all(len(future.result(30)) == 1 for future in asked)


def test_a_row_without_end_ends_no_other_request(start, make_bundle, recipe):
    threads, predictor, _ = start(make_bundle(recipe(endless_on="guitar")), threads=2, seconds=2.0)
    works, asked = zip(*[ask(threads, predictor, [text]) for text in ("a guitar", "a lamp", "a price")], strict=True)
    assert len(asked[1].result(30)) == len(asked[2].result(30)) == 1
    works[0].give_up()


def test_the_number_of_a_wrong_input_is_that_in_its_request(start, reviews):
    threads, predictor, _ = start(reviews)

    def no_token(inputs, parameters, *, limit=None, first=0):
        for number, text in enumerate(inputs, first):
            if not text:
                raise InputError(f"text {number} is empty")
        return prepare(inputs, parameters, limit=limit, first=first)

    prepare = predictor.engine.prepare
    predictor.engine.prepare = no_token
    _, asked = ask(threads, predictor, ["lamp " * 100] * 150 + [""] + ["lamp"] * 50)
    with pytest.raises(InputError, match=r"^text 150 is empty$"):
        asked.result(30)


def test_what_has_arrived_is_finished_before_the_threads_end(start, reviews):
    threads, predictor, _ = start(reviews)
    asked = [ask(threads, predictor, ["great"] * 20)[1] for _ in range(20)]
    threads.close()
    assert all(len(future.result(0)) == 20 for future in asked)

"""Waiting for a first version: what is waited for, and how often it is said."""

import json

import pytest

from tunewright.registry.errors import AccessDenied, NotFound, Unreachable
from tunewright.serving.live.models import Models
from tunewright.serving.live.waiting import wait_for
from tunewright.serving.settings import Limits
from tunewright.serving.watch.meters import Meters


@pytest.fixture
def models():
    made = Models(limits=Limits(), meters=Meters())
    yield made
    made.close()


def looks(*answers):
    """A look that gives, or raises, one after the other."""
    left = iter(answers)

    def look(reference):
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return look


def test_it_says_once_a_minute_what_it_waits_for_and_at_once_what_is_new(models, capsys):
    none, gone = NotFound("there is no model 'reviews'"), Unreachable("the bucket does not answer")
    reasons = []

    def pause():
        reasons.append(models.why_not_ready)
        return 25.0

    assert wait_for(models, "reviews", looks(*[none] * 5, gone, "seen"), pause=pause) == "seen"
    said = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    waiting = "waiting for reviews: there is no model 'reviews'"
    assert said == [waiting, waiting, "waiting for reviews: the bucket does not answer"]
    assert reasons == [waiting] * 5 + said[-1:]
    assert models.why_not_ready == "no model is loaded yet: this server has just started, try again in some seconds"


def test_what_no_time_mends_is_not_waited_for(models):
    with pytest.raises(AccessDenied):
        wait_for(models, "reviews", looks(AccessDenied("the key is wrong")), pause=lambda: pytest.fail("it waits"))

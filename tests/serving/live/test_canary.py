"""A canary: its share of the requests, always the same callers, and none any more once it is worse."""

import time

import pytest

from tunewright.serving.live.canary import percentile, share


@pytest.fixture
def canary(make_house, reviews, second, request):
    """A house with reviews:2 as the canary of reviews:1, for half of the requests, however much the two differ."""
    limits = getattr(request, "param", {"disagreement": 1.0})
    made = make_house(
        "reviews@production", canary="reviews:2=50", step_back={"requests": 10, "latency": 1000, **limits}
    )
    made.publish(reviews)
    made.publish(second, alias=None)
    made.follower.bring_all()
    return made


def said(client):
    return client.get("/models/reviews").json()["canary"]


def test_a_caller_is_always_answered_by_the_same_version(canary, ask):
    with canary.served() as client:
        names = [f"caller-{number}" for number in range(30)]
        first = {name: ask(client, **{"X-Tunewright-Sticky": name})[0] for name in names}
        assert set(first.values()) == {"reviews:1/fp32", "reviews:2/fp32"}
        for name in names:
            assert ask(client, text="another text", **{"X-Tunewright-Sticky": name})[0] == first[name]
            assert (first[name] == "reviews:2/fp32") == (share(name.encode()) < 0.5)


def test_without_a_name_a_text_is_always_answered_by_the_same_version(canary, ask):
    with canary.served() as client:
        texts = [f"great {number}" for number in range(20)]
        first = [ask(client, text=text)[0] for text in texts]
        assert len(set(first)) == 2
        assert [ask(client, text=text)[0] for text in texts] == first


def test_shares_are_even_and_do_not_change():
    assert sum(share(str(number).encode()) < 0.1 for number in range(10_000)) == pytest.approx(1000, abs=100)
    assert share(b"caller") == share(b"caller")


def test_errors_beyond_the_limit_end_it(canary, capsys, ask):
    judged, service = canary.models.model().canary, canary.models.model().canary.slot.service
    main = canary.models.default
    for _ in range(100):
        judged.answered(main, 200, 0.01)
    for _ in range(9):
        judged.answered(service, 200, 0.01)
    assert judged.stepped_back is None
    judged.answered(service, 503, 0.01)
    assert judged.stepped_back == "10.0% of its requests ended in errors, of the others 0.0%"
    assert '"event": "canary_stepped_back"' in capsys.readouterr().err
    assert 'tunewright_swaps_total{model="reviews",outcome="stepped_back"} 1.0' in canary.models.meters.page().decode()
    with canary.served() as client:
        assert {ask(client, text=f"great {number}")[0] for number in range(20)} == {"reviews:1/fp32"}
        assert (said(client)["percent"], said(client)["stepped_back"]) == (0, judged.stepped_back)


def test_slowness_beyond_the_limit_ends_it(make_house, reviews, second):
    made = make_house("reviews@production", canary="reviews:2=50", step_back={"requests": 10, "latency": 2})
    made.publish(reviews)
    made.publish(second, alias=None)
    made.follower.bring_all()
    judged, service, main = made.models.model().canary, made.models.model().canary.slot.service, made.models.default
    for milliseconds in range(1, 101):
        judged.answered(main, 200, milliseconds / 1000)
    for _ in range(10):
        judged.answered(service, 200, 0.189)
    assert judged.stepped_back is None
    for _ in range(10):
        judged.answered(service, 200, 0.191)
    assert judged.stepped_back == "95 % of its answers took up to 191.0 ms, of the others 95.0 ms"


@pytest.mark.parametrize("canary", [{"disagreement": 0.2}], indirect=True)
def test_answers_that_differ_too_often_end_it(canary, ask):
    with canary.served() as client:
        deadline = time.monotonic() + 30
        number = 0
        while said(client)["stepped_back"] is None and time.monotonic() < deadline:
            ask(client, text=f"great {number}")
            number += 1
            time.sleep(0.02)
        assert said(client)["stepped_back"] == (
            "100.0% of its answers differ from those of the version that it is to replace"
        )
        example = said(client)["examples"][0]
        assert (example["reviews:1"], example["reviews:2"]) == ("positive", "good")
        assert example["id"].startswith("sha256:")
        assert "input" not in example


def test_another_version_has_a_clean_record(make_house, reviews, second):
    made = make_house("reviews@production", canary="reviews@candidate=50")
    made.publish(reviews)
    made.publish(second, alias="candidate")
    made.follower.bring_all()
    judged = made.models.model().canary
    judged.stepped_back = "it was slow"
    made.publish(second, alias="candidate")
    made.step()
    assert judged.stepped_back == "it was slow", "the same bytes are the same version"
    made.publish(reviews, alias="candidate")
    made.step()
    assert judged.stepped_back is None


def test_a_canary_that_is_promoted_takes_over_without_being_loaded_again(canary, ask):
    service = canary.models.model().canary.slot.service
    canary.promote(2)
    assert canary.step() == "good"
    assert canary.models.default is service
    with canary.served() as client:
        assert ask(client) == ("reviews:2/fp32", "good")


def test_a_version_beside_can_be_asked_by_its_number(canary, ask):
    with canary.served() as client:
        for number in ("1", "2"):
            assert ask(client, f"/models/reviews:{number}/predict")[0] == f"reviews:{number}/fp32"
            assert client.get(f"/v2/models/reviews/versions/{number}").json()["versions"] == [number]
        reply = client.post("/models/reviews:3/predict", json={"inputs": "great"})
        assert (reply.status_code, reply.json()["error"]) == (
            404,
            "version '3' of reviews is not served here; reviews:1/fp32, reviews:2/fp32 are",
        )


def test_a_percentile_is_one_of_the_figures():
    assert percentile([3.0, 1.0, 2.0], 0.95) == 3.0
    assert percentile([1.0]) == 1.0
    assert percentile([float(number) for number in range(1, 101)]) == 95.0

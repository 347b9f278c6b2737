"""Several models in one process, each at its own address, and each answer with the version that gave it."""

import threading

import pytest

from tunewright.serving.errors import SettingsError
from tunewright.serving.settings import ServingSettings
from tunewright.serving.startup import models_of
from tunewright.serving.watch.meters import Meters


def test_requests_go_to_the_new_version_and_say_so(house, second, ask):
    with house.served() as client:
        assert ask(client) == ("reviews:1/fp32", "positive")
        house.publish(second)
        house.step()
        assert ask(client) == ("reviews:2/fp32", "good")
        assert client.get("/readyz").json()["model"] == "reviews:2/fp32"
        page = client.get("/metrics").text
        assert 'version="2"' in page
        assert 'version="1"' not in page, "the figures of a version leave with it"


def test_no_request_fails_and_none_is_answered_wrongly_while_versions_change(house, reviews, second, ask):
    labels = {"reviews:1/fp32": "positive", "reviews:2/fp32": "good", "reviews:3/fp32": "positive"}
    over, wrong, answered = threading.Event(), [], []

    def ask_on(client):
        while not over.is_set():
            who, label = ask(client)
            answered.append(who)
            if labels[who] != label:
                wrong.append((who, label))

    with house.served() as client:
        callers = [threading.Thread(target=ask_on, args=(client,)) for _ in range(4)]
        for caller in callers:
            caller.start()
        for bundle in (second, reviews):
            house.publish(bundle)
            house.step()
            ask(client)
        over.set()
        for caller in callers:
            caller.join()
    assert wrong == []
    assert set(answered) == set(labels)


def test_each_model_has_its_address(make_house, reviews, second, ask):
    made = make_house("reviews@production spam")
    made.publish(reviews)
    made.publish(second, "spam")
    made.follower.bring_all()
    with made.served() as client:
        assert ask(client) == ("reviews:1/fp32", "positive")
        assert ask(client, "/models/reviews/predict") == ("reviews:1/fp32", "positive")
        assert ask(client, "/models/spam/predict") == ("spam:1/fp32", "good")
        reply = client.post("/models/ham/predict", json={"inputs": "great"})
        assert (reply.status_code, reply.json()["error"]) == (
            404,
            "no model 'ham' is served here; there is: reviews, spam",
        )
        listed = client.get("/models").json()["models"]
        assert [(one["name"], one["state"], one["default"]) for one in listed] == [
            ("reviews", "ready", True),
            ("spam", "ready", False),
        ]
        one = client.get("/models/spam").json()
        assert (one["reference"], one["followed"], one["version"], one["task"], one["variant"]) == (
            "spam",
            True,
            1,
            "text-classification",
            "fp32",
        )
        assert (one["last_failure"], one["canary"], one["shadow"], one["last_swap"]["from"]) == (None,) * 4
        assert client.get("/models/ham").status_code == 404


def test_a_model_out_of_memory_is_back_when_it_is_asked(make_house, reviews, second, ask):
    made = make_house("reviews spam")
    made.publish(reviews)
    made.publish(second, "spam")
    made.follower.bring_all()
    both = sum(one["memory_bytes"] for one in made.models.status())
    made = make_house("reviews spam", memory_bytes=both - 1)
    made.follower.bring_all()
    made.follower.start()
    with made.served() as client:
        for _ in range(2):
            assert ask(client, "/models/spam/predict") == ("spam:1/fp32", "good")
            assert ask(client) == ("reviews:1/fp32", "positive")
            assert client.get("/readyz").status_code == 200
            assert [one["state"] for one in client.get("/models").json()["models"]] == ["ready", "unloaded"]
        assert client.get("/v2/models").json() == {"models": ["reviews", "spam"]}
        states = {one["name"]: (one["version"], one["state"]) for one in client.post("/v2/repository/index").json()}
        assert states == {"reviews": ("1", "READY"), "spam": ("1", "UNAVAILABLE")}
        ask(client, "/models/spam/predict")
        assert client.get("/readyz").status_code == 200, "the first one is out of memory, and comes back when asked"
        assert client.get("/openapi.json").status_code == 200
        assert [one["state"] for one in client.get("/models").json()["models"]] == ["ready", "unloaded"]


def test_a_model_that_cannot_come_back_is_told_without_the_reason_that_is_in_the_log(
    make_house, reviews, second, capsys, ask
):
    made = make_house("reviews spam")
    made.publish(reviews)
    made.publish(second, "spam")
    made.follower.bring_all()
    made.follower._unload(made.models.model("spam"))
    made.follower.start()
    for blob in (made.follower._loader.store._root / "blobs/sha256").iterdir():
        blob.unlink()
    with made.served() as client:
        reply = client.post("/models/spam/predict", json={"inputs": "great"})
        assert (reply.status_code, reply.json()["error"]) == (
            503,
            "spam cannot be loaded now; the log of this server says why, try again later",
        )
        assert ask(client) == ("reviews:1/fp32", "positive")
        [spam] = [one for one in client.get("/models").json()["models"] if one["name"] == "spam"]
        assert spam["last_failure"]["version"] == "spam:1"


def test_the_report_of_a_version_is_shown_where_that_is_allowed(make_house, reviews, tmp_path):
    page = tmp_path / "report.html"
    page.write_text("<script>alert(1)</script><p>good</p>")
    files = {str(path.relative_to(reviews)): path for path in reviews.rglob("*") if path.is_file()}
    for allowed in (True, False):
        house = make_house(report=allowed)
        house.publish({**files, "report/report.html": page})
        house.follower.bring_all()
        with house.served() as client:
            (told,) = client.get("/page/facts").json()["models"]
            reply = client.get("/page/report")
            if allowed:
                assert told["report"] == "page/report"
                assert (reply.status_code, reply.text) == (200, page.read_text())
                assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
                policy = reply.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
                assert policy.endswith("sandbox")
                assert "script" not in policy
                assert client.get("/models/reviews:1/page/report").text == page.read_text()
            else:
                sentence = "has no report here; SERVING_REPORT=true shows those of versions that carry one"
                assert told["report"] is None
                assert (reply.status_code, reply.json()["error"]) == (404, f"reviews:2/fp32 {sentence}")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"model": "reviews@production reviews:7"},
            "reviews is named twice in 'reviews@production reviews:7'; a second version of a model has its place in "
            "SERVING_CANARY or SERVING_SHADOW",
        ),
        (
            {"model": "reviews", "canary": "spam:2=10"},
            "SERVING_CANARY names spam:2, but what is served is: reviews",
        ),
    ],
)
def test_references_that_do_not_fit_are_told(settings, sentence):
    with pytest.raises(SettingsError) as caught:
        models_of(ServingSettings(**settings), Meters())
    assert str(caught.value) == sentence

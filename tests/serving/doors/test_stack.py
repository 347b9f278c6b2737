"""Doors together: what is off is not there, and what is on stands in the right order."""

from tunewright.serving.doors.stack import doors
from tunewright.serving.protocols.protocol import explained
from tunewright.serving.settings import ServingSettings
from tunewright.serving.watch.meters import Meters

APP = "https://app.example.com"


def preflight(client, origin):
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST",
               "Access-Control-Request-Headers": "authorization, content-type"}  # fmt: skip
    return client.options("/predict", headers=headers)


def test_what_is_off_is_not_there():
    stack = doors(ServingSettings(model="reviews"), Meters(), lambda path: explained)
    assert [one.cls.__name__ for one in stack] == ["Coding"]


def test_no_page_of_another_origin_may_ask_unless_it_is_named(guarded):
    with guarded() as client:
        assert preflight(client, APP).status_code == 405
        reply = client.get("/livez", headers={"Origin": APP})
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_a_page_that_is_named_may_ask_with_a_key_and_reads_a_refusal(guarded):
    with guarded(origins=f"{APP}, http://localhost:3000", keys="app: s3cret-of-the-app-0123") as client:
        allowed = preflight(client, APP)
        refused = preflight(client, "https://app.example.com.evil.test")
        answer = client.post("/predict", json={"inputs": "a"}, headers={"Origin": APP})
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == APP
    assert "authorization" in allowed.headers["Access-Control-Allow-Headers"]
    assert refused.status_code == 400
    assert "Access-Control-Allow-Origin" not in refused.headers
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (401, APP)
    assert "X-Request-Id" in answer.headers["Access-Control-Expose-Headers"]

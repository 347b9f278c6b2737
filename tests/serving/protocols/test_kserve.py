"""What KServe's client of the protocol V1 was recorded to send."""

import pytest


def test_instances_are_predicted(served):
    client = served("reviews").client
    reply = client.post("/v1/models/reviews:predict", json={"instances": ["great", {"text": "sad"}]})
    assert [answer[0]["label"] for answer in reply.json()["predictions"]] == ["positive", "negative"]
    pair = {"instances": [["a", "b"]]}
    assert len(served("similarity").client.post("/v1/models/reviews:predict", json=pair).json()["predictions"]) == 1


def test_liveness_readiness_and_the_list(served):
    client = served("reviews").client
    assert client.get("/").json() == {"status": "alive"}
    assert client.get("/v1/models/reviews").json()["ready"] is True
    assert client.get("/v1/models").json()["models"] == ["reviews"]


@pytest.mark.parametrize(
    ("path", "content", "status", "sentence"),
    [
        ("other:predict", {"instances": []}, 404, "no model 'other' is served here; there is: reviews"),
        ("reviews:predict", {"instances": "a"}, 422, "'instances' is 'a'; send a list of inputs"),
        ("reviews:predict", {"instances": []}, 422, "'inputs' is an empty list: send at least one text"),
        ("reviews:predict", {"inputs": []}, 422, "unknown key 'inputs'; a request has: instances, parameters"),
        ("reviews:explain", {"instances": "a"}, 422, "'instances' is 'a'; send a list of inputs"),
    ],
)
def test_a_wrong_request_is_answered_with_its_mistake(served, path, content, status, sentence):
    reply = served("reviews").client.post(f"/v1/models/{path}", json=content)
    assert (reply.status_code, reply.json()) == (status, {"error": sentence})


def test_predictions_are_explained(served):
    content = {"instances": ["This lamp is broken", "great"], "parameters": {"budget": 40}}
    found = served("reviews").client.post("/v1/models/reviews:explain", json=content).json()["explanations"]
    assert [one["target"] for one in found] == ["negative", "positive"]
    assert max(found[0]["parts"], key=lambda part: part["weight"])["text"] == "broken"


def test_two_texts_of_a_model_of_pairs_are_no_two_instances(served):
    reply = served("similarity").client.post("/v1/models/reviews:predict", json={"instances": ["a", "b"]})
    assert reply.json() == {"error": "['a', 'b'] reads as one input; send a list of inputs"}

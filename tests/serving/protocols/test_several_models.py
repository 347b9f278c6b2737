"""Where a process serves several models, the address or the body of a request says which is meant."""

import pytest
from openai import NotFoundError, OpenAI

from tunewright.registry.versions.record import Version
from tunewright.serving.live.service import Service
from tunewright.serving.predictor import open_predictor


@pytest.fixture(scope="module")
def client(bundle, serve_bundle):
    """Of a server of `reviews`, which chats, and `vectors`."""
    with serve_bundle(bundle("chat")) as (client, models):
        version = Version("vectors", 1, "sha256:" + "1" * 64, "run-1", "2026-01-31T12:00:00Z", 1)
        service = Service(open_predictor(bundle("vectors")), version, limits=models.limits, meters=models.meters)
        models.put(models.add("vectors:1").main, service)
        yield client


def test_the_model_of_a_body_chooses(client):
    openai = OpenAI(base_url=f"{client.base_url}/v1", api_key="none", max_retries=0)
    assert [model.id for model in openai.models.list()] == ["reviews", "vectors"]
    assert len(openai.embeddings.create(model="vectors", input="great").data) == 1
    messages = [{"role": "user", "content": "abc"}]
    chat = openai.chat.completions.create(model="reviews", messages=messages)
    assert (chat.model, chat.choices[0].message.content) == ("reviews", "defghijkl")
    with pytest.raises(NotFoundError, match="no model 'other' is served here; there is: reviews, vectors"):
        openai.chat.completions.create(model="other", messages=messages)


def test_the_model_of_an_address_chooses(client):
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["great"]}
    reply = client.post("/v2/models/vectors/infer", json={"inputs": [tensor]})
    assert (reply.json()["model_name"], reply.json()["outputs"][0]["shape"]) == ("vectors", [1, 3])
    reply = client.post("/v1/models/vectors:predict", json={"instances": ["great"]})
    assert len(reply.json()["predictions"][0]) == 3
    assert len(client.post("/models/vectors/embed", json={"inputs": "great"}).json()) == 1
    assert [one["name"] for one in client.post("/v2/repository/index").json()] == ["reviews", "vectors"]
    assert client.get("/v1/models").json()["models"] == ["reviews", "vectors"]


def test_a_request_without_a_name_is_for_the_first_model(client):
    assert client.post("/v1/completions", json={"prompt": "ab", "max_tokens": 1}).json()["choices"][0]["text"] == "c"
    assert client.post("/v1/embeddings", json={"input": "great"}).status_code == 404

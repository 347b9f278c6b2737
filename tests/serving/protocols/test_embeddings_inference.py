"""What users of text-embeddings-inference send."""

import numpy as np
import pytest


def test_embed_gives_a_list_of_vectors(served):
    client = served("vectors").client
    one = client.post("/embed", json={"inputs": "great", "normalize": True, "truncate": True}).json()
    assert np.shape(one) == (1, 3)
    assert np.linalg.norm(one[0]) == pytest.approx(1)
    assert np.shape(client.post("/embed", json={"inputs": ["great", "sad"], "dimensions": 2}).json()) == (2, 2)


def test_rerank_puts_the_best_first(served):
    client = served("similarity").client
    asked = {"query": "great", "texts": ["sad", "amazing", "terrible"], "raw_scores": False}
    ranked = client.post("/rerank", json=asked).json()
    assert ranked[0]["index"] == 1
    assert [one["score"] for one in ranked] == sorted((one["score"] for one in ranked), reverse=True)
    assert client.post("/rerank", json={**asked, "return_text": True}).json()[0]["text"] == "amazing"


def test_similarity(served):
    inputs = {"source_sentence": "great", "sentences": ["great", "sad"]}
    same, other = served("vectors").client.post("/similarity", json={"inputs": inputs}).json()
    assert same == pytest.approx(1)
    assert other < same


@pytest.mark.parametrize(
    ("kind", "path", "content", "status", "sentence"),
    [
        ("reviews", "/embed", {"inputs": "a"}, 404, "reviews:3/fp32 is for text-classification: it gives no embed"),
        ("reviews", "/rerank", {"query": "a"}, 404, "reviews:3/fp32 gives no number to a pair of texts, by which to"),
        ("similarity", "/rerank", {"query": "a"}, 422, "'texts' is null; send a list of texts"),
        ("similarity", "/rerank", {"query": 1, "texts": ["a"]}, 422, "'query' is 1; send a text"),
        ("similarity", "/rerank", {"truncate": 1}, 422, "'truncate' is 1; send true or false"),
        ("similarity", "/rerank", {"more": 1}, 422, "unknown key 'more'; a request has: query, texts, raw_scores"),
        ("vectors", "/similarity", {"inputs": "a"}, 422, "'inputs' is 'a'; send {\"source_sentence\": ..., \"sente"),
        ("vectors", "/embed", {"inputs": 1}, 422, "inputs is 1; this model reads a string"),
    ],
)
def test_a_wrong_request_is_answered_with_its_mistake(served, kind, path, content, status, sentence):
    reply = served(kind).client.post(path, json=content)
    assert (reply.status_code, reply.json()["error_type"]) == (status, "Validation")
    assert reply.json()["error"].startswith(sentence)

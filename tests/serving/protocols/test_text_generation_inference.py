"""Clients of text-generation-inference, with nothing changed but the address."""

import json

import pytest
from huggingface_hub import InferenceClient


@pytest.fixture
def ask(served):
    """ask("/generate"): the hub's client at that address of a server that writes."""
    return lambda path: InferenceClient(model=served("chat").url + path, provider="hf-inference", timeout=30)


def test_a_text_is_gone_on_with(ask, served):
    assert ask("/generate").text_generation("abc") == "defghijkl"
    found = ask("/generate").text_generation("abc", details=True, max_new_tokens=2, do_sample=False)
    assert (found.generated_text, found.details.finish_reason, found.details.generated_tokens) == ("de", "length", 2)
    assert [(one.id, one.text, one.special) for one in found.details.tokens] == [(6, "d", False), (7, "e", False)]
    parameters = {"max_new_tokens": 1, "return_full_text": True, "best_of": 1}
    reply = served("chat").client.post("/generate", json={"inputs": "abc", "parameters": parameters})
    assert reply.json() == {"generated_text": "abcd"}


def test_tokens_come_as_events(ask, served):
    client = ask("/generate_stream")  # which closes its streams when nothing holds it any more
    *tokens, last = client.text_generation("abc", stream=True, details=True, max_new_tokens=2)
    assert [(one.index, one.token.text) for one in tokens] == [(1, "d"), (2, "e")]
    assert (last.generated_text, last.details.finish_reason, last.details.generated_tokens) == ("de", "length", 2)
    reply = served("chat").client.post("/generate_stream", json={"inputs": "abc", "parameters": {"max_new_tokens": 1}})
    last = json.loads(reply.text.strip().split("\n\n")[-1].removeprefix("data: "))
    assert (last["generated_text"], last["details"]) == ("d", None)


def test_a_model_that_makes_another_text_of_one(served):
    reply = served("translation").client.post("/generate", json={"inputs": "abc"})
    assert list(reply.json()) == ["generated_text"]
    reply = served("translation").client.post("/generate_stream", json={"inputs": "abc"})
    assert '"generated_text":"' in reply.text


@pytest.mark.parametrize(
    ("kind", "body", "status", "sentence"),
    [
        ("chat", {"inputs": ["a", "b"]}, 422, "'inputs' is a list; one answer is streamed at a time: send one input"),
        ("chat", {"inputs": "a", "stream": True}, 422, "'stream' is true; ask with POST /generate_stream"),
        (
            "chat",
            {"inputs": "a", "parameters": {"watermark": True}},
            422,
            "'watermark' is true; this",
        ),
        ("reviews", {"inputs": "a"}, 404, "is for text-classification"),
    ],
)
def test_what_cannot_be_done_has_a_type_of_its_own(served, kind, body, status, sentence):
    reply = served(kind).client.post("/generate", json=body)
    assert (reply.status_code, reply.json()["error_type"]) == (status, "validation")
    assert sentence in reply.json()["error"]


@pytest.mark.parametrize("kind", ["reviews", "chat", "translation", "tags"])
def test_the_tokens_of_a_text_stand_where_they_stood_in_it(served, kind):
    text = "abc" if kind in ("chat", "translation") else "I  love this LAMP."
    tokens = served(kind).client.post("/tokenize", json={"inputs": text}).json()
    assert [list(one) for one in tokens] == [["id", "text", "start", "stop"]] * len(tokens)
    assert [text[one["start"] : one["stop"]] for one in tokens] == [one["text"] for one in tokens]
    assert "".join(one["text"] for one in tokens) == text.replace(" ", "")
    tokenizer = served(kind).models.default.predictor.tokenizer
    assert [one["id"] for one in tokens] == tokenizer.encode(text.replace("  ", " ")).ids


@pytest.mark.parametrize(
    ("kind", "body", "status", "sentence"),
    [
        ("reviews", {"inputs": ["a"]}, 422, "'inputs' is ['a']; send one text"),
        (
            "reviews",
            {"inputs": "a", "parameters": {"top_k": 1}},
            422,
            "'parameters' have no effect on the tokens of",
        ),
        ("image", {"inputs": "a"}, 404, "it reads no texts"),
    ],
)
def test_tokens_that_cannot_be_told_are_refused(served, kind, body, status, sentence):
    reply = served(kind).client.post("/tokenize", json=body)
    assert (reply.status_code, reply.json()["error_type"]) == (status, "validation")
    assert sentence in reply.json()["error"]

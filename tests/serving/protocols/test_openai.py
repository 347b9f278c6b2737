"""The client of OpenAI, with nothing changed but the address."""

import base64
import json
import struct

import numpy as np
import pytest
from openai import NotFoundError, OpenAI, UnprocessableEntityError

from tunewright.serving.protocols.chats.response import EVENTS, Response, ResponseEvents
from tunewright.serving.protocols.protocol import Fault
from tunewright.serving.request.request import Request

ABC = [{"role": "user", "content": "abc"}]


@pytest.fixture
def client(served):
    """client("chat"): the client of a server of that kind of model."""

    def make(kind="chat", prefix="/v1"):
        return OpenAI(base_url=served(kind).url + prefix, api_key="none", max_retries=0, timeout=30)

    return make


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1"])
def test_a_chat_is_answered(client, prefix):
    found = client(prefix=prefix).chat.completions.create(model="any", messages=ABC)
    [choice] = found.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "defghijkl", "stop")
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.total_tokens) == (3, 10, 13)
    assert (found.object, found.model, found.id[:9]) == ("chat.completion", "reviews", "chatcmpl-")


@pytest.mark.parametrize(
    ("asked", "content", "reason"),
    [
        ({"max_tokens": 2}, "de", "length"),
        ({"max_completion_tokens": 3}, "def", "length"),
        ({"stop": "fg"}, "de", "stop"),
        ({"stop": ["zz", "h"]}, "defg", "stop"),
        ({"temperature": 0, "seed": 7, "top_p": 0.5}, "defghijkl", "stop"),
        ({"temperature": 0.01, "seed": 7, "top_p": 0.9}, "defghijkl", "stop"),
        ({"top_p": 0.1}, "defghijkl", "stop"),
        ({"response_format": {"type": "text"}, "user": "u", "frequency_penalty": 0, "tools": []}, "defghijkl", "stop"),
        ({"logprobs": False, "top_logprobs": None, "store": False, "metadata": {"a": "b"}}, "defghijkl", "stop"),
    ],
)
def test_what_a_chat_is_asked_with(client, asked, content, reason):
    [choice] = client().chat.completions.create(model="any", messages=ABC, **asked).choices
    assert (choice.message.content, choice.finish_reason) == (content, reason)


def test_several_answers_and_content_in_parts(client):
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "developer", "content": "k"}, {"role": "user", "content": parts}]
    found = client().chat.completions.create(model="any", messages=messages, n=2)
    assert [choice.message.content for choice in found.choices] == ["cdefghijkl"] * 2
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (3, 22)


def test_a_chat_as_a_stream(client):
    first, *chunks = client().chat.completions.create(model="any", messages=ABC, stream=True, max_tokens=3)
    assert first.choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "def"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "length"]
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}


def test_a_stream_with_its_usage(client):
    *chunks, last = client().chat.completions.create(
        model="any", messages=ABC, stream=True, max_tokens=3, stream_options={"include_usage": True}
    )
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert (last.choices, last.usage.prompt_tokens, last.usage.completion_tokens) == ([], 3, 3)


def test_the_tokens_of_a_chat_are_told_with_their_log_probabilities(client):
    asked = {"model": "any", "messages": ABC, "logprobs": True, "top_logprobs": 2, "max_tokens": 2}
    [choice] = client().chat.completions.create(**asked).choices
    assert [(one.token, one.bytes) for one in choice.logprobs.content] == [("d", [100]), ("e", [101])]
    for one in choice.logprobs.content:
        assert -0.1 < one.logprob < 0
        assert [one.token, one.logprob] == [one.top_logprobs[0].token, one.top_logprobs[0].logprob]
        assert len(one.top_logprobs) == 2
    chunks = client().chat.completions.create(**asked, stream=True)
    told = [chunk.choices[0].logprobs.content for chunk in chunks if chunk.choices[0].logprobs]
    assert [one for part in told for one in part] == choice.logprobs.content
    [plain] = client().chat.completions.create(model="any", messages=ABC).choices
    assert plain.logprobs is None


def test_the_tokens_of_a_completion(client):
    [choice] = client().completions.create(model="any", prompt="ab", max_tokens=2, logprobs=1).choices
    told = choice.logprobs
    assert (told.tokens, told.text_offset) == (["c", "d"], [0, 1])
    assert [list(top) for top in told.top_logprobs] == [["c"], ["d"]]
    assert told.top_logprobs[1]["d"] == told.token_logprobs[1]


def test_an_answer_is_held_to_a_form(client):
    form = {"type": "regex", "value": "d(e|x)f"}
    [choice] = client().chat.completions.create(model="any", messages=ABC, response_format=form).choices
    assert choice.message.content == "def"
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    with pytest.raises(UnprocessableEntityError):  # letters alone make no object
        client().chat.completions.create(model="any", messages=ABC, response_format=schema)


def test_completions(client):
    found = client().completions.create(model="any", prompt=["ab", "abcdefgh"], max_tokens=3, n=2)
    assert [choice.text for choice in found.choices] == ["cde", "cde", "ijk", "ijk"]
    assert (found.object, found.usage.prompt_tokens, found.usage.completion_tokens) == ("text_completion", 10, 12)
    chunks = client().completions.create(model="any", prompt="ab", stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "cdefghijkl"


def test_a_response(client):
    found = client().responses.create(model="any", input="abc", max_output_tokens=3)
    assert (found.output_text, found.status, found.incomplete_details.reason) == (
        "def",
        "incomplete",
        "max_output_tokens",
    )
    assert (found.usage.input_tokens, found.usage.output_tokens) == (3, 3)
    said = [{"role": "user", "content": [{"type": "input_text", "text": "ab"}]}]
    form = {"format": {"type": "regex", "value": "c+"}}
    found = client().responses.create(
        model="any", input=said, instructions="k", temperature=0, text=form, max_output_tokens=1
    )
    assert found.output_text == "c"
    whole = client().responses.create(model="any", input=said, store=False)
    assert (whole.output_text, whole.status) == ("cdefghijkl", "completed")


def test_a_response_as_a_stream(client):
    events = list(client().responses.create(model="any", input="abc", max_output_tokens=3, stream=True))
    assert [event.sequence_number for event in events] == [*range(len(events))]
    kinds = [event.type.removeprefix("response.") for event in events]
    begun = ["created", "in_progress", "output_item.added", "content_part.added"]
    assert kinds[:4] == begun
    assert kinds[-4:] == ["output_text.done", "content_part.done", "output_item.done", "incomplete"]
    assert {event.type for event in events} < set(EVENTS)
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "def"
    assert {event.response.id for event in events if hasattr(event, "response")} == {events[0].response.id}
    whole = events[-1].response
    assert (whole.output_text, whole.usage.input_tokens, whole.usage.output_tokens) == ("def", 3, 3)
    with client().responses.stream(model="any", input="abc") as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text == "defghijkl"


def test_a_response_that_breaks_off_is_told_as_failed(served):
    """What happens behind the first piece cannot have a status any more."""
    response = Response("reviews")
    events = ResponseEvents(response, served("chat").models.default, Request(["abc"], None))
    sent = (events.piece("d") + events.fault(Fault(500, "ModelFault", "it broke"))).decode()
    last = json.loads(sent.strip().split("data: ")[-1])
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"] == {"code": "server_error", "message": "it broke"}


def test_embeddings(client):
    found = client("vectors").embeddings.create(model="any", input=["great", "sad"])
    assert [one.index for one in found.data] == [0, 1]
    assert np.linalg.norm(found.data[0].embedding) == pytest.approx(1)
    assert found.usage.prompt_tokens == found.usage.total_tokens == 6
    plain = client("vectors").embeddings.create(model="any", input="great", encoding_format="float", dimensions=2)
    assert len(plain.data[0].embedding) == 2
    assert np.linalg.norm(plain.data[0].embedding) == pytest.approx(1)


def test_numbers_in_base64_are_in_single_precision_with_the_small_end_first(served):
    asked = {"input": "great", "encoding_format": "base64"}
    in_bytes, plain = (
        served("vectors").client.post("/v1/embeddings", json={**asked, **more}).json()["data"][0]["embedding"]
        for more in ({}, {"encoding_format": "float"})
    )
    assert struct.unpack("<3f", base64.b64decode(in_bytes)) == pytest.approx(plain)


def test_models_are_listed_and_found(client):
    assert [model.id for model in client().models.list()] == ["reviews"]
    found = client().models.retrieve("reviews")
    assert (found.id, found.object, found.created) == ("reviews", "model", 1769860800)
    with pytest.raises(NotFoundError):
        client().models.retrieve("other")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"messages": []}, "inputs[0] is no list of messages such as"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "inputs[0] holds the role 'tool' (message 1); roles are"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0] is {'type'"),
        ({"tools": [{"type": "function"}]}, "'tools' is [{'type': 'function'}]; this server has no such thing: send"),
        ({"top_logprobs": 2}, "'top_logprobs' counts only with 'logprobs': true"),
        ({"logprobs": True, "top_logprobs": 21}, "'top_logprobs' is 21; send a number from 0 to 20"),
        ({"presence_penalty": 1}, "'presence_penalty' is 1; this server has no such thing: send null or 0"),
        ({"n": 2, "stream": True}, "one answer is streamed at a time: send one prompt, and no 'n' above 1"),
        ({"n": 17}, "'n' is 17; send a number from 1 to 16"),
        ({"extra_body": {"colour": 1}}, "unknown key 'colour'; a request has: messages, response_format"),
        ({"response_format": {"type": "xml"}}, "'response_format' is {'type': 'xml'}; send {\"type\": \"json_schema\""),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "'max_tokens' and 'max_completion_tokens' say the same"),
        ({"max_tokens": 0}, "parameter 'max_new_tokens' is 0: Input should be greater than or equal to 1"),
        ({"stream_options": {"include_usage": True}}, "'stream_options' counts only with 'stream': true"),
    ],
)
def test_what_cannot_be_done_is_said_in_the_object_of_the_client(client, asked, sentence):
    with pytest.raises(UnprocessableEntityError) as caught:
        client().chat.completions.create(**{"model": "any", "messages": ABC, **asked})
    assert caught.value.body["message"].startswith(sentence)
    assert (caught.value.type, caught.value.code) == ("invalid_request_error", "InputError")


def test_what_another_kind_of_model_is_asked(client):
    with pytest.raises(NotFoundError, match="is for feature-extraction: it goes on with no texts"):
        client("vectors").chat.completions.create(model="any", messages=ABC)
    with pytest.raises(NotFoundError, match="is for text-generation: it gives no embeddings"):
        client().embeddings.create(model="any", input="a")
    with pytest.raises(UnprocessableEntityError, match="send a text or a list of texts, not tokens"):
        client("vectors").embeddings.create(model="any", input=[[1, 2]])


def test_a_body_that_is_no_json_is_said_in_the_same_object(served):
    reply = served("chat").client.post("/v1/chat/completions", content=b"{")
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")

"""Triton's client, and what KServe's client was recorded to send."""

import base64
import gzip
import json

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from tunewright.serving.tasks.image_classification import EXAMPLE

TEXTS = ["This product is amazing!", "I hate it", "wörds 😀"]


@pytest.fixture
def client(served):
    """client("reviews"): Triton's client of a server of that kind of model."""
    opened = []

    def make(kind="reviews"):
        opened.append(InferenceServerClient(served(kind).url.removeprefix("http://")))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def tensor(name, items, *, binary=True):
    made = InferInput(name, [len(items)], "BYTES")
    made.set_data_from_numpy(np.array(items, dtype=object), binary_data=binary)
    return made


@pytest.mark.parametrize("binary", [True, False], ids=["in bytes", "in JSON"])
def test_texts_are_classified(client, binary):
    outputs = [InferRequestedOutput(name, binary_data=binary) for name in ("label", "score", "json")]
    found = client().infer("reviews", [tensor("text", TEXTS, binary=binary)], outputs=outputs, request_id="7")
    labels = [str(one.decode() if binary else one) for one in found.as_numpy("label")]
    assert labels[:2] == ["positive", "negative"]
    assert found.as_numpy("score").dtype == np.float32
    answers = [json.loads(one) for one in found.as_numpy("json")]
    assert [answer[0]["score"] for answer in answers] == pytest.approx(found.as_numpy("score"))
    assert (found.get_response()["id"], found.get_response()["model_version"]) == ("7", "3")


def test_all_outputs_come_in_bytes_where_none_is_named(client):
    found = client().infer("reviews", [tensor("any name", TEXTS)], model_version="3", parameters={"top_k": 1})
    assert len(json.loads(found.as_numpy("json")[0])) == 1
    assert found.as_numpy("label")[1] == b"negative"


def test_an_answer_that_is_not_sure_enough_is_an_empty_label(client):
    found = client().infer("reviews", [tensor("text", TEXTS)], parameters={"min_score": 1.0})
    assert set(found.as_numpy("label")) == {b""}
    assert json.loads(found.as_numpy("json")[0]) == [
        {"label": None, "score": pytest.approx(found.as_numpy("score")[0])}
    ]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_tensors_are_packed_both_ways(client, coding):
    asked = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
    found = client().infer("reviews", [tensor("text", TEXTS * 50)], **asked)
    assert found.as_numpy("label").shape == (150,)


def test_a_body_that_unfolds_into_too_much_is_refused(served):
    headers = {"Content-Encoding": "gzip", "Inference-Header-Content-Length": "2"}
    assert post(served, gzip.compress(b"{}" + bytes(64 << 20)), headers=headers).status_code == 413


def test_pairs_questions_files_vectors_and_written_texts(client):
    pair = [tensor("text_pair", ["b", "d"]), tensor("text", ["a", "c"])]
    assert client("similarity").infer("reviews", pair).as_numpy("score").shape == (2,)
    asked = [tensor("question", ["born ?"]), tensor("context", ["Marie was born in Warsaw ."])]
    assert json.loads(client("spans").infer("reviews", asked).as_numpy("json")[0])["answer"] == "Warsaw"
    picture = base64.b64decode(EXAMPLE)
    assert client("image").infer("reviews", [tensor("image", [picture, picture])]).as_numpy("label").shape == (2,)
    in_json = [tensor("image", [EXAMPLE], binary=False)]
    assert client("image").infer("reviews", in_json).as_numpy("label").shape == (1,)
    assert client("vectors").infer("reviews", [tensor("text", TEXTS)]).as_numpy("embedding").shape == (3, 3)
    more = {"return_full_text": False, "max_new_tokens": 2}
    assert client("chat").infer("reviews", [tensor("text", ["abc"])], parameters=more).as_numpy("text") == [b"de"]


def test_health_metadata_config_index_and_statistics(client):
    triton = client()
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("reviews")
    assert triton.is_model_ready("reviews", "3")
    assert not triton.is_model_ready("reviews", "4")
    assert triton.get_server_metadata()["name"] == "tunewright"
    told = triton.get_model_metadata("reviews")
    assert (told["versions"], told["inputs"]) == (["3"], [{"name": "text", "datatype": "BYTES", "shape": [-1]}])
    assert [output["name"] for output in told["outputs"]] == ["label", "score", "json"]
    assert triton.get_model_config("reviews", "3")["output"][1]["data_type"] == "TYPE_FP32"
    [indexed] = triton.get_model_repository_index()
    assert indexed == {"name": "reviews", "version": "3", "state": "READY", "reason": ""}
    before = triton.get_inference_statistics("reviews")["model_stats"][0]
    triton.infer("reviews", [tensor("text", TEXTS)])
    after = triton.get_inference_statistics()["model_stats"][0]
    assert after["inference_count"] - before["inference_count"] == len(TEXTS)
    success, earlier = after["inference_stats"]["success"], before["inference_stats"]["success"]
    assert success["count"] - earlier["count"] == 1
    assert success["ns"] > earlier["ns"]


def test_a_version_that_is_not_served_is_said(client):
    with pytest.raises(InferenceServerException, match="version '4' of reviews is not served here; reviews:3"):
        client().infer("reviews", [tensor("text", TEXTS)], model_version="4")
    with pytest.raises(InferenceServerException, match="no model 'other' is served here"):
        client().get_model_metadata("other")


def post(served, content, path="/v2/models/reviews/infer", **more):
    client = served("reviews").client
    return client.post(path, **({"json": content} if isinstance(content, dict) else {"content": content}), **more)


def test_what_kserve_sends_is_answered(served):
    tensor = {"name": "input-0", "shape": [2, 1], "datatype": "BYTES", "data": [["great"], ["sad"]]}
    reply = post(served, {"id": "a", "model_name": "reviews", "inputs": [tensor], "outputs": [{"name": "label"}]})
    label = {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["positive", "negative"]}
    assert reply.json() == {"model_name": "reviews", "model_version": "3", "id": "a", "outputs": [label]}


GOOD = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}
DEEP = json.loads("[" * 500 + '"a"' + "]" * 500)
PACKED = {"name": "text", "shape": [1], "datatype": "BYTES"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "'inputs' is null; send a list of tensors"),
        ({"inputs": [GOOD], "more": 1}, "unknown key 'more'; a request has: id, parameters, inputs, outputs"),
        ({"inputs": [GOOD, GOOD]}, "'inputs' are 'text', 'text'; send each once"),
        ({"inputs": [{**GOOD, "datatype": "FP32"}]}, "inputs[0].datatype is 'FP32'; texts and files are BYTES"),
        ({"inputs": [{**GOOD, "shape": [2]}]}, "inputs[0].shape is [2], which is for 2 strings; there are 1"),
        ({"inputs": [{**GOOD, "shape": [-1]}]}, "inputs[0].shape is [-1]; send a list of at most 8 sizes"),
        ({"inputs": [{**GOOD, "shape": [9] * 9}]}, "inputs[0].shape is [9, 9, 9, 9, 9, 9, 9, 9, 9]; send a list of at"),
        ({"inputs": [{**GOOD, "data": DEEP}]}, "inputs[0].data is [[[[[[[[..."),
        ({"inputs": [{**GOOD, "data": [1]}]}, "inputs[0].data is 1; send a list of strings"),
        ({"inputs": [{"name": "text"}]}, "inputs[0] is {'name': 'text'}; send {\"name\": ..., \"shape\": [n],"),
        ({"inputs": [GOOD], "outputs": [{"name": "x"}]}, "'outputs' has {'name': 'x'}; this model gives: 'label'"),
        ({"inputs": [GOOD], "parameters": {"top_k": 0}}, "parameter 'top_k' is 0: Input should be greater"),
        ({"inputs": [{**PACKED, "parameters": {"binary_data_size": 9}}]}, "inputs[0] is said to have 9 bytes, but 0"),
        ({"inputs": [{**PACKED, "parameters": {"binary_data_size": "9"}}]}, "inputs[0].parameters.binary_data_size is"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_answered_with_its_mistake(served, content, sentence):
    reply = post(served, content)
    assert (reply.status_code, set(reply.json())) == (422, {"error"})
    assert reply.json()["error"].startswith(sentence)


@pytest.mark.parametrize(
    ("size", "data", "sentence"),
    [
        (5, b"\x09\0\0\0a", "inputs[0]: a string in it ends behind its 5 bytes"),
        (3, b"\x09\0\0", "inputs[0]: a string in it ends behind its 3 bytes"),
        (5, b"\x01\0\0\0\xff", "a string of 'text' is not UTF-8: byte 0 cannot be read"),
        (5, b"\x01\0\0\0ab", "1 bytes follow the last tensor"),
    ],
)
def test_bytes_that_are_no_tensor_are_refused(served, size, data, sentence):
    head = json.dumps({"inputs": [{**PACKED, "parameters": {"binary_data_size": size}}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    assert post(served, head + data, headers=headers).json() == {"error": sentence}


@pytest.mark.parametrize("told", ["9999", "-1", "x"])
def test_a_header_that_is_longer_than_the_body_is_refused(served, told):
    reply = post(served, b"{}", headers={"Inference-Header-Content-Length": told})
    assert (reply.status_code, reply.json()["error"]) == (
        400,
        f"Inference-Header-Content-Length is '{told}', but the body has 2 bytes",
    )

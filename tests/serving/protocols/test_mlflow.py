"""What MLflow's client and SageMaker were recorded to send."""

import base64
import json

import pytest

from tunewright.serving.tasks.image_classification import EXAMPLE

FORMS = {
    "inputs": {"inputs": ["great", "sad"]},
    "named columns": {"inputs": {"any": ["great", "sad"]}},
    "instances": {"instances": ["great", {"text": "sad"}]},
    "split": {"dataframe_split": {"index": [0, 1], "columns": ["any"], "data": [["great"], ["sad"]]}},
    "records": {"dataframe_records": [{"any": "great"}, {"any": "sad"}]},
    "with params": {"inputs": ["great", "sad"], "params": {"top_k": 1}},
}


def best(reply):
    assert reply.status_code == 200, reply.text
    return [answer[0]["label"] for answer in reply.json()["predictions"]]


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS)
def test_each_form_of_a_body_is_answered_by_predictions(served, content):
    assert best(served("reviews").client.post("/invocations", json=content)) == ["positive", "negative"]


def test_columns_are_parts_of_an_input(served):
    client = served("similarity").client
    split = {"columns": ["text_pair", "text"], "data": [["b", "a"], ["d", "c"]]}
    [first, second] = client.post("/invocations", json={"dataframe_split": split}).json()["predictions"]
    pairs = [{"text": "a", "text_pair": "b"}, {"text": "c", "text_pair": "d"}]
    plain = client.post("/invocations", json={"instances": pairs}).json()["predictions"]
    assert [first, second] == plain


def test_a_table_is_read(served):
    table = '"text"\r\n"great, and\nso on"\r\nsad\r\n'
    reply = served("reviews").client.post(
        "/invocations", content=table, headers={"Content-Type": "text/csv; charset=x"}
    )
    assert best(reply) == ["positive", "negative"]


def test_the_bytes_of_a_file_are_read(served):
    headers = {"Content-Type": "application/x-image"}
    reply = served("image").client.post("/invocations", content=base64.b64decode(EXAMPLE), headers=headers)
    assert len(reply.json()["predictions"]) == 1


def test_the_deployments_client_asks_by_the_name_of_an_endpoint(served):
    content = {"inputs": ["great"]}
    assert best(served("reviews").client.post("/endpoints/any/invocations", json=content)) == ["positive"]


def test_ping_and_version(served):
    client = served("reviews").client
    assert client.get("/ping").status_code == 200
    assert client.get("/version").text[0].isdigit()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "the body has no inputs; send one of: inputs, instances, dataframe_split, dataframe_records"),
        ({"inputs": [], "instances": []}, "the body has inputs, instances; send one of: inputs, instances"),
        ({"inputs": ["a"], "more": 1}, "unknown key 'more'; a request has: inputs, params"),
        ({"inputs": ["a"], "params": [1]}, "'params' is [1]; send an object"),
        ({"instances": "a"}, "'instances' is 'a'; send a list of inputs"),
        ({"dataframe_split": {"columns": ["a"]}}, "'dataframe_split' is {'columns': ['a']}; send {\"columns\": [...]"),
        ({"dataframe_split": {"columns": ["a"], "data": [["x", "y"]]}}, "dataframe_split.data[0] is ['x', 'y']; the"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": []}}, "the columns are ['a', 'a']; send a name for each"),
        ({"dataframe_split": {"columns": ["a"], "data": []}}, "there are no rows: send at least one"),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [["x", "y"]]}}, "'inputs' are 'a', 'b'; this model reads"),
        ({"dataframe_records": ["a"]}, "'dataframe_records' is ['a']; send a list of objects"),
        ({"dataframe_records": [{"a": "x"}, {"b": "x"}]}, "dataframe_records[1] is {'b': 'x'}, but the first one has"),
    ],
)
def test_a_wrong_request_is_answered_with_its_mistake(served, content, sentence):
    reply = served("reviews").client.post("/invocations", content=json.dumps(content))
    assert (reply.status_code, reply.json()["error_type"]) == (422, "InputError")
    assert reply.json()["error"].startswith(sentence)


@pytest.mark.parametrize("table", [b"", b"\xff", b'text\n"a'])
def test_what_is_no_table_is_malformed(served, table):
    reply = served("reviews").client.post("/invocations", content=table, headers={"Content-Type": "text/csv"})
    assert reply.status_code == 400
    assert reply.json()["error"].startswith("the body is no CSV with a header line: ")

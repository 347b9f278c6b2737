"""The OpenAPI document tells the truth about the server."""

import json
from typing import Literal

import jsonschema
import pytest
from openapi_schema_validator import OAS30Validator
from openapi_spec_validator import validate
from pydantic import BaseModel, Field

from tunewright.serving.http.openapi import PROTOCOLS
from tunewright.serving.request.schema import file_item
from tunewright.serving.request.schema import schema_of as schema_of_model
from tunewright.serving.tasks import TASKS


@pytest.fixture(scope="module", params=["reviews", "emotions", "entailment", "similarity"])
def served(request, serve_bundle):
    with serve_bundle(request.getfixturevalue(request.param), inputs=5) as (client, _):
        yield client, client.get("/openapi.json").json()


def schema_of(document, code, kind="responses"):
    part = document["paths"]["/predict"]["post"]
    content = part["requestBody"] if kind == "requestBody" else part["responses"][code]
    return {**content["content"]["application/json"]["schema"], "components": document["components"]}


def accepts(schema, value):
    try:
        OAS30Validator(schema).validate(value)
    except jsonschema.ValidationError:
        return False
    return True


def test_the_document_is_valid_openapi(served):
    _, document = served
    validate(document)
    assert document["openapi"] == "3.0.3"


def rounded(answer):
    """The same answer with numbers as exact as two runs of different width give them."""
    return json.loads(json.dumps(answer), parse_float=lambda number: round(float(number), 5))


@pytest.mark.parametrize("name", ["one", "several"])
def test_the_example_request_gives_the_example_answer(served, name):
    client, document = served
    post = document["paths"]["/predict"]["post"]
    request = post["requestBody"]["content"]["application/json"]["examples"][name]["value"]
    answer = post["responses"]["200"]["content"]["application/json"]["examples"][name]["value"]
    assert rounded(client.post("/predict", json=request).json()) == rounded(answer)


def test_requests_and_answers_fit_the_schemas(served):
    client, document = served
    request = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    for example in request["examples"].values():
        assert accepts(schema_of(document, "", "requestBody"), example["value"])
        assert accepts(schema_of(document, "200"), client.post("/predict", json=example["value"]).json())


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": []},
        {"inputs": 5},
        {"inputs": "a", "more": 1},
        {"inputs": {"text": 1}},
        {"inputs": "a", "parameters": {"top_k": 0}},
        {"inputs": "a", "parameters": False},
        {"inputs": "a", "options": {"raw": True}},
        {"inputs": "a", "parameters": {"function_to_apply": "relu"}},
    ],
)
def test_what_the_schema_refuses_the_server_refuses_in_the_documented_way(served, body):
    client, document = served
    reply = client.post("/predict", json=body)
    assert not accepts(schema_of(document, "", "requestBody"), body)
    assert reply.status_code == 422
    assert accepts(schema_of(document, "422"), reply.json())


@pytest.mark.parametrize("parameters", [None, {}, {"top_k": None}, {"top_k": 1}, {"function_to_apply": None}])
def test_parameters_that_the_schema_accepts_are_accepted(reviews, serve_bundle, parameters):
    with serve_bundle(reviews) as (client, _):
        body = {"inputs": "a", "parameters": parameters}
        assert accepts(schema_of(client.get("/openapi.json").json(), "", "requestBody"), body)
        assert client.post("/predict", json=body).status_code == 200


@pytest.mark.parametrize("options", [None, {}, {"use_cache": False}, {"wait_for_model": True, "use_gpu": None}])
def test_options_that_the_schema_accepts_are_accepted(reviews, serve_bundle, options):
    with serve_bundle(reviews) as (client, _):
        body = {"inputs": "a", "options": options}
        assert accepts(schema_of(client.get("/openapi.json").json(), "", "requestBody"), body)
        assert client.post("/predict", json=body).status_code == 200


@pytest.mark.parametrize("item", ["", {"image": ""}])
def test_a_file_without_content_does_not_fit_the_schema(item):
    assert not accepts(file_item("image"), item)
    assert accepts(file_item("image"), json.loads(json.dumps(item).replace('""', '"aGk="')))


def test_every_address_is_documented_once(served):
    _, document = served
    asked = {operation.path for protocol in PROTOCOLS for operation in protocol.OPERATIONS}
    shown = {page.path for protocol in PROTOCOLS for page in protocol.PAGES if page.summary}
    own = {"/models", "/healthz", "/livez", "/readyz", "/startupz", "/metrics"}
    assert shown | own <= set(document["paths"]) <= asked | shown | own
    operations = [said for methods in document["paths"].values() for said in methods.values()]
    names = [said["operationId"] for said in operations if "operationId" in said]
    assert len(set(names)) == len(names)


def test_what_is_documented_is_there(served):
    client, document = served
    for path, methods in document["paths"].items():
        for method in methods:
            reply = client.request(method.upper(), path.replace("{model}", "reviews"))
            assert reply.status_code not in (404, 405), path


def without_examples(document):
    del document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["examples"]
    return document


def test_a_client_made_for_one_version_can_ask_the_next_one_with_other_labels(make_bundle, recipe, serve_bundle):
    documents = []
    for labels in (("bad", "good"), ("bad", "good", "neither")):
        with serve_bundle(make_bundle(recipe(labels=labels))) as (client, _):
            documents.append(without_examples(client.get("/openapi.json").json()))
    assert documents[0] == documents[1]
    assert documents[0]["info"]["title"] == "Tunewright"


def test_the_parameters_of_every_task_are_described_in_the_dialect_of_openapi():
    kinds = [found for name in TASKS if (found := getattr(TASKS[name], "Parameters", None))]
    assert len(kinds) > 5
    for kind in kinds:
        OAS30Validator.check_schema(schema_of_model(kind))


def test_an_open_bound_and_a_single_value_are_described_as_openapi_3_0_has_it():
    class Kind(BaseModel):
        share: float = Field(gt=0, le=1)
        mode: bool | Literal["never"] = False

    found = schema_of_model(Kind)["properties"]
    assert found["share"] == {"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 1, "title": "Share"}
    assert {"type": "string", "enum": ["never"]} in found["mode"]["anyOf"]

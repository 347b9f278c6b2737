"""POST /explain as a caller sees it."""

import time

import pytest

TEXT = "This product arrived broken after two weeks."


@pytest.fixture(scope="module")
def client(reviews, serve_bundle):
    with serve_bundle(reviews, explain_rows=100) as (client, _):
        yield client


def explain(client, inputs, **parameters):
    return client.post("/explain", json={"inputs": inputs, **({"parameters": parameters} if parameters else {})})


def test_one_input_has_one_explanation(client):
    found = explain(client, TEXT).json()
    assert list(found) == ["target", "score", "base", "scale", "parts", "rows"]
    assert max(found["parts"], key=lambda part: part["weight"])["text"] == "broken"
    assert found["rows"] <= 64
    assert found["score"] == pytest.approx(client.post("/predict", json={"inputs": TEXT}).json()[0]["score"])


def test_a_list_has_a_list_and_shares_the_budget(client):
    found = explain(client, [TEXT, "I love it", "great"], budget=30).json()
    assert [one["target"] for one in found] == ["negative", "positive", "positive"]
    assert sum(one["rows"] for one in found) <= 30


@pytest.mark.parametrize(
    ("inputs", "parameters", "status", "sentence"),
    [
        (
            "great",
            {"budget": 101},
            422,
            "parameter 'budget' is 101; this server runs at most 100 rows for one request "
            "(SERVING_LIMITS__EXPLAIN_ROWS)",
        ),
        ("great", {"budget": 0}, 422, "parameter 'budget' is 0: Input should be greater than or equal to 1"),
        ("great", {"rows": 1}, 422, "unknown parameter 'rows'; an explanation knows: budget, target, method, k"),
        ("great", {"k": 3}, 422, "parameter 'k' is for the method 'neighbours', not for 'masking'"),
        (
            "great",
            {"method": "neighbours", "target": "positive"},
            422,
            "parameter 'target' is for the method 'masking', not for 'neighbours'",
        ),
        (
            "great",
            {"method": "neighbours"},
            422,
            "this version carries no training rows to compare an input with: train one with export.neighbours, or ask "
            "for the method 'masking'",
        ),
        ("great", {"target": "x"}, 422, "parameter 'target' is 'x'; this model's labels are: negative, positive"),
        (
            ["great"] * 30,
            {},
            413,
            "100 rows for 30 inputs are too few: an explanation takes at least 4; send fewer inputs "
            "(SERVING_LIMITS__EXPLAIN_ROWS)",
        ),
        (["great"] * 3, {"budget": 9}, 422, "parameter 'budget' is 9; 3 inputs take at least 12 rows"),
        (["a" * 200_000], {}, 413, "a text has 200000 characters; this server takes at most 100000 "),
    ],
)
def test_a_wrong_request_is_answered_with_its_mistake(client, inputs, parameters, status, sentence):
    reply = explain(client, inputs, **parameters)
    assert (reply.status_code, reply.json()["error"][: len(sentence)]) == (status, sentence)


def test_training_rows_are_told_the_nearest_first(remembered, serve_bundle):
    with serve_bundle(remembered, explain_rows=20) as (client, _):
        answer = client.post("/predict", json={"inputs": TEXT}).json()[0]
        found = explain(client, TEXT, method="neighbours").json()
        assert (found["target"], found["rows"], len(found["neighbours"])) == (answer["label"], 2, 5)
        assert found["score"] == pytest.approx(answer["score"])
        text = "I hate this product, it arrived broken."
        first = explain(client, [text, TEXT], method="neighbours", k=2).json()[0]["neighbours"][0]
        assert (first["row"], first["label"], first["text"]) == (10, "negative", text)
        assert first["similarity"] == pytest.approx(1, abs=1e-3)
        body = {"instances": [text], "parameters": {"method": "neighbours", "k": 1}}
        (kept,) = client.post("/v1/models/reviews:explain", json=body).json()["explanations"]
        assert kept["neighbours"] == [first]
        many = explain(client, [TEXT] * 11, method="neighbours")
        assert many.status_code == 413
        assert many.json()["error"].startswith("20 rows for 11 inputs are too few: nearest training rows take 2 for ")


def test_a_task_without_explanations_says_which_have_them(make_bundle, recipe, edit_model, serve_bundle):
    folder = make_bundle(recipe(labels=("a", "b", "c")))
    edit_model(folder, task="feature-extraction", labels=[], problem="embedding", golden=[], options={"dimensions": 3})
    with serve_bundle(folder) as (client, _):
        reply = explain(client, "great")
    assert reply.status_code == 422
    sentence = "answers of feature-extraction are not explained; those of these tasks are: text-classification, "
    assert reply.json()["error"].startswith(sentence)


def test_an_explanation_ends_at_the_deadline(make_bundle, recipe, serve_bundle):
    with serve_bundle(make_bundle(recipe(endless_on="guitar")), deadline_seconds=1) as (client, _):
        began = time.monotonic()
        reply = explain(client, "A man is playing a guitar.")
        assert reply.status_code == 503
        assert time.monotonic() - began < 20
        assert explain(client, "great").status_code == 200

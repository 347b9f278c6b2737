"""A line for each request."""

import json

import pytest

TEXT = "amazing terrible unmistakable"


@pytest.fixture
def logged(guarded, capfd):
    """logged(ask): the lines that are written of what `ask` does with a client."""

    def run(ask, **settings):
        with guarded(access_log=True, **settings) as client:
            capfd.readouterr()
            ask(client)
        said = capfd.readouterr().err
        assert TEXT not in said
        return [line for line in map(json.loads, said.splitlines()) if line["event"] == "request"]

    return run


def test_a_request_has_a_line_that_says_all_but_its_text(logged):
    body = json.dumps({"inputs": [TEXT, TEXT]})
    [line] = logged(lambda client: client.post("/predict", content=body, headers={"X-Request-Id": "abc"}))
    assert line.items() >= {
        "level": "info", "id": "abc", "client": "127.0.0.1", "method": "POST", "path": "/predict", "status": 200,
        "protocol": "huggingface", "model": "reviews", "version": "3", "variant": "fp32", "rows": 2,
        "bytes_in": len(body),
    }.items()  # fmt: skip
    assert line["bytes_out"] > 50
    assert line["ms"] > 0
    assert line["message"] == f"POST /predict 200 {line['ms']:g} ms"
    assert not {"key", "ended", "trace"} & set(line)


def test_a_refusal_has_its_line_too(logged):
    lines = logged(lambda client: (client.get(f"/nowhere?q={TEXT}"), client.post("/predict", content=b"{")))
    assert [(line["status"], line["path"]) for line in lines] == [(404, "/nowhere"), (400, "/predict")]
    assert "protocol" not in lines[0]


def test_a_path_cannot_write_into_a_terminal(logged):
    [line] = logged(lambda client: client.get("/%1b%5b2J%0aforged"))
    assert line["path"].lower() == "/%1b%5b2j%0aforged"


def test_probes_have_no_line_while_all_is_well(logged):
    assert logged(lambda client: [client.get(path) for path in ("/livez", "/readyz", "/metrics")]) == []


def test_the_name_of_a_key_is_written_and_its_secret_is_not(logged):
    secret = "s3cret-of-the-app-0123"

    def ask(client):
        client.get("/openapi.json", headers={"X-Api-Key": secret})
        client.get("/openapi.json", headers={"X-Api-Key": "wrong-" + secret})

    good, bad = logged(ask, keys=f"app: {secret}")
    assert (good["status"], good["key"]) == (200, "app")
    assert (bad["status"], "key" in bad) == (401, False)
    assert secret not in json.dumps([good, bad])


def test_without_the_setting_there_is_no_line(guarded, capfd):
    with guarded() as client:
        client.post("/predict", json={"inputs": TEXT})
    assert capfd.readouterr().err == ""

"""Who may ask."""

import json

import pytest
from processes import wait_until
from pydantic import SecretStr

from tunewright.serving.doors.keys import KeyRing, parse_keys
from tunewright.serving.errors import SettingsError

SECRET, OTHER = "s3cret-of-the-app-0123", "s3cret-of-ops-456789"
KEYS = f"app: {SECRET}, ops: {OTHER}"


@pytest.fixture(scope="module")
def client(guarded):
    with guarded(keys=KEYS) as client:
        yield client


def ask(client, headers):
    return client.post("/predict", json={"inputs": "great"}, headers=headers)


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": f"Bearer {SECRET}"}, {"Authorization": f"bearer  {OTHER}"}, {"X-Api-Key": SECRET},
     {"Authorization": "Basic dXNlcg==", "X-Api-Key": SECRET}],
)  # fmt: skip
def test_a_caller_with_a_key_is_answered(client, headers):
    assert ask(client, headers).status_code == 200


def test_a_caller_without_a_key_is_told_how_to_send_one(client):
    reply = ask(client, {})
    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="tunewright"'
    assert reply.json() == {
        "error": "this server asks for a key: send it as `Authorization: Bearer KEY` or as `x-api-key: KEY`",
        "error_type": "Unauthorized",
    }


@pytest.mark.parametrize("secret", [SECRET[:-1], SECRET + "4", SECRET.upper(), "é" * 20, "app", KEYS])
def test_a_wrong_key_is_refused(client, secret):
    reply = ask(client, {"Authorization": f"Bearer {secret}".encode()})
    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="tunewright", error="invalid_token"'
    assert reply.json()["error"] == "this key is not one of this server"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/models/reviews/v1/chat/completions/"])
def test_each_protocol_refuses_in_its_own_words(client, path):
    reply = client.post(path, json={})
    assert reply.status_code == 401
    assert reply.json()["error"]["message"].startswith("this server asks for a key: ")


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/", "/nowhere", "/predict/", "/livez/"])
def test_nothing_else_is_open(client, path):
    assert client.get(path).status_code == 401


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz", "/healthz", "/metrics"])
def test_probes_and_scrapes_need_no_key(client, path):
    assert client.get(path).status_code == 200


def test_refusals_are_counted_and_no_secret_is_told(client, capfd):
    ask(client, {"X-Api-Key": "not-" + SECRET})
    page = client.get("/metrics").text
    assert float(page.partition('tunewright_refusals_total{reason="key"} ')[2].splitlines()[0]) >= 1
    said = capfd.readouterr()
    assert SECRET not in page + said.out + said.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("app", "KEYS: entry 1 is not `name: secret`, with a name of letters, digits, . _ and -"),
        (f"app: {SECRET}\n a b: {OTHER}", "KEYS: entry 2 is not `name: secret`, with a name of letters, "),
        ("app: short", "KEYS: the secret of 'app' has 5 characters; it needs at least 16, all of them ASCII"),
        ("app: four words are in it", "KEYS: the secret of 'app' has 20 characters; it needs at least 16, all of them"),
        (f"app: {SECRET}\napp: {OTHER}", "KEYS: the name 'app' is there twice; give each key a name of its own"),
        ("# none\n\n", "KEYS holds no key; write `name: secret`, one a line, or leave the setting out"),
    ],
)
def test_keys_that_cannot_be_used_are_explained_without_them(text, said):
    with pytest.raises(SettingsError) as caught:
        parse_keys(text, "KEYS")
    assert str(caught.value).startswith(said)
    assert SECRET not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"^SERVING_KEYS_FILE is '.*none', which cannot be read: No such file"):
        KeyRing(None, tmp_path / "none")


def test_keys_of_a_file_rotate_and_a_broken_file_changes_nothing(tmp_path, capfd):
    file, new = tmp_path / "keys", f"new-{SECRET}"
    file.write_text(f"# of the team\napp: {SECRET}\n")
    ring = KeyRing(SecretStr(f"ops: {OTHER}"), file)
    assert (ring.owner(SECRET.encode()), ring.owner(OTHER.encode())) == ("app", "ops")
    file.write_text(f"app: {new}\n")
    wait_until(lambda: ring.owner(new.encode()) == "app")
    assert (ring.owner(SECRET.encode()), ring.owner(OTHER.encode())) == (None, "ops")
    file.write_text("broken")
    said = []
    wait_until(lambda: (ring.owner(new.encode()) and said.append(capfd.readouterr().err)) or "hold on" in "".join(said))
    assert ring.owner(new.encode()) == "app"
    events = [json.loads(line) for line in "".join(said).splitlines()]
    assert [event["event"] for event in events] == ["keys_read", "keys_kept"]
    assert events[0]["message"] == "the keys have changed: app, ops"

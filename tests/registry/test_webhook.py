"""Webhooks: who listens is told what has happened, signed, and nothing depends on it."""

import base64
import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from processes import free_port

from tunewright.registry.errors import SettingsError
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.webhook import check_webhook

SECRET = "a secret of ours"


class Listener(BaseHTTPRequestHandler):
    """Keeps what it is told, and answers what it should."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append((dict(self.headers), body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def listener(monkeypatch, tmp_path):
    """A server that listens, and a registry whose commands tell it."""
    server = HTTPServer(("127.0.0.1", 0), Listener)
    server.told, server.answers = [], []
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    monkeypatch.setenv("REGISTRY_WEBHOOK_URL", f"http://127.0.0.1:{server.server_port}/hook?token=x")
    monkeypatch.setenv("REGISTRY_WEBHOOK_SECRET", SECRET)
    monkeypatch.setattr("tunewright.registry.webhook._PAUSES", (0, 0))
    yield server
    server.shutdown()
    server.server_close()


def test_what_has_happened_is_told_and_signed(listener, run, bundle, tmp_path, publish_version):
    folder = str(bundle["model.json"].parent)
    assert run("publish", folder, "--name", "reviews")[::2] == (0, "")
    assert run("publish", folder, "--name", "reviews")[::2] == (0, "")
    assert run("publish", folder, "--name", "reviews", "--run-id", "two")[::2] == (0, "")
    for words in (["promote", "reviews:1", "prod"], ["promote", "reviews:1", "prod"], ["promote", "reviews:2", "prod"]):
        assert run(*words, "--why", "better")[::2] == (0, "")
    assert run("rollback", "reviews@prod")[::2] == (0, "")
    assert run("unalias", "reviews@prod")[::2] == (0, "")
    told = [json.loads(body) for _, body in listener.told]
    assert [(one["type"], one["data"].get("version"), one["data"].get("kind")) for one in told] == [
        ("registered_model.created", None, None),
        ("model_version.created", "1", None),
        ("model_version.created", "2", None),
        ("model_version_alias.created", "1", "move"),
        ("model_version_alias.created", "2", "move"),
        ("model_version_alias.created", "1", "rollback"),
        ("model_version_alias.deleted", None, "remove"),
    ]
    assert told[2]["data"]["source"] == "models:/reviews/2"
    assert (told[4]["data"]["alias"], told[4]["data"]["reason"], told[4]["data"]["previous"]) == ("prod", "better", 1)
    assert len({headers["webhook-id"] for headers, _ in listener.told}) == 7
    for headers, body in listener.told:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        mac = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{mac}"


@pytest.mark.parametrize(
    ("answers", "tries", "fault"),
    [
        ([503, 429], 3, ""),
        ([500] * 3, 3, "it answers 500, 3 times"),
        ([404], 1, "it answers 404"),
        ([302], 1, "it answers 302"),
    ],
)
def test_what_cannot_be_told_is_a_warning(listener, run, publish_version, answers, tries, fault):
    publish_version(open_store(RegistrySettings().uri), "run-1")
    listener.answers += answers
    code, out, err = run("promote", "reviews:1", "prod")
    assert (code, out, len(listener.told)) == (0, "reviews@prod -> 1 (before: nothing)\n", tries)
    place = f"http://127.0.0.1:{listener.server_port}/hook?***"
    assert err == (f"warning: model_version_alias.created was not told to {place}: {fault}\n" if fault else "")


def test_nobody_who_listens_is_a_warning(listener, run, publish_version, monkeypatch):
    publish_version(open_store(RegistrySettings().uri), "run-1")
    place = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("REGISTRY_WEBHOOK_URL", place)
    code, _, err = run("promote", "reviews:1", "prod")
    assert (code, err.startswith(f"warning: model_version_alias.created was not told to {place}: ")) == (0, True)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"URL": "https://host"}, "REGISTRY_WEBHOOK_URL and REGISTRY_WEBHOOK_SECRET have an effect together alone"),
        ({"SECRET": SECRET}, "REGISTRY_WEBHOOK_URL and REGISTRY_WEBHOOK_SECRET have an effect together alone"),
        (
            {"URL": "https://host", "SECRET": ""},
            "REGISTRY_WEBHOOK_URL and REGISTRY_WEBHOOK_SECRET have an effect together",
        ),
        ({"URL": "ftp://host", "SECRET": SECRET}, "expected http:// or https://"),
        ({"URL": "https://host", "SECRET": "s3cret"}, "expected 8 characters or more, or whsec_ and base64"),
        ({"URL": "https://host", "SECRET": "whsec_?"}, "expected 8 characters or more, or whsec_ and base64"),
    ],
)
def test_a_webhook_that_cannot_be_is_refused_and_its_values_not_shown(monkeypatch, settings, sentence):
    for name, value in settings.items():
        monkeypatch.setenv(f"REGISTRY_WEBHOOK_{name}", value)
    with pytest.raises(SettingsError) as error:
        check_webhook(RegistrySettings())
    assert sentence in str(error.value)
    assert not [value for value in settings.values() if value and value in str(error.value)]


def test_who_only_reads_needs_no_secret_and_who_would_tell_writes_nothing(
    monkeypatch, run, bundle, tmp_path, publish_version
):
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    store = open_store(str(tmp_path / "registry"))
    publish_version(store, "run-1")
    assert run("promote", "reviews:1", "prod")[0] == 0
    monkeypatch.setenv("REGISTRY_WEBHOOK_URL", "https://host")
    before = [stat.key for stat in store.list("")]
    for words in (["list"], ["show", "reviews"], ["history", "reviews@prod"], ["verify"]):
        assert run(*words)[0] == 0
    folder = str(bundle["model.json"].parent)
    for words in (
        ["publish", folder, "--name", "reviews"],
        ["promote", "reviews:1", "next"],
        ["rollback", "reviews@prod"],
        ["unalias", "reviews@prod"],
    ):
        code, out, err = run(*words)
        assert (code, out, "REGISTRY_WEBHOOK_SECRET have an effect together alone; set both" in err) == (2, "", True)
    assert [stat.key for stat in store.list("")] == before
    assert run("promote", "reviews:1", "next", "--dry-run")[0] == 0

"""Logins: what Docker, podman and credential helpers have kept, sent to whom it belongs."""

import base64
import json

import pytest

from tunewright.registry.errors import AccessDenied
from tunewright.registry.oci.address import parse_oci
from tunewright.registry.oci.credentials import credentials_for

PLACE = "oci://registry.example.com/team/models:1"


def kept(tmp_path, document):
    (tmp_path / "docker").mkdir(exist_ok=True)
    (tmp_path / "docker/config.json").write_text(json.dumps(document))


def entry(user, password="pass:word"):
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_a_login_is_asked_for_and_used(run, reviews, locked_host, log_in, tmp_path):
    address = f"oci://{locked_host}/models/locked:1"
    code, _, err = run("push", "reviews:1", address)
    assert code == 2
    assert err == (
        f"error: {locked_host} refuses pull,push of models/locked (401); log in with `docker login {locked_host}` or "
        f"`podman login {locked_host}`, as somebody who may\n"
    )
    log_in(locked_host, password="wrong")
    assert run("push", "reviews:1", address)[0] == 2
    log_in(locked_host)
    assert run("push", "reviews:1", address)[0] == 0
    assert run("pull", address, "--to", str(tmp_path / "out"))[0] == 0


def test_a_token_is_asked_for_what_is_to_be_done(run, reviews, token_gate, log_in, tmp_path):
    host = token_gate.url.removeprefix("http://")
    address = f"oci://{host}/models/gated:1"
    assert run("pull", address, "--to", str(tmp_path / "none"))[0] == 2
    log_in(host)
    assert run("push", "reviews:1", address)[0] == 0
    assert run("pull", address, "--to", str(tmp_path / "out"))[0] == 0
    # The login itself goes to the server of tokens alone.
    assert {path for path, sent in token_gate.logins if (sent or "").startswith("Basic")} == {"/token"}


def test_the_most_particular_login_counts(tmp_path):
    kept(tmp_path, {"auths": {"registry.example.com": entry("all"), "registry.example.com/team": entry("team")}})
    found = credentials_for(parse_oci(PLACE))
    assert (found.user, found.password) == ("team", "pass:word")
    assert credentials_for(parse_oci("oci://registry.example.com/other:1")).user == "all"
    assert credentials_for(parse_oci("oci://elsewhere.example.com/team/models:1")) is None
    assert "pass" not in repr(found)


def test_podmans_file_comes_first(tmp_path, monkeypatch):
    kept(tmp_path, {"auths": {"registry.example.com": entry("docker")}})
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {"registry.example.com": entry("podman")}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    assert credentials_for(parse_oci(PLACE)).user == "podman"


@pytest.mark.parametrize("named", [{"credsStore": "test"}, {"credHelpers": {"registry.example.com": "test"}}])
def test_a_helper_is_asked(tmp_path, monkeypatch, named):
    helper = tmp_path / "docker-credential-test"
    helper.write_text('#!/bin/sh\nread host\necho "{\\"Username\\": \\"$1 $host\\", \\"Secret\\": \\"s\\"}"\n')
    helper.chmod(0o755)
    kept(tmp_path, named)
    with pytest.raises(AccessDenied, match="is kept by docker-credential-test, which is not on the PATH"):
        credentials_for(parse_oci(PLACE))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert credentials_for(parse_oci(PLACE)).user == "get registry.example.com"
    helper.write_text("#!/bin/sh\nexit 1\n")
    assert credentials_for(parse_oci(PLACE)) is None


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"auths": {"registry.example.com": {"auth": "?"}}}, "holds no user and password for registry.example.com"),
        (
            {"auths": {"registry.example.com": {"auth": "", "identitytoken": "t"}}},
            "holds an identity token for registry.example.com, which is not used here; log in with a user",
        ),
    ],
)
def test_a_login_that_cannot_be_used_is_one_sentence(tmp_path, document, sentence):
    kept(tmp_path, document)
    with pytest.raises(AccessDenied, match=sentence):
        credentials_for(parse_oci(PLACE))


def test_a_file_that_is_no_json_is_one_sentence(tmp_path):
    kept(tmp_path, {})
    (tmp_path / "docker/config.json").write_text("{")
    with pytest.raises(AccessDenied, match=r"config\.json, where logins are kept, cannot be read: JSONDecodeError"):
        credentials_for(parse_oci(PLACE))

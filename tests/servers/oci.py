"""A real OCI registry (Docker's `docker-registry`, of the Debian package of that name), and keys to sign with."""

import base64
import hashlib
import json
import shutil
from contextlib import contextmanager

import pytest
from processes import free_port, listening

from tunewright.registry.trust.keys import Signer


@contextmanager
def docker_registry(folder, htpasswd=None):
    """The host and port of a running registry; `htpasswd`: who may log in, where not everybody may come."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not here (apt-get install docker-registry)")
    port = free_port()
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "http": {"addr": f"127.0.0.1:{port}"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
    }
    if htpasswd:
        (folder / "htpasswd").write_text(htpasswd)
        config["auth"] = {"htpasswd": {"realm": "models", "path": str(folder / "htpasswd")}}
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    command = [program, "serve", str(folder / "config.yml")]
    with listening(command, port):
        yield f"127.0.0.1:{port}"


def write_key(folder, name):
    """A private key; `<name>.pem` in the folder holds it, `<name>.pub.pem` the public one."""
    signer = Signer(hashlib.sha256(name.encode()).digest())
    der = bytes.fromhex("302e020100300506032b657004220420") + signer.seed
    for suffix, kind, line in (
        ("pem", "PRIVATE", base64.b64encode(der).decode()),
        ("pub.pem", "PUBLIC", signer.public.line),
    ):
        text = f"-----BEGIN {kind} KEY-----\n{line}\n-----END {kind} KEY-----\n"
        (folder / f"{name}.{suffix}").write_text(text)
    return signer


def policy_of(place, key):
    """A policy of containers/image, which podman and CRI-O have too: pull what this key has signed, from here alone."""
    wanted = {"type": "sigstoreSigned", "keyPath": str(key), "signedIdentity": {"type": "matchRepository"}}
    return {"default": [{"type": "reject"}], "transports": {"docker": {place: [wanted]}}}

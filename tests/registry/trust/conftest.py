"""Keys, and a registry whose readers trust some of them."""

import base64
import hashlib

import pytest

from tunewright.registry.trust.keys import Signer


def pem(kind, der):
    return f"-----BEGIN {kind}-----\n{base64.b64encode(der).decode()}\n-----END {kind}-----\n"


@pytest.fixture
def key(tmp_path):
    """key("ci"): a private key; keys/ci.pem holds it, keys/ci.pub.pem the public one."""

    def make(name):
        signer = Signer(hashlib.sha256(name.encode()).digest())
        folder = tmp_path / "keys"
        folder.mkdir(exist_ok=True)
        private = bytes.fromhex("302e020100300506032b657004220420") + signer.seed
        (folder / f"{name}.pem").write_text(pem("PRIVATE KEY", private))
        (folder / f"{name}.pub.pem").write_text(
            f"-----BEGIN PUBLIC KEY-----\n{signer.public.line}\n-----END PUBLIC KEY-----\n"
        )
        return signer

    return make


@pytest.fixture
def use(tmp_path, monkeypatch, key):
    """use(signing="ci", trusted=["ci", "release"]): the settings of the programs from here on."""

    def set_to(name, value):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(value))

    def make(*, signing=None, trusted=None):
        for name in {*([signing] if signing else []), *(trusted or [])}:
            key(name)
        set_to("REGISTRY_SIGNING_KEY", signing and tmp_path / f"keys/{signing}.pem")
        file = tmp_path / "keys/trusted.pem"
        if trusted:
            file.write_text("".join((tmp_path / f"keys/{name}.pub.pem").read_text() for name in trusted))
        set_to("REGISTRY_TRUSTED_KEYS", file if trusted else None)

    return make

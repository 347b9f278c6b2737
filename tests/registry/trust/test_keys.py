"""Keys as OpenSSL writes them, and each file that is none."""

import sys

import pytest

from tunewright.registry.errors import SettingsError
from tunewright.registry.trust.keys import PublicKey, Signer, parse_line, read_public_keys, read_signer

PRIVATE = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIFXWcAwx6ROMZzrTS6LOxHoXIWgtnMjtUZbfAIkA5jut
-----END PRIVATE KEY-----
"""
PUBLIC = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEABic84oOolt7vwPofMkORlugZ+nbcwzlaI/M5jL00hps=
-----END PUBLIC KEY-----
"""
CURVE = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEITLDhp8LzbuytncNn1yASZnRw6ig
c5ro+3r65z/WFpsbv4iqpj/hkWDrYUzpDBkwr+oU7gHXSP1bO/tdZhiAmQ==
-----END PUBLIC KEY-----
"""
LOCKED = PRIVATE.replace("PRIVATE", "ENCRYPTED PRIVATE")


def test_the_files_of_openssl_are_read_and_belong_together(write):
    signer = read_signer(write("signing.pem", PRIVATE.encode()), "--key")
    (key,) = read_public_keys(write("signing.pub.pem", PUBLIC.encode()), "--key")
    assert signer.public == key
    # openssl pkey -pubin -in signing.pub.pem -outform DER | sha256sum
    assert key.id == "102789fc3fd7ee190e00e2888e8a43dfeb91fb9f11a85b6f65bbfd2c2bd186c7"
    assert str(key) == key.id[:16]
    assert parse_line(PUBLIC.splitlines()[1]) == key
    assert key.line == PUBLIC.splitlines()[1]
    assert "seed" not in repr(signer)


def test_where_the_library_is_missing_a_key_is_refused_with_what_brings_it(write, monkeypatch):
    signer = read_signer(write("signing.pem", PRIVATE.encode()), "--key")
    write("signing.pub.pem", PUBLIC.encode())
    public = signer.public
    for name in ("nacl", "nacl.signing"):
        monkeypatch.setitem(sys.modules, name, None)
    for step in (
        lambda: read_signer(write("signing.pem", PRIVATE.encode()), "--key"),
        lambda: read_public_keys(write("signing.pub.pem", PUBLIC.encode()), "--key"),
        lambda: signer.sign(b""),
        lambda: public.has_signed(b"", b""),
    ):
        with pytest.raises(SettingsError) as raised:
            step()
        assert str(raised.value) == (
            "signing, and looking at signatures, needs pynacl, which is not to be had here (import of nacl.signing "
            "halted; None in sys.modules); `pip install pynacl` brings it"
        )


def test_a_signature_is_that_of_rfc_8032():
    # Its first test vector.
    signer = Signer(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert signer.public.raw.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert signer.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe"
        "24655141438e7a100b"
    )


def test_a_signature_holds_for_its_message_and_its_key_alone():
    signer = Signer(bytes(32))
    signature = signer.sign(b"this")
    assert signer.public.has_signed(b"this", signature)
    assert not signer.public.has_signed(b"that", signature)
    assert not PublicKey(Signer(bytes(range(32))).public.raw).has_signed(b"this", signature)
    assert not signer.public.has_signed(b"this", signature[:-1])
    assert not signer.public.has_signed(b"this", b"")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PUBLIC, "holds a public key, with which nothing can be signed; expected a private one: `openssl genpkey"),
        (LOCKED, "holds a key under a password, which nobody can be asked for here; `openssl pkey -in` takes it off"),
        (CURVE.replace("PUBLIC", "PRIVATE"), "holds no ed25519 private key in PEM; `openssl genpkey -algorithm"),
        ("hello", "holds no ed25519 private key in PEM; `openssl genpkey -algorithm ed25519 -out signing.pem` makes"),
        (PRIVATE.replace("MC4C", "MC4"), "is damaged: what stands in it is no base64"),
        ("x" * 70_000, "has over 64 KiB: it is no file of keys"),
    ],
)
def test_a_file_with_no_private_key_is_refused_in_a_sentence(write, text, said):
    path = write("key.pem", text.encode())
    with pytest.raises(SettingsError) as error:
        read_signer(path, "REGISTRY_SIGNING_KEY")
    assert str(error.value).startswith(f"REGISTRY_SIGNING_KEY: {path} {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PRIVATE, "holds a private key; expected public keys alone: `openssl pkey -in signing.pem -pubout"),
        (CURVE, "holds a key of another kind than ed25519; `openssl pkey"),
        (PUBLIC + CURVE, "holds a key of another kind than ed25519; `openssl pkey"),
        ("", "holds no public key in PEM; `openssl pkey"),
    ],
)
def test_a_file_with_no_public_key_is_refused_in_a_sentence(write, text, said):
    path = write("key.pem", text.encode())
    with pytest.raises(SettingsError) as error:
        read_public_keys(path, "REGISTRY_TRUSTED_KEYS")
    assert str(error.value).startswith(f"REGISTRY_TRUSTED_KEYS: {path} {said}")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SettingsError) as error:
        read_signer(tmp_path / "no.pem", "--key")
    assert str(error.value) == (
        f"--key: {tmp_path}/no.pem cannot be read (No such file or directory); expected a PEM file"
    )

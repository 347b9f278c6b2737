"""Keys: ed25519 (RFC 8032), in the PEM files that OpenSSL writes (RFC 8410).

openssl genpkey -algorithm ed25519 -out signing.pem
openssl pkey -in signing.pem -pubout -out signing.pub.pem
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from tunewright.registry.errors import SettingsError

_SIZE = 32
_PUBLIC = bytes.fromhex("302a300506032b6570032100")
"""What stands before the 32 bytes of a public key: SubjectPublicKeyInfo of the one algorithm."""
_PRIVATE = bytes.fromhex("300506032b657004220420")
"""What stands before the 32 bytes of a private key in PKCS #8, from the algorithm on."""
_BEFORE = 5
"""Bytes of PKCS #8 before that: a sequence, its length, and a version."""
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s(.*?)-----END \1-----", re.DOTALL)
_LARGEST = 64 * 1024
_MAKE = "`openssl genpkey -algorithm ed25519 -out signing.pem` makes one"
_GET = "`openssl pkey -in signing.pem -pubout -out signing.pub.pem` writes one"


@dataclass(frozen=True)
class PublicKey:
    """What tells whether a signature was made with the private key that belongs to it."""

    raw: bytes

    @property
    def id(self) -> str:
        """Its name: `openssl pkey -pubin -in key.pem -outform DER | sha256sum`."""
        return hashlib.sha256(_PUBLIC + self.raw).hexdigest()

    @property
    def line(self) -> str:
        """The line between the first and the last of its PEM file."""
        return base64.b64encode(_PUBLIC + self.raw).decode()

    def __str__(self) -> str:
        return self.id[:16]

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature was made of exactly this message."""
        # Imported here: it takes 50 ms, which programs without keys need not wait for.
        require_library()
        from nacl.exceptions import CryptoError
        from nacl.signing import VerifyKey

        try:
            VerifyKey(self.raw).verify(message, signature)
        except (CryptoError, ValueError):  # the latter for one of another length
            return False
        return True


@dataclass(frozen=True)
class Signer:
    """A private key."""

    seed: bytes = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """What belongs to it."""
        require_library()
        from nacl.signing import SigningKey

        return PublicKey(bytes(SigningKey(self.seed).verify_key))

    def sign(self, message: bytes) -> bytes:
        """The signature of a message: always the same 64 bytes."""
        require_library()
        from nacl.signing import SigningKey

        return bytes(SigningKey(self.seed).sign(message).signature)


def require_library() -> None:
    """SettingsError where nothing can be signed or checked here."""
    try:
        import nacl.signing  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            f"signing, and looking at signatures, needs pynacl, which is not to be had here ({error}); "
            "`pip install pynacl` brings it"
        ) from None


def read_signer(path: Path, setting: str) -> Signer:
    """The private key in a PEM file, for use here. `setting`: what named it. Raises SettingsError."""
    require_library()
    blocks = _blocks(path, setting)
    for kind, der in blocks:
        if kind == "PRIVATE KEY" and der[_BEFORE:].startswith(_PRIVATE):
            seed = der[_BEFORE + len(_PRIVATE) :][:_SIZE]
            if len(seed) == _SIZE:
                return Signer(seed)
    what = blocks[0][0] if blocks else ""
    if what == "ENCRYPTED PRIVATE KEY":
        fault = "holds a key under a password, which nobody can be asked for here; `openssl pkey -in` takes it off"
    elif what == "PUBLIC KEY":
        fault = f"holds a public key, with which nothing can be signed; expected a private one: {_MAKE}"
    else:
        fault = f"holds no ed25519 private key in PEM; {_MAKE}"
    raise SettingsError(f"{setting}: {path} {fault}")


def read_public_keys(path: Path, setting: str) -> list[PublicKey]:
    """The public keys in a PEM file, at least one, and what they are asked with. Raises SettingsError."""
    require_library()
    keys = []
    for kind, der in _blocks(path, setting):
        if kind != "PUBLIC KEY":
            raise SettingsError(f"{setting}: {path} holds a {kind.lower()}; expected public keys alone: {_GET}")
        keys.append(_of_der(der))
    if not keys or None in keys:
        what = "a key of another kind than ed25519" if keys else "no public key in PEM"
        raise SettingsError(f"{setting}: {path} holds {what}; {_GET}")
    return [key for key in keys if key]


def parse_line(line: str) -> PublicKey | None:
    """The public key in the middle line of its PEM file; None where there is none."""
    try:
        return _of_der(base64.b64decode(line, validate=True))
    except ValueError:
        return None


def _of_der(der: bytes) -> PublicKey | None:
    raw = der.removeprefix(_PUBLIC)
    return PublicKey(raw) if len(raw) == _SIZE and len(der) == len(_PUBLIC) + _SIZE else None


def _blocks(path: Path, setting: str) -> list[tuple[str, bytes]]:
    """Each block of a PEM file: what it says it is, and its bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise SettingsError(f"{setting}: {path} cannot be read ({error.strerror}); expected a PEM file") from None
    if len(data) > _LARGEST:
        raise SettingsError(f"{setting}: {path} has over {_LARGEST >> 10} KiB: it is no file of keys")
    found = [(kind.decode(), b"".join(body.split())) for kind, body in _BLOCK.findall(data)]
    try:
        return [(kind, base64.b64decode(body, validate=True)) for kind, body in found]
    except binascii.Error:
        raise SettingsError(f"{setting}: {path} is damaged: what stands in it is no base64") from None

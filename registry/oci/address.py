"""`oci://host[:port]/repository[:tag][@digest]`: a place in an OCI registry.

Repository and tag: OCI distribution-spec 1.1, "Pulling manifests". Host names and ports: as Docker reads them.
"""

import re
from dataclasses import dataclass

from tunewright.registry.address import shown_address
from tunewright.registry.errors import AddressError

SCHEME = "oci://"
_PORT = r":[0-9]{1,5}"
_HOST = re.compile(rf"(localhost|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+|\[[0-9a-fA-F:]+\])({_PORT})?|[A-Za-z0-9-]+{_PORT}")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LOOPBACK = re.compile(r"(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*")
_SHAPE = "oci://host/repository:tag, as in oci://registry.example.com/models/reviews:8"


@dataclass(frozen=True)
class OciAddress:
    """A repository, and a tag or a digest in it where one is named."""

    host: str  # with its port
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def base(self) -> str:
        """The start of its URLs; without TLS on this machine alone, as Docker has it."""
        return f"{'http' if is_loopback(self.host) else 'https'}://{self.host}"

    def __str__(self) -> str:
        """As it is written."""
        tag, digest = f":{self.tag}" if self.tag else "", f"@{self.digest}" if self.digest else ""
        return f"{SCHEME}{self.host}/{self.repository}{tag}{digest}"


def is_oci(text: str) -> bool:
    """Whether this names a place in an OCI registry."""
    return text.startswith(SCHEME)


def is_loopback(host: str) -> bool:
    """Whether a host, with or without a port, is this machine."""
    return bool(_LOOPBACK.fullmatch(host))


def parse_oci(text: str) -> OciAddress:
    """The place that is named. Raises AddressError."""
    if not is_oci(text):
        raise AddressError(f"{shown_address(text)!r} does not begin with {SCHEME}; expected {_SHAPE}")
    host, slash, rest = text.removeprefix(SCHEME).partition("/")
    if "@" in host:
        raise AddressError(f"credentials do not belong into an oci:// address; expected {_SHAPE}, after `docker login`")
    port = re.search(r":([0-9]+)$", host)
    if not slash or not _HOST.fullmatch(host) or (port and not 0 < int(port[1]) < 65536):
        raise AddressError(f"{shown_address(text)!r} names no registry; expected {_SHAPE}")
    rest, _, digest = rest.partition("@")
    repository, colon, tag = rest.partition(":")
    if not _REPOSITORY.fullmatch(repository) or len(repository) > 255:
        raise AddressError(
            f"{repository!r} is not the name of a repository (small letters, digits, '.', '_', '-', '/'); "
            f"expected {_SHAPE}"
        )
    if colon and not _TAG.fullmatch(tag):
        raise AddressError(f"{tag!r} is not a tag (letters, digits, '.', '_', '-'; 128 at most); expected {_SHAPE}")
    if "@" in text and not _DIGEST.fullmatch(digest):
        raise AddressError(f"{digest!r} is not a digest; expected sha256: and 64 hexadecimal digits")
    return OciAddress(host, repository, tag or None, digest or None)


def check_image(text: str) -> str:
    """An image as a cluster pulls it. Raises AddressError for what no image could be called."""
    if not _IMAGE.fullmatch(text):
        raise AddressError(
            f"--image is {text!r}; expected the name of an image without blanks, as in "
            "registry.example.com/tunewright:1"
        )
    return text

"""Who we are to an OCI registry: what `docker login`, `podman login` or a credential helper has kept.

The files and their order: containers-auth.json(5) and Docker's config.json.
"""

import base64
import binascii
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tunewright.registry.errors import AccessDenied
from tunewright.registry.oci.address import OciAddress


@dataclass(frozen=True)
class Credentials:
    """A user and a password; neither is ever shown."""

    user: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def credentials_for(address: OciAddress) -> Credentials | None:
    """What is kept for the registry, or for the repository, of an address; None where nothing is.

    Raises AccessDenied for a file or a helper that cannot be read.
    """
    for path in _files():
        kept = _read(path)
        if helper := _helper(kept, address.host):
            return _ask(helper, address.host)
        auths = kept.get("auths")
        for name in _names(address):
            entry = auths.get(name) if isinstance(auths, dict) else None
            if isinstance(entry, dict) and entry:
                return _decoded(entry, path, name)
    return None


def _files() -> Iterator[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    places = [
        os.environ.get("REGISTRY_AUTH_FILE"),
        f"{runtime}/containers/auth.json" if runtime else None,
        str(Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser() / "config.json"),
    ]
    yield from (Path(place) for place in places if place and Path(place).is_file())


def _names(address: OciAddress) -> Iterator[str]:
    """Under which it may be kept: the most particular first."""
    parts = [address.host, *address.repository.split("/")]
    yield from ("/".join(parts[:many]) for many in range(len(parts), 0, -1))
    yield from (f"https://{address.host}", f"https://{address.host}/v1/", f"https://{address.host}/v2/")


def _read(path: Path) -> dict[str, object]:
    try:
        kept = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise AccessDenied(f"{path}, where logins are kept, cannot be read: {type(error).__name__}") from None
    return kept if isinstance(kept, dict) else {}


def _helper(kept: dict[str, object], host: str) -> str | None:
    """The name of the program that keeps the login of a registry."""
    particular = kept.get("credHelpers")
    named = particular.get(host) if isinstance(particular, dict) else None
    name = named or kept.get("credsStore")
    return f"docker-credential-{name}" if isinstance(name, str) and name else None


def _ask(helper: str, host: str) -> Credentials | None:
    program = shutil.which(helper)
    if program is None:
        raise AccessDenied(f"the login of {host} is kept by {helper}, which is not on the PATH")
    done = subprocess.run([program, "get"], input=host.encode(), capture_output=True, timeout=60)  # noqa: S603
    if done.returncode:
        return None  # a helper fails for a registry it keeps nothing of
    try:
        said = json.loads(done.stdout)
        return _usable(str(said["Username"]), str(said["Secret"]), helper, host)
    except (ValueError, KeyError, TypeError):
        raise AccessDenied(f"{helper} does not tell the login of {host} in the form of a credential helper") from None


def _decoded(entry: dict[str, object], path: Path, name: str) -> Credentials:
    try:
        user, colon, password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
    except (KeyError, ValueError, binascii.Error):
        user, colon, password = "", "", ""
    if entry.get("identitytoken"):
        user = "<token>"
    elif not colon or not user:
        raise AccessDenied(f"{path} holds no user and password for {name}; log in again")
    return _usable(user, password.rstrip("\0"), str(path), name)


def _usable(user: str, password: str, keeper: str, name: str) -> Credentials:
    if user == "<token>":
        raise AccessDenied(
            f"{keeper} holds an identity token for {name}, which is not used here; log in with a user and a password, "
            "or with an access token in place of the password"
        )
    return Credentials(user, password)

"""Who may ask: callers with a key. Secrets are held as their digests, and are never written anywhere."""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import SecretStr
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tunewright.serving.doors.exempt import PROBES, STILL
from tunewright.serving.doors.file_changes import FileChanges
from tunewright.serving.errors import SettingsError, shown
from tunewright.serving.events import emit
from tunewright.serving.protocols.protocol import Explain, Fault
from tunewright.serving.request.json_text import to_json
from tunewright.serving.watch.meters import Meters
from tunewright.serving.watch.seen import now_seen

_SHORTEST = 16
"""Characters of a secret: what is shorter can be guessed over the network."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SENTENCE = "this server asks for a key: send it as `Authorization: Bearer KEY` or as `x-api-key: KEY`"
_WRONG = "this key is not one of this server"

Digests = Mapping[str, bytes]
"""The SHA-256 of each secret, by the name of who has it."""


def parse_keys(text: str, source: str) -> Digests:
    """Names and secrets: `name: secret`, one a line (or divided by commas); SettingsError, which repeats no secret."""
    found: dict[str, bytes] = {}
    entries = [line.strip() for line in re.split("[\n,]", text)]
    for number, entry in enumerate((one for one in entries if one and not one.startswith("#")), start=1):
        name, colon, secret = (part.strip() for part in entry.partition(":"))
        if not colon or not _NAME.fullmatch(name):
            raise SettingsError(
                f"{source}: entry {number} is not `name: secret`, with a name of letters, digits, . _ and -"
            )
        if name in found:
            raise SettingsError(f"{source}: the name {shown(name)} is there twice; give each key a name of its own")
        if len(secret) < _SHORTEST or not re.fullmatch("[!-~]+", secret):
            raise SettingsError(
                f"{source}: the secret of {shown(name)} has {len(secret)} characters; it needs at least {_SHORTEST}, "
                "all of them ASCII without spaces (openssl rand -hex 32 makes one)"
            )
        found[name] = hashlib.sha256(secret.encode()).digest()
    if not found:
        raise SettingsError(f"{source} holds no key; write `name: secret`, one a line, or leave the setting out")
    return found


class KeyRing:
    """The keys that are good now. A file is read again when it has changed."""

    def __init__(self, keys: SecretStr | None, file: Path | None) -> None:
        """SettingsError for what cannot be read."""
        self._given = parse_keys(keys.get_secret_value(), "SERVING_KEYS") if keys else {}
        self._file = file
        self._changes = FileChanges([file] if file else [])
        self._digests = self._read()

    def owner(self, secret: bytes) -> str | None:
        """Whose secret it is; it takes as long for a wrong one, whatever of it is right."""
        if self._changes.are_there():
            self._read_again()
        given, owner = hashlib.sha256(secret).digest(), None
        for name, digest in self._digests.items():
            if hmac.compare_digest(digest, given):
                owner = name
        return owner

    def _read_again(self) -> None:
        try:
            self._digests = self._read()
        except SettingsError as error:
            emit("keys_kept", f"the keys of before hold on: {error}", level="error")
        else:
            emit("keys_read", f"the keys have changed: {', '.join(sorted(self._digests))}")

    def _read(self) -> Digests:
        if self._file is None:
            return self._given
        try:
            text = self._file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not ASCII"
            raise SettingsError(f"SERVING_KEYS_FILE is {str(self._file)!r}, which cannot be read: {why}") from None
        return {**self._given, **parse_keys(text, f"SERVING_KEYS_FILE ({self._file})")}


class Keys:
    """Lets those in who have a key, and everybody to the probes. It replies in the words of the protocol asked."""

    def __init__(self, app: ASGIApp, ring: KeyRing, meters: Meters, explain: Callable[[str], Explain]) -> None:
        self._app, self._ring, self._meters, self._explain = app, ring, meters, explain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what has a key, or needs none."""
        if scope["path"] in PROBES or _is_still(scope):
            await self._app(scope, receive, send)
            return
        secret = _presented(scope)
        owner = self._ring.owner(secret) if secret else None
        if owner is None:
            self._meters.refused("key")
            await self._refusal(scope["path"], is_wrong=bool(secret))(scope, receive, send)
            return
        now_seen().key = owner
        await self._app(scope, receive, send)

    def _refusal(self, path: str, *, is_wrong: bool) -> Response:
        # The words of RFC 6750: without a key it says no error.
        challenge = 'Bearer realm="tunewright"' + (', error="invalid_token"' if is_wrong else "")
        fault = Fault(401, "Unauthorized", _WRONG if is_wrong else _SENTENCE, {"WWW-Authenticate": challenge})
        content = to_json(self._explain(path)(fault))
        return Response(content, fault.status, dict(fault.headers), "application/json")


def _is_still(scope: Scope) -> bool:
    """Whether a browser asks for the page, which it cannot do with a key."""
    if scope["path"] not in STILL or scope["method"] not in ("GET", "HEAD"):
        return False
    return scope["path"] != "/" or any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _presented(scope: Scope) -> bytes:
    """The secret that a caller has sent; nothing where there is none."""
    found = b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, secret = value.partition(b" ")
            if scheme.lower() == b"bearer":
                return bytes(secret.strip())
        elif name == b"x-api-key":
            found = value.strip()
    return found

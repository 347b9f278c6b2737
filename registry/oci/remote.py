"""A repository of an OCI registry, over the HTTP protocol of the OCI distribution-spec 1.1.

Tokens: Docker's "Token Authentication Specification". A login is sent to the registry and to the token server that
the registry names over TLS, and to nobody else.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urljoin, urlsplit

from tunewright.registry.errors import AccessDenied, Conflict, CorruptObject, NotFound, Unreachable
from tunewright.registry.oci.address import OciAddress, is_loopback
from tunewright.registry.oci.credentials import credentials_for
from tunewright.registry.oci.media_types import INDEX
from tunewright.registry.versions.document import parse as parse_json
from tunewright.registry.versions.manifest import LARGEST, MEDIA_TYPE, digest_of

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

_KINDS = f"{MEDIA_TYPE}, {INDEX}"
_TRIES = 4  # of an upload, whose session may end with the connection
_CHALLENGE = re.compile(r'([a-zA-Z]+)="([^"]*)"')


class Remote:
    """A repository; it may be shared by threads."""

    def __init__(self, address: OciAddress, *, actions: str = "pull") -> None:
        """`actions`: what a token is asked for, `pull` or `pull,push`."""
        self.address = address
        self._actions = actions
        self._pool = _connect(address.base)
        self._authorization: str | None = None
        self._logging_in = Lock()

    def manifest(self, reference: str, kinds: str = _KINDS) -> bytes:
        """The manifest of a tag or a digest, one of these kinds. Raises NotFound, CorruptObject."""
        data = self.find_manifest(reference, kinds)
        if data is None:
            raise NotFound(f"{self.address} is not there: its registry knows no {reference} of this repository")
        return data

    def find_manifest(self, reference: str, kinds: str = _KINDS) -> bytes | None:
        """The same; None where there is none."""
        answer = self.ask("GET", f"manifests/{reference}", headers={"Accept": kinds}, known=(200, 404))
        if answer.status == 404:
            return None
        if len(answer.data) > LARGEST:
            raise CorruptObject(f"the manifest of {self.address} holds {len(answer.data)} bytes; {LARGEST} are allowed")
        if reference.startswith("sha256:") and digest_of(answer.data) != reference:
            raise CorruptObject(f"{self.address.host} sent other bytes than those of {reference}")
        return answer.data

    def put_manifest(self, data: bytes, media_type: str, tag: str) -> None:
        """Name these bytes by a tag, whatever it named before. Raises CorruptObject where other bytes are kept."""
        headers = {"Content-Type": media_type}
        self.ask("PUT", f"manifests/{tag}", headers=headers, body=data, known=(201,))
        if digest_of(self.manifest(digest_of(data))) != digest_of(data):
            raise CorruptObject(f"{self.address.host} does not keep the manifest of {self.address} as it was sent")

    def has(self, digest: str) -> bool:
        """Whether it holds a blob."""
        return self.ask("HEAD", f"blobs/{digest}", known=(200, 404)).status == 200

    def put_blob(self, digest: str, path: Path) -> None:
        """Upload a file; the registry compares the digest. Raises Conflict where the file has another."""
        for attempt in range(_TRIES):
            begun = self.ask("POST", "blobs/uploads/", known=(202,))
            where = urljoin(f"{self.address.base}/", begun.headers["Location"])
            where += f"{'&' if urlsplit(where).query else '?'}digest={digest}"
            with path.open("rb") as file:
                headers = {"Content-Type": "application/octet-stream", "Content-Length": str(path.stat().st_size)}
                # 404 and 416: the session has ended with a connection that broke.
                answer = self.ask("PUT", where, headers=headers, body=file, known=(201, 400, 404, 416))
            if answer.status == 201:
                return
            if answer.status == 400 and attempt == _TRIES - 1:
                raise Conflict(f"{self.address.host} did not take {path.name} for {digest}: {_told(answer)}")
        raise Unreachable(f"{self.address.host} has ended the upload of {digest} {_TRIES} times")

    def ask(
        self,
        method: str,
        where: str,
        *,
        known: tuple[int, ...],
        headers: Mapping[str, str] | None = None,
        body: bytes | BinaryIO | None = None,
    ) -> "BaseHTTPResponse":
        """What the registry answers, with one of the `known` statuses; `where` follows the repository, or is a URL."""
        url = urljoin(f"{self.address.base}/v2/{self.address.repository}/", where)

        def send(authorization: str | None) -> "BaseHTTPResponse":
            # An upload may be sent on to another host, which is told where and not who.
            is_ours = authorization and url.startswith(f"{self.address.base}/")
            whose = {"Authorization": authorization} if is_ours else {}
            return self._request(method, url, headers={**(headers or {}), **whose}, body=body)

        sent = self._authorization
        answer = send(sent)
        if answer.status == 401 and self._log_in(answer.headers.get("WWW-Authenticate", ""), sent):
            if not isinstance(body, bytes | None):
                body.seek(0)
            answer = send(self._authorization)
        if answer.status in known:
            return answer
        host = self.address.host
        if answer.status in (401, 403):
            raise AccessDenied(
                f"{host} refuses {self._actions} of {self.address.repository} ({answer.status}{_told(answer)}); "
                f"log in with `docker login {host}` or `podman login {host}`, as somebody who may"
            )
        if answer.status == 404:
            raise NotFound(f"{host} has no repository {self.address.repository}{_told(answer)}")
        raise Unreachable(f"{host} answered {method} {urlsplit(url).path} with {answer.status}{_told(answer)}")

    def _request(self, method: str, url: str, **more: object) -> "BaseHTTPResponse":
        from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

        try:
            return self._pool.request(method, url, **more)  # type: ignore[arg-type]
        except HTTPError as error:
            reason = error.reason if isinstance(error, MaxRetryError) else error
            host = urlsplit(url).netloc
            if isinstance(reason, SSLError):
                raise Unreachable(
                    f"the certificate of {host} is not trusted; name its authority's file in SSL_CERT_FILE"
                ) from error
            raise Unreachable(
                f"no usable answer from {host} ({type(reason).__name__}); check the address and the network"
            ) from error

    def _log_in(self, challenge: str, sent: str | None) -> bool:
        """Answer what the registry asks for; whether there is anything else to try than what was sent."""
        kind, _, rest = challenge.partition(" ")
        with self._logging_in:
            if self._authorization == sent:  # and no other thread has logged in meanwhile
                known = credentials_for(self.address)
                basic = known.basic if known else None
                bearer = kind.lower() == "bearer"
                self._authorization = self._token(dict(_CHALLENGE.findall(rest)), basic) if bearer else basic
            return self._authorization not in (None, sent)

    def _token(self, asked: Mapping[str, str], basic: str | None) -> str | None:
        """A token of the server that the registry names."""
        realm = urlsplit(asked.get("realm", ""))
        if basic and realm.scheme != "https" and not is_loopback(realm.netloc):
            raise AccessDenied(
                f"{self.address.host} asks that its login be sent to {realm.netloc!r} without TLS; it is not sent"
            )
        fields = {"scope": f"repository:{self.address.repository}:{self._actions}"}
        if service := asked.get("service"):
            fields["service"] = service
        headers = {"Authorization": basic} if basic else {}
        answer = self._request("GET", realm.geturl(), fields=fields, headers=headers)
        if answer.status != 200:
            return None
        told = parse_json(answer.data, f"the answer of {realm.netloc}")
        token = told.get("token") or told.get("access_token")
        return f"Bearer {token}" if isinstance(token, str) else None


def _connect(base: str) -> "PoolManager":
    """Connections that try again what may pass, through the proxy of the environment where there is one."""
    from urllib.request import getproxies, proxy_bypass

    from urllib3 import PoolManager, ProxyManager, Retry, Timeout

    retry = Retry(
        total=5,
        connect=2,
        backoff_factor=0.5,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=None,
        raise_on_status=False,
    )
    parts = urlsplit(base)
    proxy = getproxies().get(parts.scheme)
    settings = {"retries": retry, "timeout": Timeout(connect=10, read=60), "maxsize": 8}
    if proxy and not proxy_bypass(parts.hostname or ""):
        return ProxyManager(proxy, **settings)  # type: ignore[arg-type]
    return PoolManager(**settings)  # type: ignore[arg-type]


def _told(answer: "BaseHTTPResponse") -> str:
    """What a registry says of a refusal, in short."""
    try:
        first = parse_json(answer.data[:10_000], "the answer")["errors"]
    except (CorruptObject, KeyError):
        return ""
    one = first[0] if isinstance(first, list) and first and isinstance(first[0], dict) else {}
    said = " ".join(str(one.get(name) or "") for name in ("code", "message")).strip()[:200]
    return f": {said}" if said else ""

"""The page at `/`: three files that never change, and what the models of this process are, for it to show."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from tunewright.serving.errors import NotFound
from tunewright.serving.live.models import Models
from tunewright.serving.page.facts import facts
from tunewright.serving.protocols.protocol import Call, Operation, Page, Reply
from tunewright.serving.request.json_text import to_json

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    "Vary": "Accept, Accept-Encoding",
}
"""Nothing but this server is asked, and no text becomes code, whatever is in it."""
_LARGEST_REPORT = 16 << 20
"""Bytes: one of a hundred thousand test rows has a fifth of it."""
_OF_REPORTS = {
    **HEADERS,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Still:
    """A file of the page, as it lies and packed."""

    content: bytes
    packed: bytes
    media_type: str
    tag: str

    def reply(self, call: Call) -> Reply:
        """The file, or the word that the browser has it already."""
        headers = {**HEADERS, "ETag": self.tag}
        if self.tag in call.headers.get("if-none-match", ""):
            return Reply(b"", 304, self.media_type, headers)
        if "gzip" in call.headers.get("accept-encoding", ""):
            return Reply(self.packed, 200, self.media_type, {**headers, "Content-Encoding": "gzip"})
        return Reply(self.content, 200, self.media_type, headers)


@cache
def _still(name: str, media_type: str) -> Still:
    content = files(__package__).joinpath(name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    return Still(content, gzip.compress(content, mtime=0), f"{media_type}; charset=utf-8", tag)


def home(models: Models, call: Call) -> Reply:
    """GET / of a browser."""
    return _still("page.html", "text/html").reply(call)


def _facts(models: Models, call: Call) -> Reply:
    return Reply(to_json(facts(models)), headers={"Cache-Control": "no-store"})


def _report(models: Models, call: Call) -> Reply:
    """The report of a version, which is markup of whoever made it: it may run nothing and ask nobody."""
    service = models.find()
    if service.report is None:
        raise NotFound(f"{service} has no report here; SERVING_REPORT=true shows those of versions that carry one")
    if service.report.stat().st_size > _LARGEST_REPORT:
        raise NotFound(f"the report of {service} has more than {_LARGEST_REPORT >> 20} MiB; tunewright show opens it")
    return Reply(service.report.read_bytes(), 200, "text/html; charset=utf-8", _OF_REPORTS)


OPERATIONS: tuple[Operation, ...] = ()
PAGES = (
    Page("/page/page.css", lambda models, call: _still("page.css", "text/css").reply(call)),
    Page("/page/page.js", lambda models, call: _still("page.js", "text/javascript").reply(call)),
    Page("/page/facts", _facts),
    Page("/page/report", _report),
)

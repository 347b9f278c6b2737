"""A proxy before an S3 server that allows what a policy of docs/guides/least-rights.md does, and nothing else."""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from fault_proxy import FaultProxy, Handler

GUIDE = Path(__file__).parents[2] / "docs/guides/least-rights.md"
_OF_UPLOADS = {"GET": "s3:ListMultipartUploadParts", "DELETE": "s3:AbortMultipartUpload"}
_OF_OBJECTS = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "DELETE": "s3:DeleteObject"}


def policies():
    """The role of each heading of the guide to the policy below it."""
    parts = re.split(r"^## (\w+)$", GUIDE.read_text().partition("## A bucket")[0], flags=re.MULTILINE)[1:]
    return {
        name.lower(): json.loads(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def asked(method, url, headers=()):
    """What rights a request needs: pairs of an action and its resource, as bucket/key."""
    place, query = urlsplit(url), parse_qs(urlsplit(url).query, keep_blank_values=True)
    resource = unquote(place.path).strip("/")
    if "/" not in resource:
        return [("s3:ListBucketMultipartUploads" if "uploads" in query else "s3:ListBucket", resource)]
    if "uploadId" in query and method in _OF_UPLOADS:
        return [(_OF_UPLOADS[method], resource)]
    source = dict(headers).get("x-amz-copy-source")
    read = [("s3:GetObject", unquote(source).strip("/"))] if source else []
    return [*read, (_OF_OBJECTS.get(method, "s3:PutObject"), resource)]


class Gate(FaultProxy):
    """`policy`: what is allowed in the bucket in place of `tunewright`; None is everything.

    `used` are the statements and resources of it that have allowed something, `refused` what was denied.
    """

    def __init__(self, upstream, bucket):
        super().__init__(upstream, Guarded)
        self.bucket, self.policy, self.used, self.refused = bucket, None, set(), []

    def may(self, action, resource):
        if self.policy is None:
            return True
        if not resource.startswith(self.bucket):
            return False
        place = "arn:aws:s3:::tunewright" + resource.removeprefix(self.bucket)
        allowing = [one for one in rights_of(self.policy) if one[0] == action and fnmatchcase(place, one[1])]
        self.used.update(allowing)
        if not allowing:
            self.refused.append((action, resource))
        return bool(allowing)


def rights_of(policy):
    """The pairs of an action and a resource that a policy allows."""
    return {(a, place) for one in policy["Statement"] for a in one["Action"] for place in one["Resource"]}


class Guarded(Handler):
    """One connection, answered in the way of AWS where something is denied."""

    def do(self):
        headers = [(name.lower(), value) for name, value in self.headers.items()]
        if all(self.server.proxy.may(*one) for one in asked(self.command, self.path, headers)):
            super().do()
            return
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(403, [], b"<Error><Code>AccessDenied</Code></Error>")

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do

"""A store in a bucket of AWS S3 or of any server that speaks its protocol."""

import hashlib
import random
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from tunewright.registry.errors import Conflict, CorruptObject, NotFound, RegistryError, Unreachable, UnsafeStore
from tunewright.registry.stores.key import PAGE, SMALL, Leftover, Stat, check_key
from tunewright.registry.stores.patience import Waiting, granted
from tunewright.registry.stores.ranges import RANGE, sha256_of_object
from tunewright.registry.stores.s3_client import connect
from tunewright.registry.stores.s3_errors import Place, is_expired, is_outage, is_passing, sentence, status_of
from tunewright.registry.stores.s3_upload import Upload, etag_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        CopySourceTypeDef,
        GetObjectOutputTypeDef,
        HeadObjectOutputTypeDef,
        ListMultipartUploadsOutputTypeDef,
        ListObjectsV2OutputTypeDef,
    )

_PUT_ID = "put-id"  # metadata key: who wrote this object; some servers change its case
_ATTEMPTS = 5  # of a body that arrives cut off, and of a commit whose fate is not known
_CHEAP = RANGE  # bytes: what is not larger is read to be compared
_ANSWERED: set[str] = set()  # servers that have answered: one that never has is a mistake sooner than an outage

Answer = TypeVar("Answer")


class _Further(TypedDict, total=False):
    """Where a listing goes on."""

    StartAfter: str
    MaxKeys: int
    ContinuationToken: str


class _FurtherUploads(TypedDict, total=False):
    """Where a listing of uploads goes on."""

    KeyMarker: str
    UploadIdMarker: str


class S3Store:
    """See `registry.stores.store.Store`."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        single_writer: bool = False,
        foreign: bool = False,
        profile: str | None = None,
    ) -> None:
        self.single_writer = single_writer
        self._foreign = foreign
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._profile = profile
        self._client = connect(profile)
        self._place = Place(bucket, self._client.meta.endpoint_url, profile)
        self._patience = granted()

    @property
    def uri(self) -> str:
        """s3://bucket/prefix."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def read(self, key: str, *, limit: int = SMALL) -> bytes:
        """See Store."""

        def fetch(waiting: Waiting) -> bytes:
            answer = self._get(key, waiting)
            if answer["ContentLength"] > limit:
                raise CorruptObject(
                    f"{self._name(key)} holds {answer['ContentLength']} bytes, more than the {limit} its kind may have"
                )
            return _whole_body(answer)

        return self._persistently(key, fetch)

    def read_range(self, key: str, start: int, stop: int, *, etag: str) -> bytes:
        """See Store."""

        if stop <= start:
            return b""

        def fetch(waiting: Waiting) -> bytes:
            answer = self._get(key, waiting, Range=f"bytes={start}-{stop - 1}")
            if answer["ETag"].strip('"') != etag:
                raise Conflict(f"{self._name(key)} was replaced while it was read; start again")
            if answer["ContentLength"] != stop - start:
                raise UnsafeStore(
                    f"{self._name(key)}: {stop - start} bytes were asked for and {answer['ContentLength']} sent; "
                    "this server, or a proxy before it, does not answer ranged reads properly"
                )
            return _whole_body(answer)

        return self._persistently(key, fetch)

    def stat(self, key: str) -> Stat:
        """See Store."""
        try:
            answer = self._head(key)
        except _errors() as error:
            raise self._why_not(key, error) from error
        return Stat(key, answer["ContentLength"], answer["ETag"].strip('"'), answer["LastModified"].timestamp())

    def exists(self, key: str) -> bool:
        """See Store."""
        try:
            self._head(key)
        except _errors() as error:
            if status_of(error) == 404:
                return False
            raise self._why_not(key, error) from error
        return True

    def list(self, prefix: str, *, after: str = "", page: int = PAGE) -> Iterator[Stat]:
        """See Store. Keys that end in `/` are how some consoles draw a folder, and are left out."""
        further: _Further = {"StartAfter": self._prefix + after} if after else {}
        size: _Further = {"MaxKeys": page} if page != PAGE else {}
        while True:
            answer = self._page(prefix, {**further, **size})
            for entry in answer.get("Contents", []):
                key = entry["Key"].removeprefix(self._prefix)
                if not key.endswith("/") and (not after or key.encode() > after.encode()):  # not every server knows it
                    yield Stat(key, entry["Size"], entry["ETag"].strip('"'), entry["LastModified"].timestamp())
            if not answer.get("IsTruncated"):
                return
            further = {"ContinuationToken": answer["NextContinuationToken"]}

    def create(self, key: str, data: bytes) -> bool:
        """See Store.

        botocore repeats a request whose answer was lost, and the repetition of a write that was committed is
        answered by 412. So each call leaves an id of its own in the object's metadata, and whenever the outcome
        is in doubt the object is asked whose it is.
        """
        put_id, waiting = uuid.uuid4().hex, Waiting(self._patience)
        for attempt in range(_ATTEMPTS):
            try:
                return self._put(key, data, put_id, waiting)
            except _errors() as error:
                owner = self._settle(key, error, waiting)
                if owner is not None:
                    return owner == put_id
                last = error
            _pause(attempt)
        raise self._sentence(key, last) from last

    def upload(self, key: str, path: Path, *, sha256: str | None = None) -> None:
        """See Store."""
        full = self._full(key)
        try:
            self._ask(lambda client: Upload(client, self._bucket, full, path, sha256).send())
        except _errors() as error:
            raise self._sentence(key, error) from error

    def holds(self, key: str, path: Path, *, sha256: str) -> bool:
        """See Store."""
        size = path.stat().st_size
        if size <= _CHEAP:
            try:
                return hashlib.sha256(self.read(key, limit=size)).hexdigest() == sha256
            except (NotFound, CorruptObject):
                return False
        if not self.exists(key):
            return False
        stat = self.stat(key)
        if stat.size != size:
            return False
        return stat.etag == etag_of(path) or sha256_of_object(self, stat) == sha256

    def delete(self, key: str) -> None:
        """See Store. A server answers alike whether there was an object."""
        full = self._full(key)
        try:
            self._ask(lambda client: client.delete_object(Bucket=self._bucket, Key=full))
        except _errors() as error:
            raise self._sentence(key, error) from error

    def copy(self, key: str, target: str) -> None:
        """See Store. A large object is copied in parts."""
        source: CopySourceTypeDef = {"Bucket": self._bucket, "Key": self._full(key)}
        full = self._full(target)
        try:
            self._ask(lambda client: client.copy(source, self._bucket, full))
        except _errors() as error:
            raise self._sentence(key, error) from error

    def leftovers(self, prefix: str) -> Iterator[Leftover]:
        """See Store."""
        further: _FurtherUploads = {}
        while True:
            page = self._uploads(prefix, further)
            for entry in page.get("Uploads", []):
                key, id = entry["Key"], entry["UploadId"]
                size, begun = self._size_of_parts(key, id), entry["Initiated"].timestamp()
                yield Leftover(key.removeprefix(self._prefix), id, size, begun)
            if not page.get("IsTruncated"):
                return
            further = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def discard(self, leftover: Leftover) -> None:
        """See Store."""
        full = self._full(leftover.key)
        try:
            self._ask(lambda client: client.abort_multipart_upload(Bucket=self._bucket, Key=full, UploadId=leftover.id))
        except _errors() as error:
            if status_of(error) != 404:
                raise self._sentence(leftover.key, error) from error

    def _uploads(self, prefix: str, further: "_FurtherUploads") -> "ListMultipartUploadsOutputTypeDef":
        start = self._prefix + prefix
        try:
            return self._ask(lambda client: client.list_multipart_uploads(Bucket=self._bucket, Prefix=start, **further))
        except _errors() as error:
            raise self._sentence(prefix, error) from error

    def _size_of_parts(self, key: str, id: str) -> int:
        """Bytes of the parts that have arrived; 0 where the upload has just ended."""

        def ask(client: "S3Client") -> int:
            pages = client.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=key, UploadId=id)
            return sum(part["Size"] for page in pages for part in page.get("Parts", []))

        try:
            return self._ask(ask)
        except _errors() as error:
            if status_of(error) == 404:
                return 0
            raise self._sentence(key.removeprefix(self._prefix), error) from error

    def _ask(self, ask: Callable[["S3Client"], Answer], waiting: Waiting | None = None) -> Answer:
        """What the server answers: asked again with new credentials where they have expired, and after an outage."""
        waiting = waiting or Waiting(self._patience)
        while True:
            try:
                answer = ask(self._client)
            except _errors() as error:
                if not self._may_ask_again(error, waiting):
                    raise
            else:
                _ANSWERED.add(self._place.server)
                return answer

    def _may_ask_again(self, error: Exception, waiting: Waiting) -> bool:
        server = self._place.server
        if (status_of(error) or 500) < 500:
            _ANSWERED.add(server)
        if is_expired(error):
            # A client reads the files in which credentials are renewed once, when it is made.
            self._client = connect(self._profile)
            return waiting.is_first("renewed") or waiting.goes_on(f"the credentials for {server} have expired")
        reason = status_of(error) or type(error).__name__
        return is_outage(error) and server in _ANSWERED and waiting.goes_on(f"{server} does not answer ({reason})")

    def _page(self, prefix: str, further: "_Further") -> "ListObjectsV2OutputTypeDef":
        start = self._prefix + prefix
        try:
            return self._ask(lambda client: client.list_objects_v2(Bucket=self._bucket, Prefix=start, **further))
        except _errors() as error:
            raise self._sentence(prefix, error) from error

    def _head(self, key: str, waiting: Waiting | None = None) -> "HeadObjectOutputTypeDef":
        """HEAD. Its refusals have no code, so a GET tells why, which also renews credentials that have expired."""
        full = self._full(key)

        def head(client: "S3Client") -> "HeadObjectOutputTypeDef":
            return client.head_object(Bucket=self._bucket, Key=full)

        try:
            return self._ask(head, waiting)
        except _errors() as error:
            if status_of(error) not in (400, 403):
                raise
        self._get(key, waiting, Range="bytes=0-0")["Body"].close()
        return self._ask(head, waiting)

    def _put(self, key: str, data: bytes, put_id: str, waiting: Waiting) -> bool:
        condition: dict[str, Any] = {"IfNoneMatch": "*"}
        if self.single_writer:
            if self.exists(key):
                return False
            condition = {}
        full = self._full(key)
        self._ask(
            lambda client: client.put_object(
                Bucket=self._bucket, Key=full, Body=data, Metadata={_PUT_ID: put_id}, **condition
            ),
            waiting,
        )
        return True

    def _settle(self, key: str, error: Exception, waiting: Waiting) -> str | None:
        """Whose the object is after a write in doubt: a put-id ("" when it has none), None when it is not there."""
        status = status_of(error)
        if status == 409:  # another conditional write of this key is under way
            return None
        if status == 501:
            raise UnsafeStore(
                f"{self._name(key)}: the server does not know conditional writes (If-None-Match), so a version could "
                "be overwritten; use another server, or set REGISTRY_SINGLE_WRITER=true if only one process writes"
            ) from error
        if status != 412 and not is_passing(error):
            raise self._sentence(key, error) from error
        return self._owner(key, waiting)

    def _owner(self, key: str, waiting: Waiting) -> str | None:
        try:
            answer = self._head(key, waiting)
        except _errors() as error:
            if status_of(error) == 404:
                return None
            raise self._sentence(key, error) from error
        return {name.lower(): value for name, value in answer["Metadata"].items()}.get(_PUT_ID, "")

    def _get(self, key: str, waiting: Waiting | None = None, **more: Any) -> "GetObjectOutputTypeDef":
        full = self._full(key)
        return self._ask(lambda client: client.get_object(Bucket=self._bucket, Key=full, **more), waiting)

    def _persistently(self, key: str, fetch: Callable[[Waiting], bytes]) -> bytes:
        """Fetch a body; again when it was cut off, which botocore does not repeat by itself."""
        waiting = Waiting(self._patience)
        for attempt in range(_ATTEMPTS):
            try:
                return fetch(waiting)
            except _errors() as error:
                if not is_passing(error):
                    raise self._sentence(key, error) from error
                last = error
            _pause(attempt)
        raise Unreachable(
            f"{self._name(key)} could not be read whole in {_ATTEMPTS} attempts ({type(last).__name__}); "
            "check the network between here and the store"
        ) from last

    def _why_not(self, key: str, error: Exception) -> RegistryError:
        """Whether the bucket is missing, and not the object, is told by a GET, as HEAD answers carry no reason."""
        if status_of(error) == 404:
            try:
                self._get(key, Range="bytes=0-0")["Body"].close()
            except _errors() as better:
                return self._sentence(key, better)
        return self._sentence(key, error)

    def _sentence(self, key: str, error: Exception) -> RegistryError:
        return sentence(error, self._place, self._prefix + key)

    def _full(self, key: str) -> str:
        check_key(key, foreign=self._foreign)
        return self._prefix + key

    def _name(self, key: str) -> str:
        return self._place.name(self._prefix + key)


def _errors() -> tuple[type[Exception], ...]:
    """What a call of boto3 raises. botocore takes a quarter of a second to import, so only who uses it pays."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    return (BotoCoreError, ClientError, HTTPError)


def _whole_body(answer: "GetObjectOutputTypeDef") -> bytes:
    from botocore.exceptions import IncompleteReadError

    with answer["Body"] as body:
        data = body.read()
    if len(data) != answer["ContentLength"]:
        raise IncompleteReadError(actual_bytes=len(data), expected_bytes=answer["ContentLength"])
    return data


def _pause(attempt: int) -> None:
    """Wait up to 0.1, 0.2, 0.4 ... seconds; at random, so that those who collided do not meet again."""
    time.sleep(random.uniform(0.02, 0.1) * 2**attempt)  # noqa: S311 - not a secret

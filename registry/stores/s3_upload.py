"""Send a file to a bucket; a large one in parts. The digest is checked before the object can be seen.

Of an object that is named by its digest the parts that an upload before has left are not sent again: that of a process
that died, or lost its connection. Another process may be at it still. Both then send the same parts, and the one that
comes last finds the object there.
"""

import hashlib
import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tunewright.registry.errors import Conflict
from tunewright.registry.progress import moved
from tunewright.registry.stores.budget import Budget
from tunewright.registry.stores.s3_errors import status_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART = 32 * 1024 * 1024  # bytes: larger files are sent in parts of this size
_PARALLEL = 3  # parts of one file under way at once
_MEMORY = Budget(3 * PART)  # of all files together
_LOOKED_AT = 10  # unfinished uploads of one object


def etag_of(path: Path) -> str:
    """The ETag that a server gives this file when it is sent as it is here, unless it encrypts by a key of its own."""
    with path.open("rb") as file:
        data = file.read(PART)
        parts = []
        while True:
            parts.append(hashlib.md5(data, usedforsecurity=False))
            if len(data) < PART or not (data := file.read(PART)):
                break
    if len(parts) == 1 and path.stat().st_size < PART:
        return parts[0].hexdigest()
    whole = hashlib.md5(b"".join(part.digest() for part in parts), usedforsecurity=False)
    return f"{whole.hexdigest()}-{len(parts)}"


@dataclass(frozen=True)
class _Begun:
    """An upload in parts that goes on."""

    upload_id: str
    parts: Mapping[int, str]
    """The ETags of the parts that are there, by their numbers from 1 on."""


@dataclass(frozen=True)
class Upload:
    """Where a file goes and what it must hold."""

    client: "S3Client"
    bucket: str
    key: str
    path: Path
    sha256: str | None

    def send(self) -> None:
        """Raises Conflict when the file does not have the expected digest, and what boto3 raises."""
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < PART:
                with _MEMORY.taken(size):
                    whole = file.read()
                    self._check(hashlib.sha256(whole).hexdigest())
                    self.client.put_object(Bucket=self.bucket, Key=self.key, Body=whole)
                moved("sent", size)
                return
            begun = self._begun(file)
            if begun is None or not self._goes_on(begun, file, size):
                upload_id = self.client.create_multipart_upload(Bucket=self.bucket, Key=self.key)["UploadId"]
                self._goes_on(_Begun(upload_id, {}), file, size)

    def _goes_on(self, begun: "_Begun", file: BinaryIO, size: int) -> bool:
        """Whether the object is there now; not, where somebody has removed what an upload before had left."""
        from botocore.exceptions import ClientError

        file.seek(0)
        try:
            self._send_parts(begun, file)
        except ClientError as error:
            if status_of(error) != 404:
                raise
            is_there = self._is_named and self._is_there(size)  # another process has gone on with it, to its end
            if not is_there and not begun.parts:
                raise
            return is_there
        return True

    @property
    def _is_named(self) -> bool:
        """Whether the object is named by its digest, so that every upload of it is of the same bytes."""
        return self.sha256 is not None and self.key.endswith(self.sha256)

    def _begun(self, file: BinaryIO) -> "_Begun | None":
        """An upload of this very object that did not end, whose parts are all of this file; None where there is none,
        or that cannot be told."""
        from botocore.exceptions import ClientError

        if not self._is_named:
            return None
        try:
            listed = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=self.key).get("Uploads", [])
            for upload in [one["UploadId"] for one in listed if one["Key"] == self.key][:_LOOKED_AT]:
                parts = self._parts_of(upload)
                if parts and all(_is_part(file, number, etag) for number, etag in parts.items()):
                    return _Begun(upload, parts)
        except ClientError:  # it may not be listed, or has just ended: all is sent then
            pass
        return None

    def _parts_of(self, upload_id: str) -> dict[int, str]:
        pages = self.client.get_paginator("list_parts").paginate(Bucket=self.bucket, Key=self.key, UploadId=upload_id)
        return {part["PartNumber"]: part["ETag"] for page in pages for part in page.get("Parts", [])}

    def _send_parts(self, begun: "_Begun", file: BinaryIO) -> None:
        """Where this fails what was sent stays, for whoever goes on; a collection removes it once it is old."""
        pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="upload")
        try:
            parts = self._parts(begun, file, pool)
            self._complete(begun.upload_id, parts, file.tell())
        except BaseException as error:
            pool.shutdown(wait=True, cancel_futures=True)
            if self._is_named and not isinstance(error, Conflict):
                raise
            with suppress(Exception):  # what went wrong first is what matters
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=self.key, UploadId=begun.upload_id)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _complete(self, upload_id: str, parts: "list[CompletedPartTypeDef]", size: int) -> None:
        from botocore.exceptions import ClientError

        try:
            self.client.complete_multipart_upload(
                Bucket=self.bucket, Key=self.key, UploadId=upload_id, MultipartUpload={"Parts": parts}
            )
        except ClientError as error:
            # botocore repeats a request whose answer was lost; the upload is gone then, because it is complete.
            if status_of(error) != 404 or not self._is_there(size):
                raise

    def _is_there(self, size: int) -> bool:
        from botocore.exceptions import ClientError

        try:
            return self.client.head_object(Bucket=self.bucket, Key=self.key)["ContentLength"] == size
        except ClientError as error:
            if status_of(error) != 404:
                raise
            return False

    def _parts(self, begun: "_Begun", file: BinaryIO, pool: ThreadPoolExecutor) -> "list[CompletedPartTypeDef]":
        whole = hashlib.sha256()
        done: list[CompletedPartTypeDef] = []
        waiting: deque[Future[CompletedPartTypeDef]] = deque()
        for number in count(1):
            if not (data := _next_part(file)):
                break
            whole.update(data)
            waiting.append(pool.submit(self._part, begun, number, data))
            waiting[-1].add_done_callback(lambda _: _MEMORY.give_back(PART))
            del data
            if len(waiting) >= _PARALLEL:
                done.append(waiting.popleft().result())
        done.extend(part.result() for part in waiting)
        self._check(whole.hexdigest())
        return done

    def _part(self, begun: "_Begun", number: int, data: bytes) -> "CompletedPartTypeDef":
        if etag := begun.parts.get(number):
            moved("sent", len(data))
            return {"ETag": etag, "PartNumber": number}
        answer = self.client.upload_part(
            Bucket=self.bucket, Key=self.key, UploadId=begun.upload_id, PartNumber=number, Body=data
        )
        moved("sent", len(data))
        return {"ETag": answer["ETag"], "PartNumber": number}

    def _check(self, sha256: str) -> None:
        if self.sha256 not in (None, sha256):
            raise Conflict(f"{self.path} changed while it was published; write files first, publish then")


def _is_part(file: BinaryIO, number: int, etag: str) -> bool:
    """Whether a part is the one that would be sent; a server that encrypts by a key of its own tells no MD5."""
    file.seek((number - 1) * PART)
    with _MEMORY.taken(PART):
        data = file.read(PART)
        return bool(data) and hashlib.md5(data, usedforsecurity=False).hexdigest() == etag.strip('"')


def _next_part(file: BinaryIO) -> bytes:
    """The next bytes, for which memory is taken that is given back once they are sent; none at the end."""
    data = b""
    _MEMORY.take(PART)
    try:
        data = file.read(PART)
    finally:
        if not data:
            _MEMORY.give_back(PART)
    return data

"""Send a file to a bucket; a large one in parts. The digest is checked before the object can be seen."""

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tunewright.registry.errors import Conflict
from tunewright.registry.stores.budget import Budget
from tunewright.registry.stores.s3_errors import status_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART = 32 * 1024 * 1024  # bytes: larger files are sent in parts of this size
_PARALLEL = 3  # parts of one file under way at once
_MEMORY = Budget(3 * PART)  # of all files together


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
                return
            self._send_parts(file)

    def _send_parts(self, file: BinaryIO) -> None:
        upload_id = self.client.create_multipart_upload(Bucket=self.bucket, Key=self.key)["UploadId"]
        pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="upload")
        try:
            parts = self._parts(upload_id, file, pool)
            self._complete(upload_id, parts, file.tell())
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            with suppress(Exception):  # what went wrong first is what matters
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=self.key, UploadId=upload_id)
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
            if status_of(error) != 404 or self._size() != size:
                raise

    def _size(self) -> int:
        return self.client.head_object(Bucket=self.bucket, Key=self.key)["ContentLength"]

    def _parts(self, upload_id: str, file: BinaryIO, pool: ThreadPoolExecutor) -> "list[CompletedPartTypeDef]":
        whole = hashlib.sha256()
        done: list[CompletedPartTypeDef] = []
        waiting: deque[Future[CompletedPartTypeDef]] = deque()
        for number in count(1):
            if not (data := _next_part(file)):
                break
            whole.update(data)
            waiting.append(pool.submit(self._part, upload_id, number, data))
            waiting[-1].add_done_callback(lambda _: _MEMORY.give_back(PART))
            del data
            if len(waiting) >= _PARALLEL:
                done.append(waiting.popleft().result())
        done.extend(part.result() for part in waiting)
        self._check(whole.hexdigest())
        return done

    def _part(self, upload_id: str, number: int, data: bytes) -> "CompletedPartTypeDef":
        answer = self.client.upload_part(
            Bucket=self.bucket, Key=self.key, UploadId=upload_id, PartNumber=number, Body=data
        )
        return {"ETag": answer["ETag"], "PartNumber": number}

    def _check(self, sha256: str) -> None:
        if self.sha256 not in (None, sha256):
            raise Conflict(f"{self.path} changed while it was published; write files first, publish then")


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

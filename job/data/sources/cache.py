"""Data files on this disk; objects of a bucket are fetched once into a cache, and verified each time."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tunewright.job.relay import once, shared
from tunewright.registry.stores.store import Stat, Store
from tunewright.registry.transfer.download import download, sha256_of


@dataclass(frozen=True)
class SourceFile:
    """One data file on the local disk, with what identifies its bytes."""

    address: str
    """What the user would call it: a path or s3://bucket/key."""
    path: Path
    sha256: str
    size: int

    def __fspath__(self) -> str:
        return str(self.path)


def fetch_object(store: Store, one: Stat, address: str, cache: Path, advance: Callable[[int], None]) -> SourceFile:
    """The object from the cache when its ETag and its digest still match, else downloaded."""
    path = cache / hashlib.sha256(f"{address}\n{one.etag}\n{one.size}".encode()).hexdigest()[:32]
    record = path.with_suffix(".json")
    digest = recorded_digest(record)
    if digest is not None and path.is_file() and sha256_of(path) == digest:
        advance(one.size)
        return SourceFile(address, path, digest, one.size)
    got = download(store, one.key, path, on_bytes=advance)
    record_digest(record, address, got.sha256)
    return SourceFile(address, path, got.sha256, got.size)


def fetched_once(question: str, fetch: Callable[[], list[SourceFile]]) -> list[SourceFile]:
    """What `fetch` gets from the network, where this process is the one of several that asks it; else what that got."""
    files = once(question, fetch)
    return [replace(file, path=shared(file.path, file.sha256, file.size)) for file in files]


def recorded_digest(record: Path) -> str | None:
    """The digest in a record; None where there is none that can be read."""
    try:
        return str(json.loads(record.read_bytes())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def record_digest(record: Path, address: str, sha256: str) -> None:
    """Keep the digest of a file that has arrived."""
    write_whole(record, json.dumps({"address": address, "sha256": sha256}))


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all, whoever else writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.getpid()}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)

"""What the first of several processes has fetched, in the hands of the others: over gloo, on one machine and on two."""

import json
import os

import boto3
import numpy as np
import pytest
from fault_proxy import FaultProxy, Handler

from tunewright.job.data.sources.fetch import fetch
from tunewright.job.data.sources.folders import open_folder
from tunewright.job.errors import DataError
from tunewright.job.model.base_model import fetch_base_model
from tunewright.job.relay import once, relaying, share, shared
from tunewright.job.settings.file import read_config
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.transfer.download import sha256_of


class Counting(Handler):
    """Keeps who asks, which each process says in its requests."""

    def do(self):
        self.server.proxy.asked.append(self.headers["User-Agent"].rpartition("app/")[2].split()[0])
        super().do()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do


@pytest.fixture
def asked(s3_endpoint, monkeypatch, bucket, tiny_base):
    """A bucket with rows, a base model, pictures and settings; who has asked for something of it."""
    client = boto3.client("s3")
    for path in tiny_base.iterdir():
        client.put_object(Bucket=bucket, Key=f"base/{path.name}", Body=path.read_bytes())
    for key in ("rows/1.csv", "rows/2.csv", "pictures/a/1.png", "pictures/b/2.png", "job.yaml"):
        client.put_object(Bucket=bucket, Key=key, Body=f"model_name: {key}\n".encode())
    proxy = FaultProxy(s3_endpoint, Counting)
    proxy.asked = []
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
    yield proxy.asked
    proxy.close()


def read_all(bucket, cache):
    """What there is in the bucket, by its names, and whose cache it lies in."""
    folder = open_folder(f"s3://{bucket}/pictures/", cache)
    files = [*fetch(f"s3://{bucket}/rows", cache), *map(folder.fetch, folder.names())]
    base = fetch_base_model(f"s3://{bucket}/base", RegistrySettings(cache=cache))
    paths = [*(file.path for file in files), *sorted(base.folder.iterdir())]
    facts = [(file.address, file.sha256) for file in files], base.digest, read_config(f"s3://{bucket}/job.yaml")
    return facts, [sha256_of(path) for path in paths], {path.relative_to(cache.parent).parts[0] for path in paths}


@pytest.mark.parametrize(
    ("local", "caches"),
    [((0, 1), ("one", "one")), ((0, 0, 1), ("one", "two", "two"))],
    ids=["two on one machine", "two of three on another"],
)
def test_only_the_first_process_asks_a_bucket(together, asked, bucket, tmp_path, local, caches):
    def work(others):
        os.environ["AWS_SDK_UA_APP_ID"] = f"rank-{others.rank}"
        cache = tmp_path / caches[others.rank]
        with relaying(others):
            found = read_all(bucket, cache) if others.is_first else None
            share(cache)
            return found or read_all(bucket, cache)

    first, *rest = together(work, len(local), local=local)
    assert set(asked) == {"rank-0"}
    assert [one[:2] for one in rest] == [first[:2]] * len(rest)
    assert [one[2] for one in (first, *rest)] == [{name} for name in caches]
    assert not list(tmp_path.rglob("*.new"))


def test_what_another_machine_has_already_is_not_sent_again(together, write, tmp_path, capfd):
    paths = [write("one.csv", b"one"), write("two.csv", b"two")]

    def work(others):
        for _ in range(2):
            with relaying(others):
                if others.is_first:
                    [shared(path, sha256_of(path), 3) for path in paths]
                share(tmp_path / str(others.rank))
                if others.rank:
                    shared(paths[0], "", 0).write_bytes(b"bad")

    assert together(work, local=(0, 0)) == [None, None]
    sent = [json.loads(line)["message"] for line in capfd.readouterr().out.splitlines() if "rank 0 has sent" in line]
    assert sent == [
        "rank 0 has sent 2 files (6 bytes) to 1 other machine",
        "rank 0 has sent 1 file (3 bytes) to 1 other machine",
    ]


def test_a_process_that_needs_something_else_is_refused(together, tmp_path):
    def work(others):
        with relaying(others):
            if others.is_first:
                once("data source 's3://b/1.csv'", lambda: 1)
            share(tmp_path)
            return once(f"data source 's3://b/{1 + others.rank}.csv'", lambda: 2)

    _, second = together(work)
    assert second == (
        "DataError 3: rank 1 needs data source 's3://b/2.csv', which rank 0 has not fetched: give all processes the "
        "same settings"
    )


def test_where_the_first_process_fetches_nothing_all_end_with_its_reason(together, tmp_path):
    def work(others):
        with relaying(others):
            if others.is_first:
                raise DataError("no such object")
            share(tmp_path)

    assert together(work) == ["DataError 3: no such object", "AnotherFailed 3: rank 0 of 2 ended first: no such object"]


def test_a_file_that_has_changed_since_it_was_fetched_is_not_taken_over(together, tmp_path):
    path = tmp_path / "rows.csv"

    def work(others):
        with relaying(others):
            if others.is_first:
                path.write_text("one")
                shared(path, sha256_of(path), 3)
                path.write_text("two")
            share(tmp_path / str(others.rank))

    changed = f"{path} of rank 0 has changed since it was fetched; the same job may run again"
    assert together(work, local=(0, 0)) == [
        f"AnotherFailed 1: rank 1 of 2 ended first: {changed}",
        f"JobError 1: {changed}",
    ]
    assert not list(tmp_path.glob("1/**/*.csv*"))


def test_processes_of_a_machine_share_a_cache(together, write, tmp_path):
    path = write("rows.csv", b"one")

    def work(others):
        cache = tmp_path / str(others.rank)
        with relaying(others):
            if others.is_first:
                shared(path, sha256_of(path), 3)
            share(cache)

    *_, third = together(work, 3, local=(0, 0, 1))
    assert third == (
        f"JobError 1: {tmp_path}/2/data/{sha256_of(path)[:32]} is not there, which the first process of this machine "
        "has been sent: give all processes of a machine the same REGISTRY_CACHE"
    )


def test_a_large_answer_and_a_large_file_arrive_whole(together, tmp_path):
    def work(others):
        path, numbers = tmp_path / "large", np.arange(9_000_000, dtype=np.float32)
        with relaying(others):
            if others.is_first:
                numbers.tofile(path)
                shared(path, sha256_of(path), numbers.nbytes)
                once("numbers", lambda: numbers)
            share(tmp_path / str(others.rank))
            there = path if others.is_first else shared(path, "", 0)
            asked = numbers if others.is_first else once("numbers", list)
            return there != path, bool((np.fromfile(there, np.float32) == numbers).all() and (asked == numbers).all())

    assert together(work, local=(0, 0)) == [(False, True), (True, True)]

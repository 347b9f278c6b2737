"""The whole protocol on a real S3 gateway, over http and https. The contract of stores runs there as well."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tunewright.registry.errors import AccessDenied, NotFound, Unreachable
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.verify import verify
from tunewright.registry.versions.alias import current, history, move, rollback
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import pull
from tunewright.registry.versions.record import version_numbers

pytestmark = pytest.mark.ceph


@pytest.fixture(params=["ceph_http", "ceph_https"])
def ceph_uri(request):
    """The address of an empty registry on the gateway."""
    return f"s3://{request.getfixturevalue(f'{request.param}_bucket')}/registry"


def test_a_model_lives_there(ceph_uri, bundle, write, tmp_path):
    store = open_store(ceph_uri)
    files = bundle | {"weights/model.safetensors": write("large", os.urandom(70 * 1024 * 1024))}
    for run_id in ("run-1", "run-2", "run-1"):
        publish(store, "reviews", files, run_id=run_id)
    assert version_numbers(store, "reviews") == [1, 2]
    move(store, "reviews", "production", 1)
    move(store, "reviews", "production", 2)
    assert rollback(store, "reviews", "production").number == 1
    pulled = pull(store, "reviews@production", cache=tmp_path / "cache")
    assert all((pulled.folder / path).read_bytes() == file.read_bytes() for path, file in files.items())
    assert verify(store, "reviews:2").problems == ()


def test_racing_publishers_and_movers_lose_nothing(ceph_uri, publish_version):
    def run(number):
        store = open_store(ceph_uri)
        version = publish_version(store, f"run-{number}")
        move(store, "reviews", "production", version.number, force=True)
        return version.number

    with ThreadPoolExecutor(8) as pool:
        numbers = sorted(pool.map(run, range(16)))
    store = open_store(ceph_uri)
    assert numbers == version_numbers(store, "reviews") == list(range(1, 17))
    log = history(store, "reviews", "production")
    assert [entry.previous for entry in log] == [None, *(entry.number for entry in log[:-1])]
    assert sorted(entry.number for entry in log) == numbers
    assert current(store, "reviews", "production") == log[-1].number


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        ("AWS_SECRET_ACCESS_KEY", "the secret key is not the one of the access key; check AWS_SECRET_ACCESS_KEY"),
        ("AWS_ACCESS_KEY_ID", "the access key is not known there; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_wrong_credentials_are_one_sentence(ceph_uri, monkeypatch, variable, sentence):
    monkeypatch.setenv(variable, "wrongwrongwrong")
    store = open_store(ceph_uri)
    questions = (lambda: store.stat("key"), lambda: store.read("key"), lambda: store.create("key", b""))
    for question in (*questions, lambda: list(store.list(""))):
        with pytest.raises(AccessDenied) as error:
            question()
        assert str(error.value).endswith(sentence)


def test_a_missing_bucket_is_named(ceph_uri):
    store = open_store("s3://no-such-bucket/x")
    for question in (lambda: store.stat("key"), lambda: list(store.list("")), lambda: store.create("key", b"")):
        with pytest.raises(NotFound, match="there is no bucket 'no-such-bucket' at http"):
            question()


def test_a_certificate_that_is_not_trusted_is_one_sentence(ceph_https_bucket, monkeypatch):
    monkeypatch.delenv("AWS_CA_BUNDLE")
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Unreachable, match=r"its certificate was not accepted; set AWS_CA_BUNDLE"):
        open_store(f"s3://{ceph_https_bucket}").stat("key")

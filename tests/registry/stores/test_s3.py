"""What goes wrong between here and a bucket: lost and spoilt answers, and the sentence for each refusal."""

import hashlib
import random
import re

import pytest
from processes import wait_until

from tunewright.registry.errors import (
    AccessDenied,
    AddressError,
    CorruptObject,
    NotFound,
    RegistryError,
    Unreachable,
    UnsafeStore,
)
from tunewright.registry.stores.ranges import sha256_of_object
from tunewright.registry.stores.s3_client import connect
from tunewright.registry.stores.s3_upload import Upload, etag_of
from tunewright.registry.stores.store import open_store


def test_a_create_whose_answer_was_lost_says_true(faulty_uri, faults):
    fault = faults.inject("lose", "PUT", "versions/1")
    assert open_store(faulty_uri).create("versions/1", b"mine")
    assert fault.seen == 1
    # The write was committed, repeated by botocore, refused, and recognised as ours.
    assert [method for method, path in faults.requests if "versions/1" in path] == ["PUT", "PUT", "HEAD"]


def test_a_create_that_somebody_else_won_says_false_when_the_answer_was_lost(faulty_uri, faults):
    store = open_store(faulty_uri)
    assert store.create("versions/1", b"theirs")
    faults.inject("lose", "PUT", "versions/1")
    assert not store.create("versions/1", b"mine")
    assert store.read("versions/1") == b"theirs"


def test_a_create_survives_server_errors_longer_than_botocore_does(faulty_uri, faults):
    faults.inject("503 SlowDown", "PUT", "versions/1", times=5)
    assert open_store(faulty_uri).create("versions/1", b"mine")


def test_a_create_tries_again_while_another_conditional_write_is_under_way(faulty_uri, faults):
    fault = faults.inject("409 ConditionalRequestConflict", "PUT", "versions/1", times=2)
    assert open_store(faulty_uri).create("versions/1", b"mine")
    assert fault.seen == 2


def test_a_server_without_conditional_writes_is_refused(faulty_uri, faults):
    faults.inject("501 NotImplemented", "PUT", "versions/1")
    with pytest.raises(UnsafeStore, match=r"does not know conditional writes .* REGISTRY_SINGLE_WRITER=true"):
        open_store(faulty_uri).create("versions/1", b"mine")


def test_a_single_writer_sends_no_condition(faulty_uri, faults):
    store = open_store(faulty_uri, single_writer=True)
    assert store.create("versions/1", b"first")
    assert not store.create("versions/1", b"second")
    assert store.read("versions/1") == b"first"


@pytest.mark.parametrize("kind", ["cut", "lose", "503 SlowDown"])
def test_a_read_that_broke_off_is_repeated(faulty_uri, faults, kind):
    store = open_store(faulty_uri)
    store.create("object", b"x" * 100_000)
    fault = faults.inject(kind, "GET", "object", times=2)
    assert store.read("object") == b"x" * 100_000
    assert store.read_range("object", 10, 99_000, etag=store.stat("object").etag) == b"x" * 98_990
    assert fault.seen == 2


def test_a_read_that_always_breaks_off_is_given_up(faulty_uri, faults):
    store = open_store(faulty_uri)
    store.create("object", b"x" * 100_000)
    faults.inject("cut", "GET", "object", times=5)
    with pytest.raises(Unreachable, match=r"object at http.* could not be read whole in 5 attempts"):
        store.read("object")


def test_an_upload_in_parts_survives_server_errors(faulty_uri, faults, write):
    data = b"0123456789abcdef" * (3 * 1024 * 1024)
    faults.inject("503 SlowDown", "PUT", "blob", times=2)
    completion = faults.inject("lose", "POST", "uploadId=")
    store = open_store(faulty_uri)
    store.upload("blob", write("file", data), sha256=hashlib.sha256(data).hexdigest())
    assert store.stat("blob").size == len(data)
    assert completion.seen == 1


def test_folder_markers_of_consoles_are_not_listed(bucket):
    import boto3

    boto3.session.Session().client("s3").put_object(Bucket=bucket, Key="data/", Body=b"")
    store = open_store(f"s3://{bucket}")
    store.create("data/train.csv", b"x")
    assert [stat.key for stat in store.list("data/")] == ["data/train.csv"]


def test_a_missing_bucket_is_named_with_the_endpoint(s3):
    store = open_store("s3://no-such-bucket/x")
    questions = (lambda: store.read("k"), lambda: store.stat("k"), lambda: list(store.list("")))
    for question in (*questions, lambda: store.create("k", b"")):
        with pytest.raises(NotFound) as error:
            question()
        assert str(error.value).startswith(f"there is no bucket 'no-such-bucket' at {s3}; check the name")


def test_missing_credentials_are_one_sentence(s3_uri, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessDenied, match=r"no complete credentials for http://.* set AWS_ACCESS_KEY_ID and"):
        open_store(s3_uri).read("key")


def test_a_server_that_is_not_there_is_one_sentence(s3_uri, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with pytest.raises(Unreachable, match=r"nothing answers at http://127.0.0.1:1; check AWS_ENDPOINT_URL_S3"):
        open_store(s3_uri).read("key")


def test_the_profile_whose_endpoint_does_not_answer_is_named(tmp_path, monkeypatch):
    lines = ["[profile archive]", "endpoint_url = http://127.0.0.1:1", "region = eu-west-3"]
    lines += ["aws_access_key_id = their", "aws_secret_access_key = secret"]
    (tmp_path / "config").write_text("\n".join(lines))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(Unreachable, match=r"at http://127.0.0.1:1; check endpoint_url of the profile archive and"):
        open_store("s3://bucket/registry", profile="archive").read("absent")


def test_an_unknown_profile_is_one_sentence(s3_uri, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(AccessDenied, match=r"nobody.*check AWS_PROFILE"):
        open_store(s3_uri)


def test_the_region_of_either_variable_is_taken(s3_uri, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    assert connect().meta.region_name == "eu-west-3"
    monkeypatch.setenv("AWS_REGION", "eu-central-2")
    assert connect().meta.region_name == "eu-central-2"


def test_what_is_known_of_s3_is_read_once_for_all_clients(s3):
    one, other = (connect().meta.service_model for _ in range(2))
    assert one is not other
    assert one.metadata is other.metadata


@pytest.mark.parametrize("value", ["127.0.0.1:9000", "ftp://host", "http://"])
def test_an_impossible_endpoint_is_refused(s3_uri, monkeypatch, value):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", value)
    with pytest.raises(AddressError) as error:
        open_store(s3_uri)
    assert str(error.value) == (
        f"AWS_ENDPOINT_URL_S3={value!r} is not the address of an S3 server; expected http(s)://host:port"
    )


def test_a_password_in_the_endpoint_is_refused_and_not_repeated(s3_uri, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://user:hunter2@host:9000")
    with pytest.raises(AddressError, match="AWS_ENDPOINT_URL_S3 holds a user name or password") as error:
        open_store(s3_uri)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        ("403 InvalidAccessKeyId", AccessDenied, "the access key is not known there; check AWS_ACCESS_KEY_ID"),
        ("403 SignatureDoesNotMatch", AccessDenied, "the secret key is not the one of the access key"),
        ("403 AccessDenied", AccessDenied, "these credentials do not allow it"),
        ("400 ExpiredToken", AccessDenied, "the session token has expired; renew AWS_SESSION_TOKEN"),
        ("400 InvalidToken", AccessDenied, "the session token is not valid"),
        ("403 RequestTimeTooSkewed", AccessDenied, "the clock of this machine is wrong"),
        ("403 Weird", AccessDenied, "access denied (403); check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("400 AuthorizationHeaderMalformed", AddressError, "is in another region (m); set AWS_REGION"),
        ("400 Weird", RegistryError, "the server refused the request (400 Weird: m)"),
    ],
)
def test_each_refusal_is_one_sentence_that_names_the_object(faulty_uri, faults, answer, kind, sentence):
    store = open_store(faulty_uri)
    for method in ("HEAD", "GET", "GET", "PUT"):
        faults.inject(answer, method, "some/key", times=20)
    questions = (lambda: store.read("some/key"), lambda: store.stat("some/key"), lambda: store.create("some/key", b""))
    for question in questions:
        with pytest.raises(kind) as error:
            question()
        assert sentence in str(error.value)
        assert faulty_uri.split("/")[2] in str(error.value)


def test_a_server_that_keeps_failing_is_one_sentence(faulty_uri, faults):
    faults.inject("503 SlowDown", "HEAD", "key", times=99)
    with pytest.raises(Unreachable, match=r"key at http://.*: the server failed after every retry \(503"):
        open_store(faulty_uri).stat("key")


def test_a_damaged_answer_is_not_taken_for_a_small_one(faulty_uri, faults):
    store = open_store(faulty_uri)
    store.create("object", b"x" * 2000)
    with pytest.raises(CorruptObject, match=r"object at .* holds 2000 bytes, more than the 100 its kind may have"):
        store.read("object", limit=100)


@pytest.fixture
def large(monkeypatch, write):
    """A file of four parts, and the key that it has by its digest."""
    monkeypatch.setattr("tunewright.registry.stores.s3_upload.PART", 5 * 1024 * 1024)
    path = write("large", random.Random(1).randbytes(17 * 1024 * 1024))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return path, f"blobs/sha256/{sha256}", sha256


def parts_sent(faults):
    """The numbers of the parts that were sent since it was last asked."""
    sent = [re.search(r"partNumber=(\d+)", path) for method, path in faults.requests if method == "PUT"]
    faults.requests.clear()
    return sorted(int(one[1]) for one in sent if one)


def test_an_upload_that_broke_off_goes_on_with_the_parts_that_are_missing(faulty_uri, faults, large):
    path, key, sha256 = large
    fault = faults.inject("400 ExpiredToken", "PUT", "partNumber=3", times=99)
    with pytest.raises(AccessDenied):
        open_store(faulty_uri).upload(key, path, sha256=sha256)
    fault.times = 0
    parts_sent(faults)
    store = open_store(faulty_uri)
    assert len(list(store.leftovers(key))) == 1
    store.upload(key, path, sha256=sha256)
    assert set(parts_sent(faults)) <= {3, 4}
    assert list(store.leftovers(key)) == []
    assert sha256_of_object(store, store.stat(key)) == sha256
    assert store.stat(key).etag == etag_of(path)


def begin_an_upload(uri, key, body):
    """An upload in parts that another process has begun, and left."""
    client, (bucket, prefix) = connect(), uri.removeprefix("s3://").split("/")
    place = {"Bucket": bucket, "Key": f"{prefix}/{key}"}
    place["UploadId"] = client.create_multipart_upload(**place)["UploadId"]
    client.upload_part(**place, PartNumber=1, Body=body)
    return place


def test_parts_of_other_bytes_are_not_gone_on_with(faulty_uri, faults, large):
    path, key, sha256 = large
    begin_an_upload(faulty_uri, key, b"x" * 5 * 1024 * 1024)
    parts_sent(faults)
    store = open_store(faulty_uri)
    store.upload(key, path, sha256=sha256)
    assert parts_sent(faults) == [1, 2, 3, 4]
    assert sha256_of_object(store, store.stat(key)) == sha256
    assert len(list(store.leftovers(key))) == 1  # a collection removes it


@pytest.mark.parametrize(
    ("answer", "method", "path", "sent"),
    [
        ("403 AccessDenied", "GET", "?uploads", [1, 2, 3, 4]),
        ("501 NotImplemented", "GET", "uploadId=", [1, 2, 3, 4]),
        ("404 NoSuchUpload", "PUT", "partNumber=2", None),
    ],
)
def test_what_cannot_be_gone_on_with_is_sent_anew(faulty_uri, faults, large, answer, method, path, sent):
    file, key, sha256 = large
    begin_an_upload(faulty_uri, key, file.read_bytes()[: 5 * 1024 * 1024])
    parts_sent(faults)
    fault = faults.inject(answer, method, path)
    store = open_store(faulty_uri)
    store.upload(key, file, sha256=sha256)
    numbers = parts_sent(faults)
    assert fault.seen == 1
    assert numbers == sent or (sent is None and {1, 2, 3, 4} <= set(numbers))
    assert sha256_of_object(store, store.stat(key)) == sha256


def test_an_upload_that_another_process_has_ended_is_no_error(faulty_uri, faults, large, monkeypatch):
    file, key, sha256 = large
    other, begun = open_store(faulty_uri), []
    honest = Upload._part

    def part(self, upload, number, data):
        if number == 4 and not begun:
            begun.append(upload.upload_id)
            wait_until(lambda: len(self._parts_of(upload.upload_id)) == 3)  # or the other may begin one of its own
            other.upload(key, file, sha256=sha256)
            faults.inject("404 NoSuchUpload", "PUT", "partNumber=4")  # moto fails with 500 here
        return honest(self, upload, number, data)

    monkeypatch.setattr(Upload, "_part", part)
    store = open_store(faulty_uri)
    store.upload(key, file, sha256=sha256)
    assert sha256_of_object(store, store.stat(key)) == sha256
    assert list(store.leftovers(key)) == []

"""The contract of every store: folder, moto, and (where there is one) a Ceph gateway over http and https."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from tunewright.registry.errors import AddressError, Conflict, CorruptObject, NotFound
from tunewright.registry.stores.folder import FolderStore
from tunewright.registry.stores.store import open_store

LARGE = bytes(range(256)) * (160 * 1024)  # 40 MiB: sent in parts


def test_an_object_comes_back_as_it_was_written(store):
    assert store.create("a/b.json", b"\x00\xff bytes")
    assert store.read("a/b.json") == b"\x00\xff bytes"
    assert store.stat("a/b.json").size == 8


def test_an_empty_object_is_an_object(store, write):
    assert store.create("empty", b"")
    store.upload("empty-file", write("empty", b""))
    assert store.read("empty") == store.read("empty-file") == b""
    assert store.stat("empty").size == 0


def test_create_does_not_touch_what_is_there(store):
    assert store.create("key", b"first")
    assert not store.create("key", b"second")
    assert store.read("key") == b"first"


def test_create_has_one_winner_among_threads(store):
    with ThreadPoolExecutor(16) as pool:
        for round_number in range(5):
            key = f"race/{round_number}"
            bodies = [f"{round_number}-{number}".encode() for number in range(16)]
            won = list(pool.map(lambda body, key=key: store.create(key, body), bodies))
            assert won.count(True) == 1
            assert store.read(key) == bodies[won.index(True)]


def test_a_missing_object_is_not_found_and_named(store):
    for question in (
        lambda: store.read("no/such"),
        lambda: store.stat("no/such"),
        lambda: store.read_range("no/such", 0, 1, etag="x"),
    ):
        with pytest.raises(NotFound, match=r"there is no .*no/such"):
            question()
    assert not store.exists("no/such")


def test_exists_tells_objects_from_folders(store):
    store.create("a/b", b"x")
    assert store.exists("a/b")
    assert not store.exists("a")


def test_read_refuses_more_than_its_limit(store):
    store.create("big", b"x" * 1001)
    with pytest.raises(CorruptObject, match="1000"):
        store.read("big", limit=1000)


def test_list_is_recursive_sorted_and_exact(store):
    for key in ("v/2", "v/10", "v/1", "v/sub/3", "v-other", "w"):
        store.create(key, b"x")
    assert [stat.key for stat in store.list("v/")] == ["v/1", "v/10", "v/2", "v/sub/3"]
    assert [stat.key for stat in store.list("v")] == ["v-other", "v/1", "v/10", "v/2", "v/sub/3"]
    assert list(store.list("nothing/")) == []


def test_list_knows_size_and_etag(store):
    store.create("v/1", b"four")
    (stat,) = store.list("v/")
    assert stat == store.stat("v/1")


def test_list_sees_every_write_at_once(store):
    for number in range(30):
        store.create(f"seen/{number:02}", b"x")
        assert len(list(store.list("seen/"))) == number + 1


def test_keys_may_hold_spaces_quotes_and_any_script(store):
    keys = sorted(["data/my train file.csv", "data/größe 50%+1.csv", "data/评论'\"&.csv"], key=str.encode)
    for key in keys:
        assert store.create(key, key.encode())
    assert [stat.key for stat in store.list("data/")] == keys
    assert [store.read(key).decode() for key in keys] == keys


@pytest.mark.parametrize("key", ["../x", "a/../b", "a//b", "/a", "a/", "", "a/./b", "a\x00b", "a\nb", "\ud800"])
def test_keys_that_could_leave_the_store_are_refused(store, key):
    for use in (store.read, store.stat, store.exists, lambda k: store.create(k, b"x")):
        with pytest.raises(AddressError, match="the key"):
            use(key)


def test_a_bucket_of_others_is_read_whatever_slashes_its_keys_have(bucket):
    boto3.client("s3").put_object(Bucket=bucket, Key="a//b", Body=b"x")
    store = open_store(f"s3://{bucket}", foreign=True)
    assert [stat.key for stat in store.list("a/")] == ["a//b"]
    assert store.read("a//b") == b"x"
    for key in ("a//", "", "a//../b", "a//\n"):
        with pytest.raises(AddressError, match="the key"):
            store.stat(key)


def test_a_long_key_is_refused_with_its_length(store):
    with pytest.raises(AddressError, match="1100 bytes long; at most 1024"):
        store.stat("k" * 1100)


def test_a_file_is_uploaded_whole_in_parts(store, write):
    store.upload("blob", write("large", LARGE), sha256=hashlib.sha256(LARGE).hexdigest())
    stat = store.stat("blob")
    assert stat.size == len(LARGE)
    middle = store.read_range("blob", 1_000_003, 33_000_007, etag=stat.etag)
    assert middle == LARGE[1_000_003:33_000_007]


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "in parts"])
def test_a_file_that_changed_is_not_stored(store, write, data):
    with pytest.raises(Conflict, match="file changed while it was published"):
        store.upload("blob", write("file", data), sha256="0" * 64)
    assert not store.exists("blob")


def test_a_range_of_a_replaced_object_is_an_error(store, write):
    store.upload("blob", write("one", b"11111111"))
    etag = store.stat("blob").etag
    store.upload("blob", write("two", b"22222222"))
    with pytest.raises(Conflict, match=r"blob.* was replaced while it was read"):
        store.read_range("blob", 0, 4, etag=etag)


def test_what_is_deleted_is_gone_and_nothing_beside_it(store):
    for key in ("runs/one/a", "runs/one/b", "runs/one-more"):
        store.create(key, b"x")
    for _ in range(2):
        store.delete("runs/one/a")
    store.delete("runs/one/b/c")
    store.delete("never/there")
    assert [stat.key for stat in store.list("")] == ["runs/one-more", "runs/one/b"]
    assert store.create("runs/one/a", b"again")
    with pytest.raises(AddressError):
        store.delete("../runs")


def test_a_copy_is_the_same_bytes_in_place_of_what_was_there(store, write):
    store.upload("a/one", write("one", b"one"))
    store.create("b/two", b"two")
    store.copy("a/one", "b/two")
    store.copy("a/one", "c/three")
    store.delete("a/one")
    assert [store.read(key) for key in ("b/two", "c/three")] == [b"one", b"one"]
    with pytest.raises(NotFound, match=r"there is no .*a/one"):
        store.copy("a/one", "b/two")
    assert store.read("b/two") == b"one"
    assert list(store.leftovers("")) == []


def test_the_address_is_shown_without_secrets(store):
    assert store.uri.endswith("registry")
    assert "test" * 2 not in store.uri


def test_open_store_knows_folders_and_file_addresses(tmp_path):
    assert isinstance(open_store(str(tmp_path)), FolderStore)
    assert open_store(f"file://{tmp_path}/a%20b").uri == f"{tmp_path}/a b"


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("", "is empty; expected s3://bucket"),
        ("gs://bucket", "stores of the kind 'gs://' are not known; expected s3://bucket"),
        ("s3://", "'' is not the name of a bucket"),
        ("s3://a b/c", "'a b' is not the name of a bucket"),
        ("s3://bucket/a//b", "holds an empty part"),
        ("file://host/share", "does not name a folder on this machine"),
        ("file:///", "does not name a folder on this machine"),
    ],
)
def test_an_impossible_address_is_refused(s3, uri, sentence):
    with pytest.raises(AddressError) as error:
        open_store(uri)
    assert sentence in str(error.value)


def test_credentials_in_an_address_are_refused_and_not_repeated():
    with pytest.raises(AddressError, match="credentials do not belong into") as error:
        open_store("s3://AKIA:hunter2@bucket/x")
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "in parts"])
def test_what_an_object_holds_is_compared_with_a_file(store, write, data):
    file, sha256 = write("file", data), hashlib.sha256(data).hexdigest()
    assert not store.holds("blob", file, sha256=sha256)
    store.upload("blob", file)
    assert store.holds("blob", file, sha256=sha256)
    for other in (data[:-1] + b"!", data + b"!"):
        store.upload("blob", write("other", other))
        assert not store.holds("blob", file, sha256=sha256)

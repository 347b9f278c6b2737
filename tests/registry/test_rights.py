"""The policies of docs/guides/least-rights.md, given to users of a real S3 gateway."""

import hashlib
import json
import os
import re
import shutil
import subprocess

import boto3
import pytest
from fault_proxy import FaultProxy, Handler
from rights import GUIDE, policies

from tunewright.registry.errors import AccessDenied, UnsafeStore
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.notes import tag
from tunewright.registry.upkeep.sweep import collect
from tunewright.registry.upkeep.verify import verify
from tunewright.registry.versions.alias import current, move, remove, rollback
from tunewright.registry.versions.canary import begin
from tunewright.registry.versions.latest import unyank, yank
from tunewright.registry.versions.layout import deletion_key, move_key, version_key
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import pull
from tunewright.registry.versions.record import delete_version, read_version

ROLES = ("reader", "publisher", "promoter", "gatekeeper", "runner", "watcher", "collector")


def test_the_guide_has_a_policy_for_each_role_and_one_may_delete_in_a_registry():
    assert tuple(policies()) == ROLES
    statements = [one for policy in policies().values() for one in policy["Statement"]]
    actions = {action for one in statements for action in one["Action"]}
    listing = {"s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts"}
    assert actions == listing | {"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"}
    deleting = [place for one in statements if "s3:DeleteObject" in one["Action"] for place in one["Resource"]]
    assert deleting == [f"arn:aws:s3:::tunewright/{place}/*" for place in ("runs", "registry/blobs", "registry/gc")]


def refusal():
    """What the policy of a bucket that refuses to overwrite says."""
    text = GUIDE.read_text().partition("## A bucket that refuses to overwrite")[2]
    (statement,) = json.loads(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])["Statement"]
    return statement


class Refusing(Handler):
    """A server that denies what that policy does, in the way of AWS."""

    def do(self):
        places = [one.removeprefix("arn:aws:s3:::tunewright/").removesuffix("*") for one in refusal()["Resource"]]
        if self.command == "PUT" and any(place in self.path for place in places) and not self.headers["If-None-Match"]:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer(403, [], b"<Error><Code>AccessDenied</Code></Error>")
        else:
            super().do()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do


def test_every_record_is_written_as_a_bucket_asks_that_refuses_to_overwrite(s3_endpoint, s3_uri, bundle, monkeypatch):
    assert refusal()["Condition"] == {"Null": {"s3:if-none-match": "true"}}
    proxy = FaultProxy(s3_endpoint, Refusing)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
    store = open_store(s3_uri)
    first, second = (publish(store, "reviews", bundle, run_id=run) for run in ("one", "two"))
    for number in (1, 2):
        move(store, "reviews", "production", number)
    begin(store, "reviews", "production", 1, 10)
    rollback(store, "reviews", "production")
    remove(store, "reviews", "production")
    tag(store, first, "released")
    yank(store, first, "slow")
    unyank(store, first)
    delete_version(store, second)
    client, (bucket, prefix) = boto3.Session().client("s3"), s3_uri.removeprefix("s3://").split("/")
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.put_object(Bucket=bucket, Key=f"{prefix}/{version_key('reviews', 1)}", Body=b"another")
    proxy.close()


@pytest.fixture
def as_role(ceph_http_bucket, monkeypatch):
    """as_role("reader"): from here on the client is a user of the gateway with the rights of that role alone."""
    if not shutil.which("radosgw-admin"):
        pytest.skip("radosgw-admin is not installed")
    bucket, users, statements = ceph_http_bucket, {}, []
    for role, policy in policies().items():
        command = ["radosgw-admin", "user", "create", f"--uid={bucket}-{role}", f"--display-name={role}"]
        made = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout
        users[role] = json.loads(made)["keys"][0]
        for one in json.loads(json.dumps(policy).replace(":::tunewright", f":::{bucket}"))["Statement"]:
            statements.append(one | {"Principal": {"AWS": [f"arn:aws:iam:::user/{bucket}-{role}"]}})
    policy = {"Version": "2012-10-17", "Statement": statements}
    boto3.client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))

    def become(role):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", users[role]["access_key"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", users[role]["secret_key"])
        return open_store(f"s3://{bucket}/registry")

    return become


@pytest.mark.ceph
def test_each_role_can_do_its_work_and_no_more(as_role, bundle, tmp_path):
    store = as_role("publisher")
    assert [publish(store, "reviews", bundle, run_id=run).number for run in ("one", "two")] == [1, 2]
    with pytest.raises(AccessDenied):
        move(store, "reviews", "production", 1)

    store = as_role("promoter")
    move(store, "reviews", "production", 1)
    move(store, "reviews", "production", 2)
    assert rollback(store, "reviews", "production").number == 1
    assert begin(store, "reviews", "production", 2, 10).weights == {1: 90, 2: 10}
    assert tag(store, read_version(store, "reviews", 1), "released").tags == ("released",)
    with pytest.raises(AccessDenied):
        publish(store, "reviews", bundle, run_id="three")

    store = as_role("reader")
    assert current(store, "reviews", "production") == 1
    assert pull(store, "reviews@production", cache=tmp_path / "cache").version.number == 1
    with pytest.raises(AccessDenied):
        publish(store, "reviews", bundle, run_id="four")
    with pytest.raises(AccessDenied):
        move(store, "reviews", "production", 2)


@pytest.mark.ceph
def test_a_publisher_goes_on_with_an_upload_that_broke_off(as_role, ceph_http_bucket, write, monkeypatch):
    monkeypatch.setattr("tunewright.registry.stores.s3_upload.PART", part := 5 * 1024 * 1024)
    data = os.urandom(2 * part + 1)
    sha256 = hashlib.sha256(data).hexdigest()
    store, client = as_role("publisher"), boto3.Session().client("s3")
    place = {"Bucket": ceph_http_bucket, "Key": f"registry/blobs/sha256/{sha256}"}
    place["UploadId"] = client.create_multipart_upload(**place)["UploadId"]
    client.upload_part(**place, PartNumber=1, Body=data[:part])
    store.upload(f"blobs/sha256/{sha256}", write("large", data), sha256=sha256)
    assert client.list_multipart_uploads(Bucket=ceph_http_bucket).get("Uploads", []) == []
    assert store.stat(f"blobs/sha256/{sha256}").size == len(data)


@pytest.mark.ceph
@pytest.mark.parametrize(
    ("condition", "is_denied"),
    [({"Null": {"s3:if-none-match": "true"}}, True), ({"StringNotEquals": {"s3:if-none-match": "*"}}, False)],
)
def test_a_gateway_does_not_know_what_a_bucket_asks_that_refuses_to_overwrite(
    as_role, ceph_http_bucket, condition, is_denied
):
    owner = boto3.Session().client("s3")
    told = json.loads(owner.get_bucket_policy(Bucket=ceph_http_bucket)["Policy"])
    place = f"arn:aws:s3:::{ceph_http_bucket}/registry/models/*"
    deny = refusal() | {"Principal": {"AWS": "*"}, "Resource": [place], "Condition": condition}
    told["Statement"].append(deny)
    owner.put_bucket_policy(Bucket=ceph_http_bucket, Policy=json.dumps(told))
    store = as_role("publisher")
    if is_denied:
        with pytest.raises(AccessDenied):
            store.create(version_key("reviews", 1), b"x")
    else:
        assert store.create(version_key("reviews", 1), b"x")
        over = {"Bucket": ceph_http_bucket, "Key": f"registry/{version_key('reviews', 1)}", "Body": b"another"}
        boto3.Session().client("s3").put_object(**over)
        assert store.read(version_key("reviews", 1)) == b"another"


@pytest.mark.ceph
def test_a_bucket_with_versions_is_refused_where_it_overwrites_what_is_there(ceph_http_bucket, bundle):
    boto3.Session().client("s3").put_bucket_versioning(
        Bucket=ceph_http_bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    with pytest.raises(UnsafeStore, match="ignores conditional writes"):
        publish(open_store(f"s3://{ceph_http_bucket}/registry"), "reviews", bundle, run_id="one")


@pytest.mark.ceph
def test_a_runner_may_delete_in_its_own_prefix_alone(as_role, ceph_http_bucket):
    as_role("runner")
    runs, registry = (open_store(f"s3://{ceph_http_bucket}/{prefix}") for prefix in ("runs", "registry"))
    runs.create("one/begun", b"")
    runs.delete("one/begun")
    assert list(runs.list("")) == []
    with pytest.raises(AccessDenied):
        registry.create("blobs/x", b"")


@pytest.mark.ceph
def test_a_collector_removes_what_nothing_refers_to_and_no_record(as_role, bundle, ceph_http_bucket):
    store = as_role("publisher")
    first, second = (
        publish(store, "reviews", bundle | {"n": bundle[n]}, run_id=n) for n in ("model.json", "tokenizer.json")
    )
    delete_version(store, first)
    key = f"registry/blobs/sha256/{'a' * 64}"
    session = boto3.Session().client("s3")
    session.upload_part(
        Bucket=ceph_http_bucket, Key=key, PartNumber=1, Body=b"half",
        UploadId=session.create_multipart_upload(Bucket=ceph_http_bucket, Key=key)["UploadId"],
    )  # fmt: skip
    store = as_role("collector")
    done = collect(store, grace=-86400.0)
    assert (len(done.blobs), [one.size for one in done.leftovers]) == (2, [4])  # a manifest and its configuration
    assert verify(store, str(second)).problems == ()
    delete_version(store, second)
    for key in (version_key("reviews", 1), deletion_key("reviews", 1)):
        with pytest.raises(AccessDenied):
            store.delete(key)
    with pytest.raises(AccessDenied):
        store.create(move_key("reviews", "production", 1), b"x")


@pytest.mark.ceph
def test_nobody_but_the_owner_may_delete_and_a_collector_blobs(as_role, bundle, ceph_http_bucket):
    publish(as_role("publisher"), "reviews", bundle, run_id="one")
    for role in ROLES:
        as_role(role)
        # A session of its own: that of the module remembers the keys it was first asked with.
        client = boto3.Session().client("s3")
        for key in [one["Key"] for one in client.list_objects_v2(Bucket=ceph_http_bucket)["Contents"]]:
            if role == "collector" and key.startswith("registry/blobs/"):
                continue
            with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
                client.delete_object(Bucket=ceph_http_bucket, Key=key)

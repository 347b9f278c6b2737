"""The policies of docs/guides/least-rights.md, given to users of a real S3 gateway."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import boto3
import pytest

from tunewright.registry.errors import AccessDenied
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.notes import tag
from tunewright.registry.upkeep.sweep import collect
from tunewright.registry.upkeep.verify import verify
from tunewright.registry.versions.alias import current, move, rollback
from tunewright.registry.versions.canary import begin
from tunewright.registry.versions.layout import deletion_key, move_key, version_key
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import pull
from tunewright.registry.versions.record import delete_version, read_version

GUIDE = Path(__file__).parents[2] / "docs/guides/least-rights.md"
ROLES = ("reader", "publisher", "promoter", "runner", "collector")


def policies():
    """The role of each heading to the policy below it."""
    parts = re.split(r"^## (\w+)$", GUIDE.read_text(), flags=re.MULTILINE)[1:]
    return {
        name.lower(): json.loads(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def test_the_guide_has_a_policy_for_each_role_and_one_may_delete_in_a_registry():
    assert tuple(policies()) == ROLES
    statements = [one for policy in policies().values() for one in policy["Statement"]]
    actions = {action for one in statements for action in one["Action"]}
    listing = {"s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts"}
    assert actions == listing | {"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"}
    deleting = [place for one in statements if "s3:DeleteObject" in one["Action"] for place in one["Resource"]]
    assert deleting == [f"arn:aws:s3:::tunewright/{place}/*" for place in ("runs", "registry/blobs", "registry/gc")]


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

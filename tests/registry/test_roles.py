"""Every command of the registry under exactly the policy that the guide gives its role, on a server that refuses."""

import base64
import os
import re

import boto3
import pytest
from rights import GUIDE, Gate, policies, rights_of

from tunewright.registry.command_line import GROUP
from tunewright.registry.stores.store import open_store
from tunewright.registry.transfer.download import sha256_of
from tunewright.registry.upkeep.sweep import collect
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.layout import blob_key
from tunewright.registry.versions.publish import publish

ROLES = {
    "reader": (
        "list",
        "list reviews",
        "show reviews:1",
        "search --task text-classification",
        "history reviews@production",
        "diff reviews:1 reviews:2",
        "verify",
        "verify reviews@production",
        "pull reviews --to {new}",
        "export reviews:1 --kserve {new} --storage-uri pvc://models/reviews",
        "site {new}",
        "storage-initializer tunewright://reviews@production {new}",
        "copy reviews:1 --to {new}",
        "gates reviews@production",
        "canary reviews@production",
        "push reviews:1 oci://127.0.0.1:1/reviews",
    ),
    "publisher": (
        "repair reviews:1 --from {files}",
        "publish {more} --name churn --task tabular",
        "publish {large} --name churn",
        "copy reviews:1 --to {uri} --as other",
        "delete reviews:3",
    ),
    "promoter": (
        "promote reviews:2 production",
        "rollback reviews@production",
        "canary reviews@production reviews:2 10",
        "canary reviews@production --end",
        "promote reviews:2 staging",
        "unalias reviews@staging",
        "yank reviews:3 --why slow",
        "unyank reviews:3",
        "tag reviews:1 released",
        "untag reviews:1 released",
        "describe reviews:1 good",
        "sign reviews@production",
        "list reviews",
    ),
    "gatekeeper": ("gates reviews@production --set {bar}", "gates reviews@production --remove --why known"),
    "collector": ("stats", "gc", "gc --delete --grace 1d", "gc --delete --keep-last 1 --held-within 1d"),
}
PART = 5 * 1024 * 1024  # the least that a server takes
MODEL = b'{"task": "text-classification", "default_variant": "fp32", "variants": {"fp32": {}}}'
DENIED = "these credentials do not allow it; ask for the right "
IDLE = {"repair", "unyank", "list"}  # there is nothing to mend or to take back, and copies of records are a help alone
NOWHERE = {"cache", "completion"}
ELSEWHERE = "arn:aws:s3:::tunewright/data/*"  # a job reads its rows there
RARE = {
    "publisher": [("s3:AbortMultipartUpload", "arn:aws:s3:::tunewright/registry/blobs/*")],
    "collector": [("s3:PutObject", "arn:aws:s3:::tunewright/registry/blobs/*")],
}
"""Asked for where a file changes while it is sent, and where a collection puts back what somebody needs."""


def test_the_table_of_the_guide_names_the_role_of_every_command():
    rows = re.findall(r"^\| (\w+) \| (.*?) \|", GUIDE.read_text(), re.MULTILINE)
    said = {
        role: {one.split()[-1] for one in re.findall(r"`([a-z -]+)`", who)} & set(GROUP.commands) for role, who in rows
    }
    run = {role: {words.split()[0] for words in those} for role, those in ROLES.items()}
    run["promoter"].remove("list")  # there it leaves copies of records as well
    assert {role: those for role, those in said.items() if role in run} == run
    assert set(GROUP.commands) - set().union(*run.values()) == NOWHERE


class World:
    """A registry in a bucket, behind the gate, and what is needed to run commands on it."""

    def __init__(self, gate, run, tmp_path, places):
        self.gate, self._run, self._tmp, self.places, self._made = gate, run, tmp_path, places, 0

    def run(self, words):
        self._made += 1
        return self._run(*words.format(**self.places, new=self._tmp / f"new-{self._made}").split())

    def objects(self):
        """All there is, without asking whether it may be seen."""
        policy, self.gate.policy = self.gate.policy, None
        found = {stat.key: stat.etag for stat in open_store(self.places["uri"]).list("")}
        self.gate.policy = policy
        return found


@pytest.fixture
def world(s3_endpoint, s3_uri, bundle, write, run, tmp_path, monkeypatch):
    """Three versions of `reviews`, of which production holds the first."""
    gate = Gate(s3_endpoint, s3_uri.split("/")[2])
    for name, value in {
        "AWS_ENDPOINT_URL_S3": gate.url,
        "REGISTRY_URI": s3_uri,
        "REGISTRY_CACHE": str(tmp_path / "cache"),
        "REGISTRY_SIGNING_KEY": str(private_key(write)),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tunewright.registry.transfer.compacted.FEW", 0)
    monkeypatch.setattr("tunewright.registry.stores.s3_upload.PART", PART)
    write("bundle/model.json", MODEL)
    bundle["model.bin"] = write("bundle/model.bin", b"whole")
    store = open_store(s3_uri)
    for name in ("one", "two", "three"):
        publish(store, "reviews", bundle, run_id=name)
    move(store, "reviews", "production", 1)
    places = {
        "uri": s3_uri,
        "files": tmp_path / "bundle",
        "more": write("more/model.bin", b"another").parent,
        "large": write("large/model.bin", os.urandom(PART + 1)).parent,
        "bar": write("bar.yaml", b"max_mib: 1\n"),
    }
    yield World(gate, run, tmp_path, places)
    gate.close()


def private_key(write):
    der = base64.b64encode(bytes.fromhex("302e020100300506032b657004220420") + b"k" * 32).decode()
    return write("key.pem", f"-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n".encode())


def key_of(path):
    return f"registry/{blob_key(f'sha256:{sha256_of(path)}')}"


def leave(world, key, data):
    """Begin an upload in parts and go no further."""
    client, place = boto3.Session().client("s3"), {"Bucket": world.gate.bucket, "Key": key}
    upload = client.create_multipart_upload(**place)["UploadId"]
    client.upload_part(**place, UploadId=upload, PartNumber=1, Body=data)


def disturb(world, role):
    """What makes more rights necessary: a damaged blob and broken uploads."""
    large, damaged = (world.places[name] / "model.bin" for name in ("large", "files"))
    if role == "publisher":
        boto3.Session().client("s3").put_object(Bucket=world.gate.bucket, Key=key_of(damaged), Body=b"damaged")
        leave(world, key_of(large), large.read_bytes()[:PART])
    if role == "collector":
        leave(world, key_of(large), b"half")
        leave(world, f"registry/gc/trash/{'a' * 32}/{'b' * 64}", b"half")
        boto3.Session().client("s3").put_object(
            Bucket=world.gate.bucket,
            Key=f"registry/{blob_key('sha256:' + 'c' * 64)}",
            Body=b"x",
        )


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
def test_a_role_can_run_its_commands_with_its_policy_alone_and_needs_all_of_it(world, role):
    disturb(world, role)
    policy = world.gate.policy = policies()[role]
    for words in ROLES[role]:
        code, _, err = world.run(words)
        assert code == (1 if words.startswith("push") else 0), (words, err)
    if role == "collector":  # as if all was old
        collect(open_store(world.places["uri"]), grace=-86400.0)
    unused = rights_of(policy) - world.gate.used
    assert sorted(one for one in unused if one[1] != ELSEWHERE) == RARE.get(role, [])


@pytest.mark.slow
@pytest.mark.parametrize("role", [role for role in ROLES if role != "reader"])
def test_a_reader_who_writes_is_told_so_and_nothing_is_changed(world, role):
    before = world.objects()
    world.gate.policy = policies()["reader"]
    for words in ROLES[role]:
        code, out, err = world.run(words)
        if words.split()[0] in IDLE:
            assert (code, err) == (0, ""), words
        else:
            assert (code, out, err.count("\n")) == (2, "", 1), (words, err)
            assert re.search(f"{DENIED}|has nothing to go back to|nothing is tried", err), words
    assert world.objects() == before


@pytest.mark.slow
@pytest.mark.parametrize("action", ["s3:GetObject", "s3:ListBucket"])
def test_who_may_not_read_or_list_is_told_so_or_goes_without(world, action):
    before = world.objects()
    for role, those in ROLES.items():
        world.gate.policy = policies()[role]
        for one in world.gate.policy["Statement"]:
            one["Action"] = [right for right in one["Action"] if right != action]
        for words in those:
            world.gate.refused.clear()
            code, _, err = world.run(words)
            *warnings, last = err.splitlines() or [""]
            assert all(line.startswith("warning: ") for line in warnings), words
            if code == 2:
                assert re.fullmatch(f"error: s3://.*{DENIED}{action}", last), (words, last)
            elif not words.startswith("push"):  # the answer does not depend on what is refused
                assert (code, last.partition(":")[0] in ("", "warning")) == (0, True), (words, last)
    damaged = [key for key, etag in before.items() if world.objects().get(key) != etag]
    assert damaged == []

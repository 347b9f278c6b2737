"""Signatures of what an OCI registry holds, read back by us and verified by cosign."""

import base64
import json
import os
import subprocess
from functools import partial
from pathlib import Path

import pytest
from oci import policy_of, write_key

from tunewright.registry.oci.address import parse_oci
from tunewright.registry.oci.media_types import DOCKER_MANIFEST, IMAGE_CONFIG
from tunewright.registry.oci.remote import Remote
from tunewright.registry.versions.manifest import MEDIA_TYPE, digest_of

ROOT = Path(__file__).parents[3]
VERIFIERS = os.environ.get("TUNEWRIGHT_VERIFIERS")
"""The folder of cosign and of a skopeo that verifies its signatures."""


@pytest.fixture
def key(tmp_path):
    """key("ci"): a private key; ci.pem holds it, ci.pub.pem the public one."""
    return partial(write_key, tmp_path)


@pytest.fixture
def image(host, tmp_path):
    """image("1") pushes an image of no layers under a tag; its address."""

    def push(tag, media_type=MEDIA_TYPE, repository="tunewright-serving"):
        address = parse_oci(f"oci://{host}/{tmp_path.name.replace('_', '-')}/{repository}:{tag}")
        remote, config = Remote(address, actions="pull,push"), tmp_path / "config.json"
        config.write_text(json.dumps({"architecture": "amd64", "os": "linux", "tag": tag}))
        told = {"digest": digest_of(config.read_bytes()), "size": config.stat().st_size}
        remote.put_blob(told["digest"], config)
        kind = IMAGE_CONFIG if media_type == MEDIA_TYPE else "application/vnd.docker.container.image.v1+json"
        manifest = {"schemaVersion": 2, "mediaType": media_type, "config": {"mediaType": kind, **told}, "layers": []}
        remote.ask(
            "PUT",
            f"manifests/{tag}",
            headers={"Content-Type": media_type},
            body=json.dumps(manifest).encode(),
            known=(201,),
        )
        return str(address)

    return push


def signatures(signed):
    """What was signed, and with which signature."""
    address = parse_oci(signed)
    remote = Remote(address)
    layers = json.loads(remote.manifest(f"{address.digest.replace(':', '-')}.sig"))["layers"]
    payloads = [remote.ask("GET", f"blobs/{one['digest']}", known=(200,)).data for one in layers]
    made = [base64.b64decode(one["annotations"]["dev.cosignproject.cosign/signature"]) for one in layers]
    return list(zip(payloads, made, strict=True))


def by_cosign(address, name, folder):
    """cosign, which asks no log and nobody else."""
    words = ["verify", "--key", str(folder / f"{name}.pub.pem"), "--insecure-ignore-tlog", "--allow-insecure-registry"]
    return ["cosign", *words, address.removeprefix("oci://")]


def by_policy(address, name, folder):
    """A pull under a policy of containers/image, which podman and CRI-O read too."""
    place = address.removeprefix("oci://").rpartition(":")[0]
    policy = policy_of(place, folder / f"{name}.pub.pem")
    (folder / "policy.json").write_text(json.dumps(policy))
    (folder / "registries.d").mkdir(exist_ok=True)
    (folder / "registries.d/all.yaml").write_text("default-docker: {use-sigstore-attachments: true}\n")
    words = ["--policy", str(folder / "policy.json"), "--registries.d", str(folder / "registries.d"), "copy", "-q"]
    source = address.replace("oci://", "docker://")
    return ["skopeo", *words, "--src-tls-verify=false", source, f"dir:{folder / 'pulled'}"]


def is_believed(command, folder):
    program, *words = command
    if VERIFIERS is None:
        assert "TUNEWRIGHT_PART" not in os.environ, "CI has no cosign and no skopeo that verify"
        pytest.skip("TUNEWRIGHT_VERIFIERS names no folder: .ci/verifiers makes one")
    alone = {"HOME": str(folder), "HTTPS_PROXY": "127.0.0.1:1"}
    command = [str(Path(VERIFIERS) / program), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
    refusals = ("no signatures found", "no matching signatures", "no signature exists", "signature verification failed")
    assert done.returncode == 0 or any(one in done.stderr for one in refusals), done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("media_type", [MEDIA_TYPE, DOCKER_MANIFEST])
def test_an_image_is_signed_by_its_digest(run, key, image, tmp_path, media_type):
    signer, address = key("ci"), image("1", media_type)
    code, out, err = run("sign", address, "--key", str(tmp_path / "ci.pem"), "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    [signed] = told["signed"]
    assert signed.startswith(f"{address}@sha256:")
    assert told["signed_by"] == signer.public.id
    [(payload, signature)] = signatures(signed)
    assert signer.public.has_signed(payload, signature)
    place, digest = address.removeprefix("oci://").removesuffix(":1"), signed.partition("@")[2]
    assert json.loads(payload)["critical"] == {
        "identity": {"docker-reference": place},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }


def test_signatures_of_several_keys_stand_beside_each_other(run, key, image, tmp_path):
    signers, address = [key("ci"), key("release")], image("1")
    for name in ("ci", "release", "ci"):
        code, out, _ = run("sign", address, "--key", str(tmp_path / f"{name}.pem"))
        assert code == 0
    signed = out.strip().rpartition(": ")[2]
    made = signatures(signed)
    assert len(made) == 2
    assert all(any(one.public.has_signed(*both) for both in made) for one in signers)
    # By its digest, as a version is signed too that `push --image` has pushed.
    assert run("sign", signed, "--key", str(tmp_path / "ci.pem"))[0] == 0


@pytest.mark.parametrize("verify", [by_cosign, by_policy])
def test_the_key_that_has_signed_is_believed_and_no_other(run, key, image, tmp_path, verify):
    for name in ("ci", "other"):
        key(name)
    signed, unsigned = image("signed"), image("unsigned")
    assert run("sign", signed, "--key", str(tmp_path / "ci.pem"))[0] == 0
    assert is_believed(verify(signed, "ci", tmp_path), tmp_path)
    assert not is_believed(verify(signed, "other", tmp_path), tmp_path)
    assert not is_believed(verify(unsigned, "ci", tmp_path), tmp_path)
    # The tag is another image's now.
    image("signed", DOCKER_MANIFEST)
    assert not is_believed(verify(signed, "ci", tmp_path), tmp_path)


@pytest.mark.usefixtures("reviews")
@pytest.mark.parametrize("verify", [by_cosign, by_policy])
def test_a_version_that_was_pushed_as_an_image_is_believed_whatever_the_platform(run, key, host, tmp_path, verify):
    """A pull takes the image of one platform, and looks for the signature of that."""
    for name in ("ci", "other"):
        key(name)
    address = f"oci://{host}/{tmp_path.name.replace('_', '-')}/reviews:1"
    assert run("push", "reviews:1", address, "--image")[0] == 0
    assert not is_believed(verify(address, "ci", tmp_path), tmp_path)
    assert run("sign", address, "--key", str(tmp_path / "ci.pem"))[0] == 0
    assert is_believed(verify(address, "ci", tmp_path), tmp_path)
    assert not is_believed(verify(address, "other", tmp_path), tmp_path)


@pytest.mark.slow
def test_make_signs_the_images_that_were_pushed(key, image, tmp_path):
    signer, address = key("ci"), image("0.1.0")
    repository = address.removeprefix("oci://").rpartition("/")[0]
    words = ["sign-image", "IMAGES=serving", f"REPOSITORY={repository}", f"SIGNING_KEY={tmp_path / 'ci.pem'}"]
    done = subprocess.run(
        ["make", "-s", "-C", str(ROOT), *words, "BIN=.venv/bin"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    [(payload, signature)] = signatures(done.stdout.strip().rpartition(": ")[2])
    assert signer.public.has_signed(payload, signature)


@pytest.mark.parametrize(
    ("place", "words", "sentence"),
    [
        (
            "oci://h.example.com/r",
            [],
            "oci://h.example.com/r names no tag; expected oci://h.example.com/r:8, or a digest ",
        ),
        (
            "oci://h.example.com/r:1",
            ["--yank"],
            "--yank and --entry are about a registry of versions, and oci://h.example.com/r:1 is no part of one\n",
        ),
        (
            "docker://h.example.com/r:1",
            [],
            "'docker://h.example.com/r:1' is an address, not a reference; expected name, name:7, name@alias, "
            "name@sha256:..., models:/name/7 or models:/name@alias; an image is named as oci://host/repository:tag\n",
        ),
    ],
)
def test_what_cannot_be_signed_is_refused(run, key, tmp_path, place, words, sentence):
    key("ci")
    code, out, err = run("sign", place, "--key", str(tmp_path / "ci.pem"), *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {sentence}")


def test_an_image_that_is_not_there_is_named(run, key, image, tmp_path):
    key("ci")
    address = image("1").removesuffix("1") + "2"
    code, _, err = run("sign", address, "--key", str(tmp_path / "ci.pem"))
    assert code == 2
    assert err == f"error: {address} is not there: its registry knows no 2 of this repository\n"

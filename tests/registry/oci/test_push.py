"""Versions pushed to a real OCI registry and read back, by us and by the tools of others."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tunewright.registry.oci.address import parse_oci
from tunewright.registry.oci.remote import Remote
from tunewright.registry.versions.reference import resolve


@pytest.fixture
def address(host, tmp_path):
    """An empty repository of the registry."""
    return f"oci://{host}/models/{tmp_path.name.replace('_', '-')}"


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_a_version_keeps_its_digest_and_comes_back_whole(run, reviews, address, bundle, tmp_path):
    digest = resolve(reviews, "reviews:1").digest
    code, out, _ = run("push", "reviews:1", f"{address}:prod", "--json")
    told = json.loads(out)
    assert (code, told["address"]) == (0, f"{address}:prod@{digest}")
    assert told["bytes"] > sum(path.stat().st_size for path in bundle.values())  # and the configuration
    # By tag and by digest, in a machine that has no other registry.
    for place, folder in ((f"{address}:prod", "a"), (f"{address}@{digest}", "b")):
        code, out, _ = run("pull", place, "--to", str(tmp_path / folder), "--json")
        assert (code, json.loads(out)["digest"]) == (0, digest)
        assert contents(tmp_path / folder) == {path: file.read_bytes() for path, file in bundle.items()}


def test_what_is_there_is_not_sent_again(run, reviews, address):
    assert run("push", "reviews:1", address)[0] == 0  # without a tag it is the number
    code, out, _ = run("push", "reviews:1", f"{address}:again", "--json")
    assert (code, json.loads(out)["bytes"]) == (0, 0)
    assert Remote(parse_oci(address)).manifest("1") == Remote(parse_oci(address)).manifest("again")


def test_who_pushes_a_yanked_version_is_warned(run, reviews, address):
    run("yank", "reviews:1", "--why", "answers in the wrong language")
    code, _, err = run("push", "reviews:1", address)
    assert code == 0
    assert err.startswith("warning: reviews:1 is yanked by ")
    assert err.endswith(": answers in the wrong language\n")


def test_one_variant_is_pulled(run, reviews, address, tmp_path):
    run("push", "reviews:1", f"{address}:1")
    assert run("pull", f"{address}:1", "--to", str(tmp_path / "out"), "--variant", "int8")[0] == 0
    assert [path for path in contents(tmp_path / "out") if path.startswith("onnx/")] == ["onnx/int8/model.onnx"]
    code, _, err = run("pull", f"{address}:1", "--to", str(tmp_path / "out"), "--variant", "int4")
    assert (code, err) == (2, f"error: {address}:1 has no variant 'int4'; it has fp32, int8\n")


def test_skopeo_reads_the_same_digest(run, reviews, address, tmp_path):
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not here (apt-get install skopeo)")
    run("push", "reviews:1", f"{address}:1")
    source = address.replace("oci://", "docker://") + ":1"
    command = ["skopeo", "copy", "-q", "--src-tls-verify=false", source, f"dir:{tmp_path / 'copied'}"]
    subprocess.run(command, check=True)
    digest = resolve(reviews, "reviews:1").digest
    assert json.loads((tmp_path / "copied/manifest.json").read_text())["artifactType"].startswith(
        "application/vnd.cncf"
    )
    shown = ["skopeo", "manifest-digest", str(tmp_path / "copied/manifest.json")]
    assert subprocess.run(shown, check=True, capture_output=True, text=True).stdout.strip() == digest


@pytest.mark.parametrize(
    ("place", "code", "sentence"),
    [
        ("{address}:nothing", 2, "{address}:nothing is not there: its registry knows no nothing of this repository"),
        ("{address}", 2, "{address} names no tag; expected {address}:8, or a digest behind an @"),
        ("oci://127.0.0.1:1/x:1", 1, "no usable answer from 127.0.0.1:1 (NewConnectionError); check the address"),
        ("oci://ada:secret@registry.example.com/x:1", 2, "credentials do not belong into an oci:// address"),
        ("oci://registry.example.com/Models:1", 2, "'Models' is not the name of a repository"),
        ("oci://registry.example.com/x:-1", 2, "'-1' is not a tag"),
        ("oci://registry.example.com/x@sha256:1", 2, "'sha256:1' is not a digest"),
        ("oci://127.0.0.1:99999/x:1", 2, "'oci://127.0.0.1:99999/x:1' names no registry; expected oci://host/"),
        ("oci://models/x:1", 2, "'oci://models/x:1' names no registry; expected oci://host/repository:tag"),
    ],
)
def test_a_place_that_cannot_be_read_is_one_sentence(run, reviews, address, tmp_path, place, code, sentence):
    found, out, err = run("pull", place.format(address=address), "--to", str(tmp_path / "out"))
    assert (found, out) == (code, "")
    assert err.startswith(f"error: {sentence.format(address=address)}")
    assert err.count("\n") == 1
    assert "secret" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("{address}@sha256:" + "0" * 64,), "{address}@sha256:" + "0" * 64 + " names a digest, which is what a push"),
        (("registry.example.com/x:1",), "'registry.example.com/x:1' does not begin with oci://"),
        (("{address}", "--variant", "int8"), "--variant is given without --image"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_sentence(run, reviews, address, words, sentence):
    code, _, err = run("push", "reviews:1", *(word.format(address=address) for word in words))
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"error: {sentence.format(address=address)}")


def test_answers_that_are_lost_cut_or_refused_for_a_while_are_asked_again(run, reviews, faulty_host, bundle, tmp_path):
    address = f"oci://{faulty_host.url.removeprefix('http://')}/models/{tmp_path.name.replace('_', '-')}:1"
    faults = [
        faulty_host.inject("lose", "POST"),
        faulty_host.inject("lose", "PUT", "uploads"),
        faulty_host.inject("503 UNAVAILABLE", "PUT", "manifests"),
        faulty_host.inject("cut", "GET", "blobs", times=2),
        faulty_host.inject("flip", "GET", "blobs"),
    ]
    assert run("push", "reviews:1", address)[0] == 0
    assert run("pull", address, "--to", str(tmp_path / "out"))[0] == 0
    assert contents(tmp_path / "out") == {path: file.read_bytes() for path, file in bundle.items()}
    assert [fault.times for fault in faults] == [0] * 5


def test_a_registry_that_stays_away_is_told(run, reviews, faulty_host, monkeypatch):
    monkeypatch.setattr("urllib3.Retry.get_backoff_time", lambda _: 0)
    faulty_host.inject("503 UNAVAILABLE", "POST", times=100)
    host = faulty_host.url.removeprefix("http://")
    code, _, err = run("push", "reviews:1", f"oci://{host}/models/away:1")
    assert (code, err) == (1, f"error: {host} answered POST /v2/models/away/blobs/uploads/ with 503\n")

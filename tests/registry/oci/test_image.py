"""A version as an image without a program."""

import io
import json
import tarfile

import pytest

from tunewright.registry.oci.address import parse_oci
from tunewright.registry.oci.remote import Remote
from tunewright.registry.upkeep.update import read_record
from tunewright.registry.versions.manifest import digest_of
from tunewright.registry.versions.pull import read_manifest
from tunewright.registry.versions.reference import resolve


@pytest.fixture
def pushed(run, reviews, host, tmp_path):
    """pushed("tag", *words): the address of an image of `reviews:1`, and what the command told."""

    def push(tag, *words):
        address = f"oci://{host}/images/{tmp_path.name.replace('_', '-')}:{tag}"
        code, out, err = run("push", "reviews:1", address, "--image", "--json", *words)
        assert (code, err) == (0, "")
        return parse_oci(address), json.loads(out)

    return push


def document(remote, digest):
    return json.loads(remote.manifest(digest))


def files_in(address, manifest):
    """What a mount of the image shows: path -> (content, mode)."""
    remote, found = Remote(address), {}
    for layer in manifest["layers"]:
        data = remote.ask("GET", f"blobs/{layer['digest']}", known=(200,)).data
        assert (digest_of(data), len(data)) == (layer["digest"], layer["size"])
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for entry in archive:
                assert (entry.uid, entry.gid, entry.mtime) == (0, 0, 0)
                if entry.isfile():
                    found[entry.name] = (archive.extractfile(entry).read(), entry.mode)
                else:
                    assert (entry.isdir(), entry.mode) == (True, 0o755)
    return found


def test_the_files_are_under_models_for_both_architectures(pushed, bundle):
    address, told = pushed("all")
    remote = Remote(address)
    index = document(remote, "all")
    assert told["address"] == f"{address}@{digest_of(remote.manifest('all'))}"
    assert [one["platform"]["architecture"] for one in index["manifests"]] == ["amd64", "arm64"]
    for one in index["manifests"]:
        manifest = document(remote, one["digest"])
        found = files_in(address, manifest)
        record, _ = found.pop("models/.tunewright-pull.json")
        assert found == {f"models/{path}": (file.read_bytes(), 0o644) for path, file in bundle.items()}
        assert set(json.loads(record)["files"]) == set(bundle)
        config = json.loads(remote.ask("GET", f"blobs/{manifest['config']['digest']}", known=(200,)).data)
        assert config["architecture"] == one["platform"]["architecture"]
        assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]


def test_the_same_files_are_the_same_image(pushed):
    first, second = pushed("first")[1], pushed("second")[1]
    assert (first["address"].partition("@")[2], second["bytes"]) == (second["address"].partition("@")[2], 0)


def test_one_variant_is_enough_to_serve(pushed, bundle):
    address, _ = pushed("int8", "--variant", "int8")
    remote = Remote(address)
    found = files_in(address, document(remote, document(remote, "int8")["manifests"][0]["digest"]))
    assert set(found) == {f"models/{path}" for path in [*bundle, ".tunewright-pull.json"] if "fp32" not in path}
    assert json.loads(found["models/.tunewright-pull.json"][0])["variant"] == "int8"


def test_a_server_tells_which_version_an_image_holds(pushed, reviews, tmp_path):
    address, _ = pushed("record", "--variant", "int8")
    remote = Remote(address)
    found = files_in(address, document(remote, document(remote, "record")["manifests"][0]["digest"]))
    for path, (content, _) in found.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    record = read_record(tmp_path / "models")
    manifest = read_manifest(reviews, version := resolve(reviews, "reviews:1"))
    assert (record.name, record.number, record.digest) == ("reviews", 1, version.digest)
    assert record.files == {layer.path: [layer.digest] for layer in manifest.layers if "fp32" not in layer.path}


def test_an_image_is_not_pulled_as_a_version(pushed, run, tmp_path):
    address, _ = pushed("image")
    code, _, err = run("pull", str(address), "--to", str(tmp_path / "out"))
    assert (code, err) == (
        2,
        f"error: {address} is an image, to be mounted or copied from; what can be pulled was pushed without --image\n",
    )

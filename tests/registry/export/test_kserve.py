"""A version as KServe serves it. That the server takes the folder: tests/serving/bundle/test_folder.py."""

import json

import pytest
import yaml

from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.update import read_record

FILES = [
    "kserve.yaml",
    "model/.tunewright-pull.json",
    "model/model.json",
    "model/onnx/int8/model.onnx",
    "model/tokenizer.json",
]
URI = ("--storage-uri", "pvc://models/reviews/model")


def test_a_folder_holds_what_answers_and_the_objects_that_run_it(run, make_version, tmp_path):
    made = make_version()
    place = tmp_path / "kserve"
    code, out, err = run("export", "reviews", "--kserve", str(place), *URI, "--image", "ghcr.io/us/serving:1", "--json")
    assert (code, err, json.loads(out)["files"]) == (0, "", FILES)
    runtime, service = yaml.safe_load_all((place / "kserve.yaml").read_text())
    (container,) = runtime["spec"]["containers"]
    assert (container["name"], container["image"]) == ("kserve-container", "ghcr.io/us/serving:1")
    assert container["args"] == ["serve", "{{.Name}}=/mnt/models"]
    assert runtime["spec"]["supportedModelFormats"] == [{"name": "tunewright", "version": "1", "autoSelect": True}]
    assert service["spec"]["predictor"]["model"] == {
        "modelFormat": {"name": "tunewright"},
        "runtime": runtime["metadata"]["name"],
        "protocolVersion": "v2",
        "storageUri": URI[1],
    }
    assert service["metadata"]["annotations"]["tunewright.org/digest"] == made.digest
    # After its journey each file is compared with its digest.
    assert set(read_record(place / "model").files) == {path.removeprefix("model/") for path in FILES[2:]}


def test_a_bucket_holds_the_same_and_is_safe_to_repeat(run, make_version, bucket):
    make_version()
    place = f"s3://{bucket}/kserve/reviews"
    told = json.loads(run("export", "reviews", "--kserve", place, "--json")[1])
    assert (told["files"], told["place"]) == (FILES, place)
    store = open_store(place)
    assert [stat.key for stat in store.list("")] == FILES
    assert store.read("model/onnx/int8/model.onnx") == b"the graph of int8"
    service = list(yaml.safe_load_all(store.read("kserve.yaml")))[1]
    assert service["spec"]["predictor"]["model"]["storageUri"] == f"{place}/model"
    assert run("export", "reviews", "--kserve", place)[0] == 0
    make_version()
    said = f"error: {place} holds another export already; choose a prefix that is new or empty\n"
    assert run("export", "reviews:2", "--kserve", place) == (2, "", said)
    store.create("model/notes.txt", b"mine")
    said = f"error: {place} holds model/notes.txt already; choose a prefix that is new or empty\n"
    assert run("export", "reviews", "--kserve", place) == (2, "", said)


def test_a_registry_keeps_its_bucket_to_itself(run, make_version, s3_uri, monkeypatch):
    made = open_store(f"{s3_uri}/of/us")
    monkeypatch.setenv("REGISTRY_URI", made.uri)
    for place, word in ((f"{made.uri}/kserve/", "lies in"), (made.uri, "lies in"), (s3_uri, "has in it")):
        said = f"{place} {word} the registry {made.uri}, which keeps objects of its own; choose another prefix"
        assert run("export", "reviews", "--kserve", place) == (2, "", f"error: {said}\n")
    beside = run("export", "reviews", "--kserve", f"{s3_uri}/of/us-too")
    assert "keeps objects" not in beside[2]
    assert list(made.list("")) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--kserve", "made", "--storage-uri", "not a uri"),
            "--storage-uri is 'not a uri'; expected an address without blanks, as in pvc://models/reviews",
        ),
        (
            ("--kserve", "made", *URI, "--image", "a b"),
            "--image is 'a b'; expected the name of an image without blanks, as in registry.example.com/tunewright:1",
        ),
        (
            ("--kserve", "made"),
            "no cluster reaches the folder made; say where its model/ will lie, as in --storage-uri "
            "pvc://models/reviews, or export to s3://bucket/prefix",
        ),
        (("--kserve", "gs://models", *URI), "--kserve: 'gs://models' is an address; expected a folder of this machine, "
         "or s3://bucket/prefix"),
        (("--hf", "made", "--image", "serving"), "--image has no effect without --kserve"),
        (("--mlflow", "made", *URI), "--storage-uri has no effect without --kserve"),
    ],
)  # fmt: skip
def test_what_no_cluster_could_serve_is_refused(run, make_version, monkeypatch, tmp_path, words, sentence):
    make_version()
    monkeypatch.chdir(tmp_path)
    assert run("export", "reviews", *words) == (2, "", f"error: {sentence}\n")
    assert not (tmp_path / "made").is_dir() or list((tmp_path / "made").iterdir()) != []


def test_a_version_of_another_framework_is_refused(run, make_version, tmp_path):
    make_version(without=("model.json",))
    said = (
        "error: reviews:1 carries no model.json with a variant to serve: it was not made by a job of this program, and "
        "its server cannot answer with it\n"
    )
    assert run("export", "reviews", "--kserve", str(tmp_path / "kserve"), *URI) == (2, "", said)


def test_a_service_is_called_as_the_dns_allows(run, make_version, tmp_path):
    make_version(name="my_reviews.v2")
    run("export", "my_reviews.v2", "--kserve", str(tmp_path / "kserve"), *URI)
    service = list(yaml.safe_load_all((tmp_path / "kserve/kserve.yaml").read_text()))[1]
    assert service["metadata"]["name"] == "my-reviews-v2"
    assert "tunewright.org/version: my_reviews.v2:1" in (tmp_path / "kserve/kserve.yaml").read_text()

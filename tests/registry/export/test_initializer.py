"""What KServe asks of a storage initializer: `<address> <folder>`, and the server starts on what it wrote.

That the server takes such a folder: tests/serving/bundle/test_folder.py; in the image: tests/test_containers.py.
"""

import hashlib
import json

import pytest

from tunewright.registry.export.folder import files_in
from tunewright.registry.export.initializer import read_address
from tunewright.registry.program import main
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.update import read_record
from tunewright.registry.versions.layout import blob_key

ANSWERING = [".tunewright-pull.json", "model.json", "onnx/int8/model.onnx", "tokenizer.json"]


@pytest.fixture
def initialize(run, tmp_path):
    """initialize("s3://..."): as KServe says it; the exit code, what was told, and the folder."""

    def say(uri):
        code, out, err = run("storage-initializer", uri, str(tmp_path / "mnt/models"), "--json")
        return code, json.loads(out) if out else err, tmp_path / "mnt/models"

    return say


def test_a_version_is_the_files_that_answer_and_the_record_of_a_pull(initialize, make_version):
    made = make_version()
    for uri in ("tunewright://reviews@latest", "tunewright://reviews:1", "tunewright://reviews"):
        code, told, folder = initialize(uri)
        assert (code, told["what"], told["files"]) == (0, "reviews:1", 3)
        assert list(files_in(folder)) == ANSWERING
        record = read_record(folder)
        assert (record.name, record.number, record.digest) == ("reviews", 1, made.digest)
        assert sorted(record.files) == ANSWERING[1:]


def test_a_variant_can_be_asked_for(initialize, make_version):
    make_version()
    _, _, folder = initialize("tunewright://reviews@latest?variant=fp32")
    assert "onnx/fp32/model.onnx" in files_in(folder)
    assert "onnx/int8/model.onnx" not in files_in(folder)
    assert list(files_in(initialize("tunewright://reviews")[2])) == ANSWERING


def test_a_pod_that_is_started_again_has_the_version_of_today_and_nothing_of_yesterday(initialize, make_version):
    make_version(files={"labels.txt": "of the first"})
    initialize("tunewright://reviews")
    make_version(files={"tokenizer.json": '{"of": "the second"}'})
    code, told, folder = initialize("tunewright://reviews")
    assert (code, told["what"]) == (0, "reviews:2")
    assert list(files_in(folder)) == ANSWERING
    assert (folder / "tokenizer.json").read_text() == '{"of": "the second"}'
    assert read_record(folder).number == 2


def test_a_run_that_was_cut_off_is_gone_on_with_though_the_alias_has_moved(initialize, make_version, tmp_path):
    make_version(files={"labels.txt": "of the first"})
    cut = f"sha256:{hashlib.sha256(b'the graph of int8').hexdigest()}"
    blob = tmp_path / "registry" / blob_key(cut)
    data = blob.read_bytes()
    blob.unlink()
    code, _, folder = initialize("tunewright://reviews")
    assert (code, (folder / "model.json").exists()) == (2, False)
    blob.write_bytes(data)
    made = make_version(files={"tokenizer.json": '{"of": "the second"}'})
    assert initialize("tunewright://reviews")[0] == 0
    assert list(files_in(folder)) == ANSWERING
    assert read_record(folder).digest == made.digest


def test_a_folder_with_a_file_of_somebody_else_is_left_as_it_is(initialize, make_version, tmp_path):
    make_version()
    folder = tmp_path / "mnt/models"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("mine")
    code, said, _ = initialize("tunewright://reviews")
    assert (code, list(files_in(folder))) == (2, ["model.json"])
    assert said == f"error: {folder}/model.json is there already, and not as reviews:1 has it; choose an empty folder\n"


def test_a_version_of_another_framework_comes_whole(initialize, make_version):
    make_version(without=("model.json",), files={"forest.joblib": "trees"})
    code, told, folder = initialize("tunewright://reviews")
    assert (code, told["files"]) == (0, 9)
    assert (folder / "forest.joblib").read_text() == "trees"


def test_an_export_in_a_bucket_is_checked_against_its_record(initialize, run, make_version, s3_uri):
    make_version()
    assert run("export", "reviews", "--kserve", f"{s3_uri}/served")[0] == 0
    code, told, folder = initialize(f"{s3_uri}/served/model")
    assert (code, told["what"]) == (0, f"{s3_uri}/served/model (reviews:1)")
    assert list(files_in(folder)) == ANSWERING
    assert initialize(f"{s3_uri}/served/model")[0] == 0
    (folder / "tokenizer.json").unlink()
    store = open_store(f"{s3_uri}/served/model")
    store.delete("tokenizer.json")
    store.create("tokenizer.json", b"[]")
    code, sentence, _ = initialize(f"{s3_uri}/served/model")
    assert code == 1
    assert "tokenizer.json" in sentence
    assert not (folder / "tokenizer.json").exists()


def test_any_prefix_of_a_bucket_comes_as_it_is(initialize, s3_uri):
    store = open_store(f"{s3_uri}/plain")
    store.create("model.pkl", b"trees")
    store.create("more/of.txt", b"it")
    code, told, folder = initialize(f"{s3_uri}/plain")
    assert (code, told["what"], told["size"]) == (0, f"{s3_uri}/plain", 7)
    assert list(files_in(folder)) == ["model.pkl", "more/of.txt"]


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        (
            "gs://models/reviews",
            "'gs://models/reviews' is no address of a model; expected tunewright://reviews@production, "
            "tunewright://reviews:7?variant=int8 or s3://bucket/prefix",
        ),
        ("tunewright://reviews?variant=fp16", "reviews:1 has no variant 'fp16'; it has fp32, int8"),
    ],
)
def test_what_is_no_model_is_refused(initialize, make_version, uri, sentence):
    make_version()
    code, said, folder = initialize(uri)
    assert (code, said) == (2, f"error: {sentence}\n")
    assert not folder.exists()


def test_a_prefix_without_objects_is_refused(initialize, s3_uri):
    code, said, _ = initialize(f"{s3_uri}/nothing")
    assert code != 0
    assert (
        said == f"error: {s3_uri}/nothing holds no object; expected the prefix below which the files of a model lie\n"
    )


def test_its_help_tells_the_addresses_that_it_takes(capsys):
    with pytest.raises(SystemExit):
        main(["storage-initializer", "--help"])
    said = capsys.readouterr().out
    assert "models:/" not in said
    named = [line.split()[0] for line in said.partition("addresses:\n")[2].partition("\n\n")[0].splitlines()]
    assert [address for address in named if read_address(address.replace("...", "a" * 64)) is None] == [named[-1]]


def test_an_address_is_read():
    asked = read_address("tunewright://reviews@sha256:abc?variant=int8")
    assert (asked.reference, asked.variant) == ("reviews@sha256:abc", "int8")
    assert read_address("s3://models/reviews") is None

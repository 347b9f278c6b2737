"""A version as a folder for transformers and optimum. That they open it: tests/job/tasks/test_optimum.py."""

import json

import pytest

from tunewright.registry.export.hub import TASKS

FILES = [
    "README.md",
    "config.json",
    "model.safetensors",
    "onnx/model.onnx",
    "onnx/model_quantized.onnx",
    "tokenizer.json",
    "tokenizer_config.json",
]


def paths(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_weights_and_graphs_stand_where_those_programs_look(run, make_version, tmp_path):
    made = make_version()
    code, out, err = run("export", "reviews", "--hf", str(tmp_path / "hf"))
    assert (code, err) == (0, "")
    assert out.startswith(f"reviews:1 is exported: 7 files, in {tmp_path / 'hf'}\nnote: the server cleans texts first")
    assert paths(tmp_path / "hf") == FILES
    assert (tmp_path / "hf/onnx/model_quantized.onnx").read_text() == "the graph of int8"
    config = json.loads((tmp_path / "hf/config.json").read_text())
    assert config["problem_type"] == "single_label_classification"
    assert config["architectures"] == ["BertForSequenceClassification"]
    # As long as what was learned and is served.
    assert json.loads((tmp_path / "hf/tokenizer_config.json").read_text())["model_max_length"] == 64
    card = (tmp_path / "hf/README.md").read_text()
    assert card.startswith("---\nlibrary_name: onnx\n---\n\n# reviews\n\n## Open this folder\n")
    for part in (
        f"`reviews:1` ({made.digest})",
        'pipeline("text-classification", model="this/folder")',
        'ORTModelForSequenceClassification.from_pretrained("this/folder", subfolder="onnx", file_name="model.onnx")',
        "- the server cleans texts first (nfc), these programs take them as they come",
        "- the server divides logits by 1.5 before they become scores, these programs do not",
    ):
        assert part in card
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_weights_that_no_class_of_transformers_reads_stay_out(run, make_version, tmp_path):
    make_version(architecture="MeanPooledClassifier")
    told = json.loads(run("export", "reviews:1", "--hf", str(tmp_path / "hf"), "--json")[1])
    assert "model.safetensors" not in told["files"]
    assert told["remarks"][0].startswith("the pooling of this model is of Tunewright, and no class of transformers")
    assert "architectures" not in json.loads((tmp_path / "hf/config.json").read_text())
    assert "transformers import" not in (tmp_path / "hf/README.md").read_text()


def test_a_graph_keeps_the_file_that_it_names(run, make_version, tmp_path):
    more = {f"onnx/{name}/model.onnx_data": name for name in ("fp32", "int8")}
    make_version(files=more, task="text-generation", problem="text", labels=[], thresholds=None)
    run("export", "reviews", "--hf", str(tmp_path / "hf"))
    graphs = ["onnx/int8/model.onnx", "onnx/int8/model.onnx_data", "onnx/model.onnx", "onnx/model.onnx_data"]
    assert [path for path in paths(tmp_path / "hf") if path.startswith("onnx/")] == graphs
    assert (tmp_path / "hf/onnx/int8/model.onnx_data").read_text() == "int8"
    assert 'subfolder="onnx/int8", file_name="model.onnx"' in (tmp_path / "hf/README.md").read_text()


def test_vectors_of_tokens_are_told_to_be_pooled(run, make_version, tmp_path):
    make_version(task="feature-extraction", problem="frozen", labels=[])
    told = json.loads(run("export", "reviews", "--hf", str(tmp_path / "hf"), "--json")[1])
    assert told["remarks"][1].startswith("transformers gives a vector for each token; that of a text is their mean")


def test_a_graph_of_which_optimum_knows_no_class_stays_out(run, make_version, tmp_path):
    make_version(task="translation", problem="text", labels=[])
    told = json.loads(run("export", "reviews", "--hf", str(tmp_path / "hf"), "--json")[1])
    assert not [path for path in told["files"] if path.startswith("onnx/")]
    assert "optimum knows no graph of this shape" in told["remarks"][0]
    assert "AutoModelForSeq2SeqLM.from_pretrained" in (tmp_path / "hf/README.md").read_text()


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (
            {"task": "image-text-classification"},
            "reviews:1 is of the task image-text-classification, which neither transformers nor optimum opens; "
            f"expected one of {', '.join(sorted(TASKS))}",
        ),
        (
            {"without": ("model.json",)},
            "reviews:1 carries no model.json with weights/config.json: it was imported as an ONNX graph, or not "
            "made by a job of this program, and its files are whatever its publisher has put there (tunewright pull)",
        ),
        (
            {"task": "translation", "without": ("weights/model.safetensors",)},
            "reviews:1 has neither weights nor a graph that transformers or optimum could open",
        ),
    ],
)
def test_what_cannot_be_opened_is_refused_and_leaves_nothing(run, make_version, tmp_path, made, sentence):
    make_version(**made)
    there = set(tmp_path.iterdir())
    code, out, err = run("export", "reviews", "--hf", str(tmp_path / "hf"))
    assert (code, out, err) == (2, "", f"error: {sentence}\n")
    assert set(tmp_path.iterdir()) - there <= {tmp_path / "cache"}


def test_files_that_are_there_are_not_touched(run, make_version, tmp_path, write):
    make_version()
    theirs = write("theirs/notes.txt", b"mine")
    for place, said in ((theirs.parent, "holds files already; choose a folder that is new or empty"),
                        (theirs, "is a file; expected a folder, new or empty")):  # fmt: skip
        assert run("export", "reviews", "--hf", str(place)) == (2, "", f"error: {place} {said}\n")
    assert theirs.read_bytes() == b"mine"
    inside = tmp_path / "registry/hf"
    assert "lies in the registry" in run("export", "reviews", "--hf", str(inside))[2]

"""A folder with an ONNX graph and no weights: imported as the graph is, or refused in a sentence."""

import json

import numpy as np
import onnx
import pytest
from transformers import PreTrainedTokenizerFast

from tunewright.job import program
from tunewright.job.commands.imports.graph import check_graph, given_graph, model_files
from tunewright.job.errors import BaseModelError
from tunewright.job.export.given import GivenGraph
from tunewright.job.model.base_model import fetch_base_model
from tunewright.job.model.find import find
from tunewright.registry.errors import BadReference
from tunewright.registry.export.hub import export_hub
from tunewright.registry.stores.store import open_store
from tunewright.registry.transfer.download import sha256_of
from tunewright.registry.versions.reference import resolve
from tunewright.serving.bundle.model_file import read_model_file
from tunewright.serving.golden import replay
from tunewright.serving.onnx_runtime import ort
from tunewright.serving.predictor import open_predictor

LABELS = ["without", "other", "with"]
TAGS = ["O", "B-THING", "I-THING"]
TEXTS = ["This product is amazing!", "I hate this product!", "Why does it leak after 2 days?", "ok"]


@pytest.fixture
def refused(registry):
    """refused(folder, task) is what is said of a graph that cannot be imported."""

    def said(folder, task="text-classification", labels=LABELS):
        with pytest.raises(BaseModelError) as caught:
            base = fetch_base_model(str(folder), registry, held=model_files)
            check_graph(base, task, labels)
        return str(caught.value).replace(str(folder), "GRAPH")

    return said


def logits(path, texts):
    """What ONNX Runtime makes of the very graph, a text at a time, with the tokenizer of transformers."""
    session, tokenizer = ort.InferenceSession(str(path)), PreTrainedTokenizerFast.from_pretrained(path.parents[1])
    rows = [tokenizer(text, return_tensors="np") for text in texts]
    return np.stack(
        [session.run(None, {one.name: row[one.name] for one in session.get_inputs()})[0][0] for row in rows]
    )


@pytest.mark.usefixtures("own_signals")
def test_a_graph_answers_as_onnx_runtime_answers_on_it(imported, pulled, make_graph, registry, tmp_path):
    given = make_graph(LABELS, place="onnx/model.onnx")
    code, said = imported(given, "single", "--alias", "production", "--gate.beat_baseline", "false")
    assert (code, said) == (0, "")
    folder = pulled("tiny@production")
    assert (folder / "onnx/fp32/model.onnx").read_bytes() == (given / "onnx/model.onnx").read_bytes()
    assert not (folder / "weights").exists()
    predictor = open_predictor(folder, variant="fp32")
    assert predictor.model.labels == LABELS
    expected = logits(given / "onnx/model.onnx", TEXTS)
    assert np.abs(np.stack(predictor.outputs(TEXTS)) - expected).max() < 1e-5
    assert replay(predictor) == 8
    predictor.close()
    rounded = open_predictor(folder, variant="int8")
    assert 0 < np.abs(np.stack(rounded.outputs(TEXTS)) - expected).max() < 0.1
    rounded.close()
    files = json.loads((folder / "lineage.json").read_text())["imported"]["files"]
    assert files["onnx/model.onnx"] == sha256_of(given / "onnx/model.onnx")
    with pytest.raises(BaseModelError) as caught:
        find("models:/tiny@production", registry)
    assert str(caught.value) == (
        "base model 'models:/tiny@production': tiny:1 carries no weights: it was imported as an ONNX graph, or "
        "published as files of others; name the model that it was made of"
    )
    store = open_store(registry.uri)
    with pytest.raises(
        BadReference, match=r"tiny:1 carries no model\.json with weights/config\.json: it was imported as"
    ):
        export_hub(store, resolve(store, "tiny"), tmp_path / "hub", cache=registry.cache)


@pytest.mark.slow
@pytest.mark.usefixtures("own_signals")
def test_a_graph_of_tags_is_measured_word_by_word(make_graph, pulled, registry, tmp_path, monkeypatch):
    monkeypatch.setenv("REGISTRY_URI", registry.uri)
    monkeypatch.setenv("REGISTRY_CACHE", str(registry.cache))
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(json.dumps({"tokens": ["it", word, "."], "tags": TAGS}) + "\n" for word in TEXTS[1].split())
    )
    given = {"task": "token-classification", "model_name": "tags", "data.test": rows, "output": tmp_path / "runs"}
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    assert program.main(["import", str(make_graph(TAGS, per_token=True)), *words]) == 0
    model = read_model_file(pulled("tags"))
    assert (model.labels, sorted(model.variants)) == (TAGS, ["fp32", "int8"])


@pytest.mark.slow
@pytest.mark.usefixtures("own_signals")
def test_a_graph_that_reads_padding_is_not_registered(imported, make_graph):
    folder = make_graph(LABELS)
    edit(folder, read_padding)
    code, said = imported(folder, "single")
    assert code != 0
    assert "the fp32 ONNX file differs from the graph that was given, row by row, by up to" in said


@pytest.mark.parametrize("damaged", [False, True])
def test_a_graph_without_an_int8_form_is_told(make_graph, tmp_path, capsys, damaged):
    folder = make_graph(LABELS)
    edit(folder, hide_table)
    given = GivenGraph(folder / "model.onnx")
    if damaged:
        (folder / "model.onnx").write_bytes(b"damaged meanwhile")
    assert not given.write_int8(tmp_path / "onnx/int8/model.onnx")
    assert not (tmp_path / "onnx/int8").exists()
    reason = "Error parsing" if damaged else "it would hardly be smaller, with so few constant matrices in products"
    assert f"the graph has no int8 form, and is served as it is: {reason}" in capsys.readouterr().out


def test_weights_beside_a_graph_are_what_is_imported(make_base, fetch):
    folder = make_base("bert")
    (folder / "model.onnx").write_bytes(b"no graph")
    assert model_files(folder, "GRAPH") == ["model.safetensors"]
    assert given_graph(fetch(folder)) is None


def test_a_graph_cannot_be_taught(make_graph, fetch):
    folder = make_graph(LABELS)
    with pytest.raises(BaseModelError) as caught:
        fetch(folder)
    assert str(caught.value) == (
        f"base model {str(folder)!r} is an ONNX graph without model.safetensors, and a graph cannot be taught; name "
        "the weights that it was made of, or register it as it is with `tunewright import`"
    )


def test_a_graph_that_does_not_fit_is_refused_in_a_sentence(make_graph, refused):
    about = "base model 'GRAPH' is an ONNX graph without weights"
    good = make_graph(LABELS)
    assert refused(good, "question-answering") == (
        f"{about}, of which question-answering cannot be imported; expected one of text-classification, "
        "token-classification, or the weights that it was made of (model.safetensors)"
    )
    assert refused(good, "token-classification") == (
        f"{about} and answers each text, which token-classification does not; name the task that it was taught"
    )
    assert refused(good, labels=["a", "b"]) == (
        f"{about} and gives 3 logits, but config.json names 2 labels (id2label): they do not belong together"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"batch": 1},
            "the graph does not take 3 rows of 7 tokens ([ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid "
            "dimensions for input: ",
        ),
        (
            {"output": "scores"},
            "the graph gives scores (tensor(float)); expected logits (tensor(float)) and nothing else",
        ),
        (
            {"kind": np.float16},
            "model.onnx holds weights of float16, and a version begins with those of float32, of which int8 is made; "
            "export it anew without an optimization of its weights",
        ),
    ],
)
def test_a_graph_of_another_form_is_refused_in_a_sentence(make_graph, refused, changes, said):
    assert refused(make_graph(LABELS, **changes)).startswith(f"base model 'GRAPH': {said}")


def edit(folder, change):
    """Change the graph of a folder."""
    model = onnx.load(folder / "model.onnx")
    change(model.graph)
    onnx.save(model, folder / "model.onnx")


def read_padding(graph):
    """Let the graph take padding for words."""
    graph.node[2].input[0] = "all"
    graph.node.insert(2, onnx.helper.make_node("Equal", ["input_ids", "input_ids"], ["all"]))


def hide_table(graph):
    """Let no product or look-up of the graph have a constant matrix that is worth it."""
    graph.node[0].input[0] = "hidden table"
    graph.node.insert(0, onnx.helper.make_node("Identity", ["table"], ["hidden table"]))


def outside(graph, location="../secret"):
    """Let the first weights of a graph lie elsewhere."""
    table = graph.initializer[0]
    table.ClearField("raw_data")
    table.data_location = onnx.TensorProto.EXTERNAL
    table.external_data.add(key="location", value=location)


def test_weights_outside_the_folder_are_refused(make_graph, refused, tmp_path):
    folder = make_graph(LABELS)
    edit(folder, outside)
    assert refused(folder) == (
        "base model 'GRAPH': model.onnx names weights in '../secret', which is not a file beside it"
    )
    beside = make_graph(LABELS)
    edit(beside, lambda graph: outside(graph, "model.onnx_data"))
    assert refused(beside) == "base model 'GRAPH': model.onnx_data is not there, or is not a plain file"
    (tmp_path / "secret").write_bytes(b"1")
    (beside / "model.onnx_data").symlink_to(tmp_path / "secret")
    assert refused(beside) == (
        "base model 'GRAPH': model.onnx_data is a link to a file outside the folder; put the file there"
    )


def test_what_is_no_graph_or_runs_code_of_others_is_refused(make_graph, refused):
    folder = make_graph(LABELS)
    edit(folder, lambda graph: setattr(graph.node[0], "domain", "of.others"))
    assert "No opset import for domain 'of.others'" in refused(folder)
    (folder / "model.onnx").write_bytes(b"\xff" * 64)
    assert refused(folder).startswith("base model 'GRAPH': model.onnx is no ONNX graph: ")

"""A folder with an ONNX graph and no weights: imported as the graph is, or refused in a sentence."""

import json

import numpy as np
import onnx
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tunewright.job.commands.imports.graph import check_graph, model_files, with_graph
from tunewright.job.commands.imports.settings import ImportSettings
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

    def said(folder, task="text-classification", labels=LABELS, **options):
        settings = asked(folder, task, options)
        with pytest.raises(BaseModelError) as caught:
            base = with_graph(fetch_base_model(str(folder), registry, held=model_files), settings)
            check_graph(base, task, labels)
        return str(caught.value).replace(str(folder), "GRAPH")

    return said


def asked(folder, task, options):
    """The settings of an import."""
    data = {"test": "test.csv"}
    return ImportSettings(base_model=str(folder), model_name="tiny", data=data, task=task, options=options)


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
def test_a_graph_of_tags_is_measured_word_by_word(run_import, make_graph, pulled, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(json.dumps({"tokens": ["it", word, "."], "tags": TAGS}) + "\n" for word in TEXTS[1].split())
    )
    given = {"task": "token-classification", "model_name": "tags", "data.test": rows}
    assert run_import(make_graph(TAGS, per_token=True), given)[0] == 0
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
    assert with_graph(fetch(folder), asked(folder, "text-classification", {})).graph is None


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
    assert refused(good, "summarization") == (
        f"{about}, of which summarization cannot be imported; expected one of text-classification, text-regression, "
        "token-classification, question-answering, feature-extraction, or the weights that it was made of "
        "(model.safetensors)"
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


OF_TOKENS = {"last_hidden_state": "vectors", "pooler_output": "pooled"}
OF_TEXTS = {"token_embeddings": "vectors", "sentence_embedding": "product"}
ENDS = {"start_logits": "of first", "end_logits": "of second"}


def raw(path, texts):
    """What ONNX Runtime gives of the very graph, a text at a time: name of an output -> array."""
    session, tokenizer = ort.InferenceSession(str(path)), PreTrainedTokenizerFast.from_pretrained(path.parent)
    names = [one.name for one in session.get_outputs()]
    for text in texts:
        row = tokenizer(text, return_tensors="np")
        given = {one.name: row[one.name] for one in session.get_inputs()}
        yield {name: found[0] for name, found in zip(names, session.run(None, given), strict=True)}


def pooled_by(folder, **flags):
    """Say in a folder what its vectors were taught with, as sentence-transformers does."""
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps({f"pooling_mode_{name}": flags[name] for name in flags}))


@pytest.mark.parametrize(
    ("gives", "flags", "options", "expected"),
    [
        (OF_TOKENS, {}, {}, lambda given: given["last_hidden_state"].mean(0)),
        (OF_TOKENS, {"cls_token": True, "mean_tokens": False}, {}, lambda given: given["last_hidden_state"][0]),
        (OF_TOKENS, {"cls_token": True}, {"pooling": "mean"}, lambda given: given["last_hidden_state"].mean(0)),
        (OF_TEXTS, {}, {}, lambda given: given["sentence_embedding"]),
        (OF_TEXTS, {}, {"pooling": "cls"}, lambda given: given["token_embeddings"][0]),
    ],
    ids=["mean", "said to be cls", "asked for", "its own", "of its tokens"],
)
def test_a_graph_gives_the_vector_that_its_model_was_taught(make_graph, registry, gives, flags, options, expected):
    """Also of a text that is beside a longer one."""
    folder = make_graph(LABELS, gives=gives)
    pooled_by(folder, **flags)
    fetched = fetch_base_model(str(folder), registry, held=model_files)
    base = with_graph(fetched, asked(folder, "feature-extraction", options))
    wanted = np.stack([expected(given) for given in raw(folder / "model.onnx", TEXTS)])
    rows = PreTrainedTokenizerFast.from_pretrained(folder)(TEXTS, return_tensors="np", padding=True)
    graph = GivenGraph(base.graph)
    found = graph(**{name: torch.from_numpy(rows[name]) for name in graph.inputs})["logits"]
    assert np.abs(found.numpy() - wanted).max() < 1e-5


def test_a_graph_without_a_vector_that_is_known_is_refused(make_graph, refused):
    task, labels = "feature-extraction", []
    scores = make_graph(LABELS)
    said = "base model 'GRAPH': the graph gives logits; expected last_hidden_state or token_embeddings"
    assert refused(scores, task, labels) == said
    maximum = make_graph(LABELS, gives=OF_TOKENS)
    pooled_by(maximum, max_tokens=True)
    assert "was pretrained with the pooling 'max', which is not supported" in refused(maximum, task, labels)
    dense = make_graph(LABELS, gives=OF_TOKENS)
    kinds = [{"type": f"sentence_transformers.models.{kind}"} for kind in ("Transformer", "Pooling", "Dense")]
    (dense / "modules.json").write_text(json.dumps(kinds))
    assert "has a module 'Dense' (modules.json), which is not supported" in refused(dense, task, labels)
    said = "base model 'GRAPH': the graph gives logits; expected start_logits and end_logits"
    assert refused(scores, "question-answering", labels) == said


@pytest.mark.slow
@pytest.mark.usefixtures("own_signals")
@pytest.mark.parametrize(("gives", "output"), [(OF_TOKENS, "last_hidden_state"), (OF_TEXTS, "sentence_embedding")])
def test_a_graph_of_vectors_is_served_as_it_answers_alone(run_import, make_graph, pulled, tmp_path, gives, output):
    folder = make_graph(LABELS, gives=gives)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": f"{text} {number}"}) + "\n" for number, text in enumerate(5 * TEXTS)))
    given = {"task": "feature-extraction", "model_name": "vectors", "data.test": rows, "data.columns.text": "text"}
    assert run_import(folder, given) == (0, "")
    predictor = open_predictor(pulled("vectors"), variant="fp32")
    assert predictor.model.options["dimensions"] == (32 if output == "last_hidden_state" else len(LABELS))
    found = [np.array(one) for one in predictor.predict(TEXTS, {"normalize": False})]
    predictor.close()
    for vector, raw_one in zip(found, raw(folder / "model.onnx", TEXTS), strict=True):
        own = raw_one[output]
        assert np.abs(vector - (own.mean(0) if own.ndim == 2 else own)).max() < 1e-5


@pytest.mark.slow
@pytest.mark.usefixtures("own_signals")
def test_a_graph_of_answers_is_measured_by_its_passages(run_import, make_graph, pulled, tmp_path):
    folder, rows = make_graph(["start", "end"], per_token=True, gives=ENDS), tmp_path / "rows.jsonl"
    answer = {"text": ["product"], "answer_start": [TEXTS[0].index("product")]}
    row = {"question": TEXTS[2], "context": TEXTS[0], "answers": answer}
    rows.write_text("".join(json.dumps(row | {"question": f"{one} why?"}) + "\n" for one in range(20)))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertForQuestionAnswering"]}))
    given = {"task": "question-answering", "model_name": "answers", "data.test": rows}
    code, said = run_import(folder, given, "--gate.beat_baseline", "false")
    assert (code, said) == (0, "")
    assert sorted(read_model_file(pulled("answers")).variants) == ["fp32", "int8"]


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

"""Programs of others, tried in a child: what is good is good once and for all, what is not is a sentence."""

import json
import shutil

import onnx
import pytest
from onnx import TensorProto, helper
from tokenizers import Tokenizer

from serving import trial
from serving.errors import BundleError
from serving.trial import Bounds, try_bundle, try_template, try_tokenizer

SHORT = Bounds(cpu_seconds=3, memory=768 << 20)
DIGEST = "sha256:" + "7" * 64


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch):
    monkeypatch.setattr(trial, "_KNOWN", {})


@pytest.fixture
def spoilt(reviews, tmp_path):
    """spoilt(normalizer=...): the path of a good tokenizer.json with other parts."""

    def make(**parts):
        content = json.loads((reviews / "tokenizer.json").read_text()) | parts
        (tmp_path / "tokenizer.json").write_text(json.dumps(content))
        return tmp_path / "tokenizer.json"

    return make


def replace(pattern, content="x"):
    return {"type": "Replace", "pattern": pattern, "content": content}


def sequence(parts):
    return {"type": "Sequence", "normalizers": parts}


def test_a_good_tokenizer_tells_its_largest_ids(reviews):
    largest, kind = try_tokenizer(reviews / "tokenizer.json")
    assert 0 < largest < Tokenizer.from_file(str(reviews / "tokenizer.json")).get_vocab_size()
    assert kind in (0, 1)


BAD_TOKENIZERS = {
    "zero width": {"normalizer": sequence([replace({"Regex": "(?=.)"})] * 22)},
    "empty pattern": {"normalizer": sequence([replace({"String": ""})] * 24)},
    "byte level": {"normalizer": sequence([{"type": "ByteLevel"}] * 24)},
    "three rules": {"normalizer": sequence([replace({"String": "a"}, "a" * 150)] * 3)},
    "slow pattern": {"normalizer": replace({"Regex": "(a+a+)+b"})},
    "no model": {"model": {"type": "WordPiece"}},
    "nothing": {"model": None},
}


@pytest.mark.parametrize("name", BAD_TOKENIZERS)
def test_a_tokenizer_that_grows_hangs_or_panics_is_a_sentence(name, spoilt):
    path = spoilt(**BAD_TOKENIZERS[name])
    with pytest.raises(BundleError) as caught:
        try_tokenizer(path, bounds=SHORT)
    assert str(caught.value).startswith(f"the tokenizer {path} ")
    assert len(str(caught.value)) < 800


def test_ids_that_only_the_post_processor_makes_are_seen(spoilt):
    path = spoilt(post_processor={"type": "BertProcessing", "sep": ["[SEP]", 999_999], "cls": ["[CLS]", 2]})
    assert try_tokenizer(path)[0] == 999_999


BAD_TEMPLATES = {
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "ljust": "{{ 'x'.ljust(2000000000)|length }}",
    "format": "{{ '%02000000000d' % 1 }}",
    "centre": "{{ 'x'|center(3000000000) }}",
    "doubling": "{% set n = namespace(t='xx') %}{% for i in range(40) %}{% set n.t = n.t ~ n.t %}{% endfor %}{{ n.t }}",
    "growth": "{% for i in range(99999) %}aaaa{% endfor %}",
    "brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
}


@pytest.mark.parametrize("name", BAD_TEMPLATES)
def test_a_template_that_does_not_end_or_grows_is_a_sentence(name):
    with pytest.raises(BundleError, match=r"^the chat template "):
        try_template(BAD_TEMPLATES[name], {}, bounds=SHORT)


@pytest.mark.parametrize(
    "source",
    ["{{ messages[0].content }}", "{{ raise_exception('system first') }}", "{% macro f() %}{{ f() }}{% endmacro %}x"],
)
def test_a_template_that_ends_is_good_also_where_it_refuses(source):
    try_template(source, {"eos_token": "</s>"}, bounds=SHORT)


def test_a_template_that_calls_itself_refuses_its_messages():
    # What it refuses is told to the caller, request by request.
    try_template("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", {}, bounds=SHORT)


@pytest.fixture
def bundle(reviews, tmp_path):
    """A copy of a good bundle, to be spoilt."""
    return shutil.copytree(reviews, tmp_path / "bundle")


def refusal(folder, tmp_path):
    with pytest.raises(BundleError) as caught:
        try_bundle(folder, "fp32", digest=DIGEST, cache=tmp_path / "cache", bounds=SHORT)
    assert not (tmp_path / "cache").exists()
    return str(caught.value)


def test_a_good_version_is_tried_once(bundle, tmp_path):
    cases = try_bundle(bundle, "fp32", digest=DIGEST, cache=tmp_path / "cache")
    assert cases == 6
    (bundle / "onnx/fp32/model.onnx").write_bytes(b"nothing is run any more")
    assert try_bundle(bundle, "fp32", digest=DIGEST, cache=tmp_path / "cache") == cases
    with pytest.raises(BundleError):
        try_bundle(bundle, "fp32", digest="sha256:" + "8" * 64, cache=tmp_path / "cache")


def test_a_cache_that_cannot_be_written_costs_only_time(bundle, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert try_bundle(bundle, "fp32", digest=DIGEST, cache=tmp_path / "cache") == 6


@pytest.mark.parametrize("name", ["zero width", "three rules", "byte level"])
def test_the_tokenizer_of_a_version_is_tried_with_more_than_its_own_cases(bundle, tmp_path, name):
    path = bundle / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | BAD_TOKENIZERS[name]))
    refusal(bundle, tmp_path)


def test_a_version_without_golden_cases_is_refused(bundle, edit_model, tmp_path):
    edit_model(bundle, golden=[])
    assert "holds no golden case of the variant fp32" in refusal(bundle, tmp_path)


@pytest.mark.parametrize("tolerance", [1e308, 1e9, 50.0])
def test_a_tolerance_that_compares_nothing_is_refused(bundle, edit_model, tmp_path, tolerance):
    model = json.loads((bundle / "model.json").read_text())
    model["variants"]["fp32"]["golden_tolerance"] = tolerance
    edit_model(bundle, variants=model["variants"])
    assert "beyond every number that was recorded" in refusal(bundle, tmp_path)


@pytest.mark.parametrize("changes", [{"max_length": 10**30}, {"padding": {"id": 10**30}}, {"padding": {"id": 10**9}}])
def test_numbers_of_no_model_are_refused(bundle, edit_model, tmp_path, changes):
    edit_model(bundle, **changes)
    assert "model.json cannot be used: " in refusal(bundle, tmp_path)


def test_an_endless_graph_is_a_sentence(make_bundle, recipe, edit_model, reviews, tmp_path):
    endless = shutil.copytree(make_bundle(recipe(endless_on="great")), tmp_path / "endless")
    edit_model(endless, golden=json.loads((reviews / "model.json").read_text())["golden"])
    assert "did not come to an end within 3 s of processor time" in refusal(endless, tmp_path)


def test_a_graph_that_unfolds_into_gigabytes_is_a_sentence(bundle, tmp_path):
    path = bundle / "onnx/fp32/model.onnx"
    graph = onnx.load(path).graph
    shape = helper.make_tensor("shape", TensorProto.INT64, [1], [1_000_000_000])
    node = helper.make_node
    added = [
        node("Constant", [], ["shape"], value=shape),
        node("ConstantOfShape", ["shape"], ["large"]),
        node("ReduceSum", ["large"], ["sum"], keepdims=0),
        node("Add", [graph.output[0].name, "sum"], ["more"]),
    ]
    graph.node.extend(added)
    graph.output[0].name = "more"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    assert "memory" in refusal(bundle, tmp_path) or "allocate" in refusal(bundle, tmp_path)


def test_a_graph_that_reads_beyond_its_table_is_a_sentence(bundle, edit_model, tmp_path):
    edit_model(bundle, padding={"id": 9_999_999})
    refusal(bundle, tmp_path)

"""Programs of others, tried in a child: what is good is good once and for all, what is not is a sentence."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

from tunewright.serving.errors import BundleError
from tunewright.serving.text import tokenizer_file
from tunewright.serving.trial import child, parent, verdicts
from tunewright.serving.trial import tokenizer as judging
from tunewright.serving.trial.bounds import Bounds
from tunewright.serving.trial.trials import try_bundle, try_template, try_tokenizer

SHORT = Bounds(cpu_seconds=3, memory=768 << 20)
SHORTEST = Bounds(cpu_seconds=1, memory=768 << 20)
"""For what never ends."""
DIGEST = "sha256:" + "7" * 64


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch):
    monkeypatch.setattr(verdicts, "_KNOWN", {})


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


def test_a_good_tokenizer_tells_what_it_makes(reviews, tmp_path):
    made = try_tokenizer(reviews / "tokenizer.json", cache=tmp_path)
    assert 0 < made.largest_id < Tokenizer.from_file(str(reviews / "tokenizer.json")).get_vocab_size()
    assert made.largest_type in (0, 1)
    assert made.added == 3


BAD_TOKENIZERS = {
    "slow pattern": {"normalizer": replace({"Regex": "(a+a+)+b"})},
    "slow decoder": {
        "model": {
            "type": "WordLevel",
            "vocab": {"[UNK]": 0, "[SEP]": 1, "[CLS]": 2, "a" * 60: 3},
            "unk_token": "[UNK]",
        },
        "decoder": replace({"Regex": "(a+a+)+b"}),
    },
    "no model": {"model": {"type": "WordPiece"}},
}
NOT_ALLOWED = {
    "zero width": {"normalizer": sequence([replace({"Regex": "(?=.)"})] * 22)},
    "three rules": {"normalizer": sequence([replace({"String": "☃"}, "☃" * 150)] * 3)},
    "three rules of a decoder": {
        "decoder": {"type": "Sequence", "decoders": [replace({"String": "a"}, "a" * 150)] * 3}
    },
    "byte level": {"normalizer": sequence([{"type": "ByteLevel"}] * 24)},
    "nothing": {"model": None, "normalizer": {"type": "Custom"}},
}


@pytest.mark.parametrize("name", BAD_TOKENIZERS)
def test_a_tokenizer_that_hangs_or_panics_is_a_sentence(name, spoilt, tmp_path):
    path = spoilt(**BAD_TOKENIZERS[name])
    with pytest.raises(BundleError) as caught:
        try_tokenizer(path, cache=tmp_path / "cache", bounds=SHORT)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 800
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", NOT_ALLOWED)
def test_a_tokenizer_is_held_against_the_rules_before_it_is_run(name, spoilt, tmp_path):
    with pytest.raises(BundleError, match=r"tokenizer.json (has|\(Replace, Prepend and the like\) can make)"):
        try_tokenizer(spoilt(**NOT_ALLOWED[name]), cache=tmp_path, bounds=SHORT)


def test_a_decoder_that_writes_far_more_than_its_tokens_is_a_sentence(spoilt, tmp_path, monkeypatch):
    # No rule that is allowed does it; this is what is left where one does.
    monkeypatch.setattr(tokenizer_file, "_MOST_GROWTH", 10**9)
    tokenizer = Tokenizer.from_file(str(spoilt(decoder=replace({"String": "a"}, "b" * 400))))
    with pytest.raises(ValueError, match=r"^it makes [\d,]+ characters of [\d,]+ tokens when it decodes them$"):
        judging._encode(tokenizer, "a " * 20_000)


def test_ids_that_only_the_post_processor_makes_are_seen(spoilt, tmp_path):
    path = spoilt(post_processor={"type": "BertProcessing", "sep": ["[SEP]", 999_999], "cls": ["[CLS]", 2]})
    assert try_tokenizer(path, cache=tmp_path).largest_id == 999_999


def test_verdicts_on_tokenizers_and_templates_are_kept_for_other_processes(spoilt, tmp_path, monkeypatch):
    good = spoilt()
    made = try_tokenizer(good, cache=tmp_path / "cache")
    try_template("{{ messages[0].content }}", {}, cache=tmp_path / "cache")
    monkeypatch.setattr(verdicts, "_KNOWN", {})
    monkeypatch.setattr(parent.sys, "executable", "/nowhere")
    assert try_tokenizer(good, cache=tmp_path / "cache") == made
    try_template("{{ messages[0].content }}", {}, cache=tmp_path / "cache")


@pytest.mark.parametrize("damaged", ["", "[]", '{"largest_id": "7"}', "{}"])
def test_a_damaged_verdict_is_none(damaged, tmp_path):
    (tmp_path / "verdicts").mkdir()
    (tmp_path / "verdicts" / "key").write_text(damaged)
    assert verdicts.verdict("key", tmp_path, lambda: {"cases": 7}) == {"cases": 7}
    assert json.loads((tmp_path / "verdicts" / "key").read_text()) == {"cases": 7}


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
def test_a_template_that_does_not_end_or_grows_is_a_sentence(name, tmp_path):
    with pytest.raises(BundleError, match=r"^the chat template "):
        try_template(BAD_TEMPLATES[name], {}, cache=tmp_path, bounds=SHORTEST if name == "loops" else SHORT)


@pytest.mark.parametrize(
    "source",
    ["{{ messages[0].content }}", "{{ raise_exception('system first') }}", "{% macro f() %}{{ f() }}{% endmacro %}x"],
)
def test_a_template_that_ends_is_good_also_where_it_refuses(source, tmp_path):
    try_template(source, {"eos_token": "</s>"}, cache=tmp_path, bounds=SHORT)


def test_a_template_that_calls_itself_refuses_its_messages(tmp_path):
    # What it refuses is told to the caller, request by request.
    try_template("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", {}, cache=tmp_path, bounds=SHORT)


@pytest.fixture
def bundle(reviews, tmp_path):
    """A copy of a good bundle, to be spoilt."""
    return shutil.copytree(reviews, tmp_path / "bundle")


def refusal(folder, tmp_path, bounds=SHORT):
    with pytest.raises(BundleError) as caught:
        try_bundle(folder, "fp32", digest=DIGEST, cache=tmp_path / "cache", bounds=bounds)
    assert not (tmp_path / "cache").exists()
    return str(caught.value)


def judged(folder):
    """What a child would say of a bundle that does no harm: none is started, which takes a second."""
    return child._judged("bundle", (str(folder), "fp32"), SHORT)


def test_a_good_version_is_tried_once(bundle, tmp_path):
    good = try_bundle(bundle, "fp32", digest=DIGEST, cache=tmp_path / "cache")
    assert good.cases == 6
    assert 100_000 < good.memory < 100 << 20
    (bundle / "onnx/fp32/model.onnx").write_bytes(b"nothing is run any more")
    assert try_bundle(bundle, "fp32", digest=DIGEST, cache=tmp_path / "cache") == good
    with pytest.raises(BundleError):
        try_bundle(bundle, "fp32", digest="sha256:" + "8" * 64, cache=tmp_path / "cache")


def test_a_cache_that_cannot_be_written_costs_only_time(bundle, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert try_bundle(bundle, "fp32", digest=DIGEST, cache=tmp_path / "cache").cases == 6


@pytest.mark.parametrize("name", ["three rules", "three rules of a decoder", "slow decoder"])
def test_the_tokenizer_of_a_version_is_held_to_the_same_rules(bundle, tmp_path, name):
    path = bundle / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | (NOT_ALLOWED | BAD_TOKENIZERS)[name]))
    said = refusal(bundle, tmp_path)
    assert "tokenizer.json" in said


def test_the_template_of_a_version_is_held_to_the_same_rules(bundle, tmp_path):
    (bundle / "chat_template.jinja").write_text("{% if messages|length > 2 %}{{ 'x' * 200000 }}{% endif %}")
    assert "the chat template makes 200,000 characters of a short conversation" in refusal(bundle, tmp_path)


def special_tokens(count):
    token = {"SpecialToken": {"id": "[CLS]", "type_id": 0}}
    texts = [{"Sequence": {"id": name, "type_id": 0}} for name in "AB"]
    return {
        "type": "TemplateProcessing",
        "single": [token, texts[0]],
        "pair": [token] * count + texts,
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}},
    }


def test_special_tokens_that_leave_no_room_for_a_pair_are_refused(entailment, tmp_path):
    bundle = shutil.copytree(entailment, tmp_path / "pairs")
    path = bundle / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"post_processor": special_tokens(300)}))
    assert judged(bundle)["refused"] == f"{path} puts 300 special tokens around two texts, and a row has 32"


def test_a_version_without_golden_cases_is_refused(bundle, edit_model, tmp_path):
    edit_model(bundle, golden=[])
    assert "holds no golden case of the variant fp32" in refusal(bundle, tmp_path)


@pytest.mark.parametrize("changes", [{"max_length": 10**30}, {"padding": {"id": 10**30}}, {"padding": {"id": 10**9}}])
def test_numbers_of_no_model_are_refused(bundle, edit_model, changes):
    edit_model(bundle, **changes)
    assert "model.json cannot be used: " in judged(bundle)["refused"]


def test_an_endless_graph_is_a_sentence(make_bundle, recipe, edit_model, reviews, tmp_path):
    endless = shutil.copytree(make_bundle(recipe(endless_on="great")), tmp_path / "endless")
    edit_model(endless, golden=json.loads((reviews / "model.json").read_text())["golden"])
    assert "did not come to an end within 1 s of processor time" in refusal(endless, tmp_path, SHORTEST)


def change_graph(folder, change):
    """Save the graph of a bundle changed."""
    path = folder / "onnx/fp32/model.onnx"
    graph = onnx.load(path).graph
    change(graph)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def unfold(graph):
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


def test_a_graph_that_unfolds_into_gigabytes_is_a_sentence(bundle, tmp_path):
    change_graph(bundle, unfold)
    assert "memory" in refusal(bundle, tmp_path) or "allocate" in refusal(bundle, tmp_path)


def of_one_length(graph):
    """Inputs of as many tokens as the example has."""
    for value in graph.input:
        value.type.tensor_type.shape.dim[1].dim_value = 7


def of_one_row(graph):
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def of_one_length_inside(graph):
    """Nothing declares it: a part of the graph takes rows of 7 tokens only."""
    shape = numpy_helper.from_array(np.array([-1, 7], dtype=np.int64), "seven")
    graph.initializer.append(shape)
    graph.node.insert(0, helper.make_node("Reshape", ["input_ids", "seven"], ["reshaped"]))
    graph.node[1].input[1] = "reshaped"


@pytest.mark.parametrize(
    ("change", "what"),
    [(of_one_length, "one of another length"), (of_one_length_inside, "one of another length"), (of_one_row, "two")],
)
def test_a_graph_that_fits_its_own_cases_only_is_refused(bundle, edit_model, open_bundle, change, what):
    (logits,) = open_bundle(bundle).outputs(["This product is amazing!"])
    edit_model(bundle, golden=[{"inputs": "This product is amazing!", "outputs": {"fp32": logits.tolist()}}])
    change_graph(bundle, change)
    assert judged(bundle)["fault"].startswith(f"it answers its example, but not {what}")


def test_an_abort_for_want_of_memory_says_so():
    bounds, want = Bounds(cpu_seconds=3, memory=768 << 20), "it wants more memory than 0.8 GiB"
    assert parent._end(-6, b"terminate called after throwing an instance of 'std::bad_alloc'", bounds) == want
    assert parent._end(-6, b"memory allocation of 4294967296 bytes failed", bounds) == want
    assert "killed, as the system does where the machine's memory runs out" in parent._end(-9, b"", bounds)
    assert parent._end(-11, b"", bounds) == "it broke off the program that tried it (exit code -11)"


def test_a_graph_that_reads_beyond_its_table_is_a_sentence(bundle, edit_model, tmp_path):
    edit_model(bundle, padding={"id": 9_999_999})
    refusal(bundle, tmp_path)

"""Feature extraction, answered: pooled vectors, scaled and cut as the caller wants."""

import json
import shutil

import numpy as np
import pytest
import torch
from bert_graphs import write_graph
from openapi_schema_validator import OAS30Validator
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CONFIG_MAPPING, AutoModel, PreTrainedTokenizerFast

from tunewright.job.export.graph import export_fp32
from tunewright.job.learners.vectors import PooledEncoder
from tunewright.serving.errors import BundleError, InputError
from tunewright.serving.runtime.scores import normalized

MAX_LENGTH = 24
KNOWN = "normalize, truncate_dim, dimensions, truncate, truncation_direction, encoding_format"
TEXTS = [
    "This product is amazing!",
    "",
    "I hate this product! It broke after 2 days; what a shame?",
    "我在北京大学学习中文，他住在上海。",
    "وُلدت ماري كوري في وارسو",
    "I love 😀 pizza 🍕 and the café in São Paulo",
    "it broke after days and I love it " * 30,
    "x",
]
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
PARTICULAR = {
    "distilbert": {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2},
    "electra": {"embedding_size": 16},
    "modernbert": {"local_attention": 8},
}
QUICK = [("bert", "mean")]
SLOW = [
    ("modernbert", "cls"),
    ("bert", "cls"),
    ("distilbert", "mean"),
    ("electra", "mean"),
    ("roberta", "mean"),
    ("mpnet", "mean"),
]
CASES = [*QUICK, *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW)]
"""An export takes seconds: `make test` looks at one encoder, whose graph is written by hand."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """tiny("bert", "mean"): an encoder with random weights, its tokenizer, and the bundle of both; made once."""
    made = {}

    def make(kind="bert", pooling="mean"):
        if (kind, pooling) not in made:
            made[kind, pooling] = make_tiny(kind, pooling, tmp_path_factory.mktemp(kind))
        return made[kind, pooling]

    return make


def make_tiny(kind, pooling, folder):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(TEXTS * 3, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    inputs = ["input_ids", "attention_mask"]
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", model_input_names=inputs)
    ids = {"vocab_size": len(wrapped), "pad_token_id": 0, "max_position_embeddings": 64}
    config = CONFIG_MAPPING[kind](**(SIZE | ids | PARTICULAR.get(kind, {})))
    # Weights far from zero: two texts differ visibly.
    config.initializer_range = 0.3
    torch.manual_seed(5)
    encoder = AutoModel.from_config(config).eval()
    if (kind, pooling) in QUICK:
        write_graph(encoder, folder / "onnx/fp32/model.onnx", pooled=True)
    else:
        export_fp32(PooledEncoder(encoder, pooling).eval(), folder / "onnx/fp32/model.onnx")
    variant = {"file": "onnx/fp32/model.onnx", "batching": "padded", "bytes": 1, "golden_tolerance": 0.01}
    content = {
        "format": 1,
        "task": "feature-extraction",
        "problem": "frozen",
        "max_length": MAX_LENGTH,
        "options": {"dimensions": 32, "normalize": True},
        "variants": {"fp32": variant},
        "default_variant": "fp32",
    }
    (folder / "model.json").write_text(json.dumps(content))
    return encoder, wrapped, folder


def by_hand(encoder, tokenizer, texts, pooling):
    """As torch computes it with the padding masked: the mean over the tokens or the first token, scaled to 1."""
    encoded = tokenizer(texts, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
    with torch.no_grad():
        hidden = encoder(**encoded).last_hidden_state
    mask = encoded["attention_mask"].unsqueeze(-1).float()
    pooled = (hidden * mask).sum(1) / mask.sum(1) if pooling == "mean" else hidden[:, 0]
    return torch.nn.functional.normalize(pooled, dim=1).numpy()


@pytest.mark.parametrize(("kind", "pooling"), CASES)
def test_an_answer_is_the_pooled_and_scaled_vector(tiny, open_bundle, kind, pooling):
    encoder, tokenizer, folder = tiny(kind, pooling)
    answers = np.array(open_bundle(folder).predict(TEXTS))
    assert answers.shape == (len(TEXTS), 32)
    assert np.abs(answers - by_hand(encoder, tokenizer, TEXTS, pooling)).max() < 1e-5


@pytest.mark.parametrize(("kind", "pooling"), CASES)
def test_an_answer_is_the_same_alone_and_in_a_batch(tiny, open_bundle, kind, pooling):
    predictor = open_bundle(tiny(kind, pooling)[2])
    together = predictor.predict(TEXTS)
    for text, answer in zip(TEXTS, together, strict=True):
        assert np.abs(np.array(predictor.predict([text])[0]) - np.array(answer)).max() < 1e-5


def test_texts_that_differ_have_vectors_that_differ(tiny, open_bundle):
    answers = np.array(open_bundle(tiny()[2]).predict([TEXTS[0], TEXTS[2], TEXTS[3]]))
    assert (answers @ answers.T - np.eye(3)).max() < 0.999


def test_a_vector_can_be_had_as_it_is(tiny, open_bundle):
    predictor = open_bundle(tiny()[2])
    plain = np.array(predictor.predict(TEXTS, {"normalize": False}))
    assert np.allclose(plain, np.stack(predictor.outputs(TEXTS)), atol=1e-6)
    assert not np.allclose(np.linalg.norm(plain, axis=1), 1)
    assert np.allclose(plain / np.linalg.norm(plain, axis=1, keepdims=True), predictor.predict(TEXTS), atol=1e-6)


def test_the_model_says_whether_vectors_are_scaled(tiny, open_bundle, edit_model, tmp_path):
    folder = shutil.copytree(tiny()[2], tmp_path / "bundle")
    edit_model(folder, options={"dimensions": 32, "normalize": False})
    predictor = open_bundle(folder)
    assert np.allclose(predictor.predict(TEXTS), np.stack(predictor.outputs(TEXTS)), atol=1e-6)
    assert np.allclose(np.linalg.norm(predictor.predict(TEXTS, {"normalize": True}), axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    "wanted", [{"truncate_dim": 8}, {"truncate_dim": 8, "normalize": False}, {"dimensions": 8, "truncate": True}]
)
def test_a_vector_is_cut_and_then_scaled(tiny, open_bundle, wanted):
    predictor = open_bundle(tiny()[2])
    answers = np.array(predictor.predict(TEXTS, wanted))
    cut = np.stack(predictor.outputs(TEXTS))[:, :8]
    expected = cut / np.linalg.norm(cut, axis=1, keepdims=True) if wanted.get("normalize", True) else cut
    assert answers.shape == (len(TEXTS), 8)
    assert np.allclose(answers, expected, atol=1e-6)


def test_a_vector_of_nothing_stays_nothing():
    assert normalized(np.zeros((1, 4), dtype=np.float32)).tolist() == [[0.0] * 4]


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"truncate_dim": 33}, "parameter 'truncate_dim' is 33; a vector of this model has 32"),
        ({"truncate_dim": 0}, "parameter 'truncate_dim' is 0: Input should be greater than or equal to 1"),
        ({"normalize": "yes"}, "parameter 'normalize' is 'yes': Input should be a valid boolean"),
        (
            {"truncate_dim": 4, "dimensions": 4},
            "parameters 'truncate_dim' and 'dimensions' say the same; send one of them",
        ),
        ({"dimensions": 33}, "parameter 'dimensions' is 33; a vector of this model has 32"),
        (
            {"truncate": False},
            f"text 6 is longer than the {MAX_LENGTH} tokens that this model reads, and 'truncate' is false",
        ),
        ({"top_k": 1}, "unknown parameter 'top_k'; feature-extraction knows: " + KNOWN),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(tiny, open_bundle, wanted, sentence):
    with pytest.raises(InputError) as caught:
        open_bundle(tiny()[2]).predict(TEXTS, wanted)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("options", [{}, {"dimensions": 0}, {"dimensions": 32, "more": 1}])
def test_options_that_make_no_sense_are_refused(tiny, open_bundle, edit_model, tmp_path, options):
    folder = shutil.copytree(tiny()[2], tmp_path / "bundle")
    edit_model(folder, options=options)
    with pytest.raises(BundleError, match=r"^model\.json cannot be used: options\."):
        open_bundle(folder)


def test_one_text_is_answered_by_one_vector_and_a_list_by_a_list(tiny, serve_bundle):
    with serve_bundle(tiny()[2]) as (client, _):
        document = client.get("/openapi.json").json()
        content = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]
        schema = {**content["schema"], "components": document["components"]}
        one, many = (client.post("/predict", json={"inputs": inputs}).json() for inputs in ("a", ["a", "b"]))
        assert len(one) == 32
        assert [len(vector) for vector in many] == [32, 32]
        assert np.allclose(one, many[0], atol=1e-6)
        for answer in (one, many):
            OAS30Validator(schema).validate(answer)


AS_THE_HUB_SENDS = {"normalize": True, "truncate": True, "truncation_direction": "Right", "encoding_format": "float"}


def test_parameters_beside_the_inputs_are_those_of_text_embeddings_inference(tiny, serve_bundle):
    with serve_bundle(tiny()[2]) as (client, _):
        plain = client.post("/predict", json={"inputs": TEXTS[0]}).json()
        beside = client.post("/predict", json={"inputs": TEXTS[0], **AS_THE_HUB_SENDS})
        half = client.post("/predict", content=b'{"inputs": "\\ud83d", "normalize": true}')
    assert beside.json() == plain
    assert half.status_code == 200


def test_requests_with_other_parameters_share_a_run(tiny, open_bundle, require_shared_run):
    require_shared_run(open_bundle(tiny()[2]), (TEXTS[:2], {"truncate_dim": 8}), (TEXTS[2:], {"normalize": False}))

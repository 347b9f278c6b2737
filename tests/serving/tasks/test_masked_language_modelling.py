"""Masked language modelling, answered: what `transformers.pipeline("fill-mask")` answers, on the same weights."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from bert_graphs import write_graph
from openapi_schema_validator import OAS30Validator
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CONFIG_MAPPING, AutoModelForMaskedLM, PreTrainedTokenizerFast, pipeline

from tunewright.job.export.graph import export_fp32
from tunewright.serving.errors import BundleError, InputError
from tunewright.serving.predictor import open_predictor
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.tasks import masked_language_modelling as task
from tunewright.serving.tasks.masked_language_modelling import best, without_spaces_before_punctuation
from tunewright.serving.text.cleaning import Cleaning, clean

MAX_LENGTH = 40
CORPUS = [
    "This product is amazing and I love it, I don't want another one.",
    "I hate this product! It broke after 2 days; what a shame?",
    "我在北京大学学习中文，他住在上海。",
    "وُلدت ماري كوري في وارسو وعملت في باريس",
    "I love 😀 pizza 🍕 and the café in São Paulo",
] * 3
TEXTS = [
    "This product is {}!",
    "{} broke after 2 days; what a shame?",
    "I don't {} it , or 's it",
    "{}",
    "我在{}大学学习中文。",
    "وُلدت ماري {} في وارسو",
    "I love {} 🍕 and cafe\u0301 👩‍👩‍👧",
    "unheard-of wörds ŧħen {} ☃ Ωmega",
    "many    blanks\tand\nlines {} here",
]
LONG = "{} " + "it broke after days and I love it " * 40


@dataclass(frozen=True)
class Tiny:
    """One architecture with its tokenizer, and the bundle made of both."""

    model: Any
    tokenizer: Any
    folder: Path

    def text(self, template: str) -> str:
        return template.replace("{}", self.tokenizer.mask_token)

    def pipeline(self, text, **wanted):
        line = pipeline("fill-mask", model=self.model, tokenizer=self.tokenizer)
        return line(clean(self.text(text), Cleaning()), **wanted)


def word_piece(*, lowercase):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer, {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer, {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(
        CORPUS, trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>")
    )
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=False)
    return tokenizer, {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}


FAMILIES = {
    "bert": lambda: word_piece(lowercase=True),
    "distilbert": lambda: word_piece(lowercase=False),
    "electra": lambda: word_piece(lowercase=True),
    "modernbert": byte_level,
    "roberta": byte_level,
    "xlm-roberta": unigram,
}
QUICK = ("bert",)
EACH = [pytest.param(family, marks=() if family in QUICK else pytest.mark.slow) for family in FAMILIES]
"""`make test` looks at one kind of tokenizers, and at a graph written by hand: an export takes seconds."""
PARTICULAR = {
    "distilbert": {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2},
    "electra": {"embedding_size": 16},
    "modernbert": {"local_attention": 8},
    "roberta": {"type_vocab_size": 1},
    "xlm-roberta": {"type_vocab_size": 1},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """tiny("bert"): a family with random weights, made once."""
    made = {}

    def make(family):
        if family not in made:
            made[family] = make_tiny(family, tmp_path_factory.mktemp(family))
        return made[family]

    return make


def make_tiny(family, folder):
    tokenizer, names = FAMILIES[family]()
    special = {f"{name}_token": token for name, token in names.items()}
    # As published: the mask takes the space before it along where spaces belong to words.
    if names["mask"] == "<mask>":
        special["mask_token"] = AddedToken("<mask>", lstrip=True, special=True)
    inputs = ["input_ids", "attention_mask"]
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, clean_up_tokenization_spaces=family == "bert", model_input_names=inputs, **special
    )
    wrapped.save_pretrained(folder)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    ids = {"pad_token_id": wrapped.pad_token_id, "vocab_size": len(wrapped)}
    config = CONFIG_MAPPING[family](**(size | {"max_position_embeddings": 600} | ids | PARTICULAR.get(family, {})))
    # Weights far from zero: the candidates have scores far from each other.
    config.initializer_range = 0.4
    torch.manual_seed(11)
    model = AutoModelForMaskedLM.from_config(config).eval()
    if family in QUICK:
        write_graph(model, folder / "onnx/fp32/model.onnx")
    else:
        export_fp32(model, folder / "onnx/fp32/model.onnx", "fill-mask")
    content = {
        "format": 1,
        "task": "masked-language-modelling",
        "problem": "masked",
        "max_length": MAX_LENGTH,
        "padding": {"id": wrapped.pad_token_id},
        "options": {"mask_token": wrapped.mask_token, "clean_up": family == "bert"},
        "variants": {
            "fp32": {"file": "onnx/fp32/model.onnx", "batching": "padded", "bytes": 1, "golden_tolerance": 0.01}
        },
        "default_variant": "fp32",
    }
    (folder / "model.json").write_text(json.dumps(content))
    return Tiny(model, wrapped, folder)


@pytest.fixture
def served(tiny):
    """served("bert"): the family and a predictor of its bundle, closed after the test."""
    opened = []

    def open_it(family="bert", **options):
        one = tiny(family)
        opened.append(open_predictor(one.folder, **options))
        return one, opened[-1]

    yield open_it
    for predictor in opened:
        predictor.close()


def flat(answer):
    """All candidates of all masks."""
    return [candidate for part in answer for candidate in (part if isinstance(part, list) else [part])]


def require_equal(answer, expected):
    assert [isinstance(part, list) for part in answer] == [isinstance(part, list) for part in expected]
    for one, wanted in zip(flat(answer), flat(expected), strict=True):
        assert list(one) == ["score", "token", "token_str", "sequence"]
        assert {name: one[name] for name in one if name != "score"} == {
            name: wanted[name] for name in wanted if name != "score"
        }
        assert one["score"] == pytest.approx(wanted["score"], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("family", EACH)
def test_answers_are_those_of_the_pipeline(served, family):
    one, predictor = served(family)
    answers = predictor.predict([one.text(text) for text in TEXTS])
    for text, answer in zip(TEXTS, answers, strict=True):
        assert len(answer) == 5
        require_equal(answer, one.pipeline(text))


@pytest.mark.parametrize("family", EACH)
@pytest.mark.parametrize("text", ["{} and {}", "I {} this {} product {}!", "{}{}", "[SEP] {} </s> {} [PAD] x"])
def test_several_masks_have_a_list_each(served, family, text):
    one, predictor = served(family)
    (answer,) = predictor.predict([one.text(text)])
    assert len(answer) == text.count("{}")
    require_equal(answer, one.pipeline(text))


@pytest.mark.parametrize("family", EACH)
@pytest.mark.parametrize("wanted", [{"top_k": 1}, {"top_k": 40}, {"targets": "love"}, {"top_k": 2, "targets": TEXTS[0]},
                                    {"targets": ["love", "hate", "love", "amazingly", "北京"]}])  # fmt: skip
def test_parameters_are_those_of_the_pipeline(served, family, wanted):
    one, predictor = served(family)
    for text in TEXTS[:2]:
        (answer,) = predictor.predict([one.text(text)], wanted)
        expected = one.pipeline(text, **wanted)
        require_equal(answer, expected)


@pytest.mark.parametrize("family", EACH)
def test_targets_hold_for_each_of_several_masks(served, family):
    one, predictor = served(family)
    wanted = {"targets": ["love", "days", "it"]}
    (answer,) = predictor.predict([one.text("{} or {}")], wanted)
    require_equal(answer, one.pipeline("{} or {}", **wanted))


@pytest.mark.parametrize("family", EACH)
def test_a_text_over_the_limit_is_cut_as_the_pipeline_cuts_it_when_told_to(served, family):
    one, predictor = served(family)
    cut = {"truncation": True, "max_length": MAX_LENGTH}
    (answer,) = predictor.predict([one.text(LONG)])
    require_equal(answer, one.pipeline(LONG, tokenizer_kwargs=cut))


@pytest.mark.parametrize("family", EACH)
def test_an_answer_is_the_same_alone_and_in_a_batch(served, family):
    one, predictor = served(family)
    texts = [one.text(text) for text in [*TEXTS, LONG, "{} or {}"]]
    together = predictor.predict(texts)
    for text, answer in zip(texts, together, strict=True):
        (alone,) = predictor.predict([text])
        require_equal(alone, answer)


def test_a_vocabulary_too_large_for_a_run_is_answered_row_by_row(served, monkeypatch):
    one, predictor = served("bert")
    texts = [one.text(text) for text in TEXTS]
    expected = predictor.predict(texts)
    monkeypatch.setattr(task, "_LOGITS_PER_RUN", 1)
    _, small = served("bert", capacity=Capacity(threads=2))
    for one_answer, other in zip(small.predict(texts), expected, strict=True):
        require_equal(one_answer, other)


def test_spaces_before_punctuation_go_as_transformers_takes_them(tiny):
    text = "He said , I 'm sure it is n't his . Is it ? No ! We 've , they 're ' quoted ' and John 's"
    assert without_spaces_before_punctuation(text) == tiny("bert").tokenizer.clean_up_tokenization(text)


def test_the_best_scores_come_first_and_equal_ones_in_their_order():
    scores = np.array([0.1, 0.4, 0.2, 0.4, 0.0], dtype=np.float32)
    assert best(scores, 3) == [1, 3, 2]
    assert best(scores, 99) == [1, 3, 2, 0, 4]
    assert best(scores, 2, np.array([0, 3, 4])) == [3, 0]


@pytest.mark.parametrize("family", EACH)
def test_raw_outputs_are_the_logit_of_each_token_and_the_largest_one(served, family):
    one, predictor = served(family)
    texts = [one.text(TEXTS[0]), "no mask at all"]
    for text, output in zip(texts, predictor.outputs(texts), strict=True):
        encoded = one.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            logits = one.model(**encoded).logits[0]
        own = logits[torch.arange(len(logits)), encoded["input_ids"][0]]
        assert np.allclose(output, torch.stack([own, logits.max(-1).values], dim=-1), atol=1e-4)


# What is refused


def refusal(predictor, *arguments):
    with pytest.raises(InputError) as caught:
        predictor.predict(*arguments)
    return str(caught.value)


def test_a_text_without_a_mask_is_refused(served):
    _, predictor = served()
    assert refusal(predictor, ["a [MASK]", "no mask"]) == (
        "text 1 has no mask: put '[MASK]' where a word is to be found"
    )


def test_an_empty_text_has_no_mask(served):
    _, predictor = served()
    assert "has no mask" in refusal(predictor, [""])


def test_a_mask_that_is_cut_off_is_told_from_one_that_is_not_there(served):
    _, predictor = served()
    assert refusal(predictor, ["much " * 100 + "[MASK]"]) == (
        "text 0 has no mask '[MASK]' among its first 40 tokens, which are all that this model reads"
    )


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"top_k": 0}, "parameter 'top_k' is 0: "),
        ({"top_k": 1001}, "parameter 'top_k' is 1001: "),
        ({"targets": []}, "parameter 'targets."),
        ({"targets": [1]}, "parameter 'targets."),
        ({"targets": ["love", " "]}, "parameter 'targets' holds ' ', of which the tokenizer makes no token"),
        ({"tokenizer_kwargs": {}}, "unknown parameter 'tokenizer_kwargs'; masked-language-modelling knows: top_k"),
    ],
)  # fmt: skip
def test_a_parameter_that_makes_no_sense_is_refused(served, wanted, sentence):
    _, predictor = served()
    assert refusal(predictor, ["a [MASK]"], wanted).startswith(sentence)


@pytest.mark.parametrize("options", [{}, {"mask_token": ""}, {"mask_token": "[MASK]", "more": 1}])
def test_a_bundle_without_a_mask_is_refused(tiny, edit_model, tmp_path, options):
    folder = shutil.copytree(tiny("bert").folder, tmp_path / "bundle")
    edit_model(folder, options=options)
    with pytest.raises(BundleError, match=r"^model\.json cannot be used: options\."):
        open_predictor(folder)


def test_a_bundle_whose_tokenizer_has_another_mask_is_refused(tiny, edit_model, tmp_path):
    folder = shutil.copytree(tiny("bert").folder, tmp_path / "bundle")
    edit_model(folder, options={"mask_token": "<mask>"})
    with pytest.raises(BundleError, match=r"tokenizer\.json has no token '<mask>', which model\.json names$"):
        open_predictor(folder)


def test_requests_and_answers_fit_the_documents_schema(tiny, serve_bundle):
    with serve_bundle(tiny("bert").folder) as (client, _):
        document = client.get("/openapi.json").json()
        content = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]
        schema = {**content["schema"], "components": document["components"]}
        for inputs in ("a [MASK]", "[MASK] or [MASK]", ["a [MASK]", "[MASK]"], ["[MASK] or [MASK]", "a [MASK]"]):
            reply = client.post("/predict", json={"inputs": inputs})
            assert reply.status_code == 200
            OAS30Validator(schema).validate(reply.json())
        with pytest.raises(jsonschema.ValidationError):
            OAS30Validator(schema).validate([{"score": 1.0}])
        assert client.post("/predict", json={"inputs": "no mask"}).status_code == 422


def test_requests_with_other_parameters_share_a_run(served, require_shared_run):
    one, predictor = served()
    first = ([one.text("I {} this"), one.text("{} or {}")], {"top_k": 2})
    require_shared_run(predictor, first, ([one.text("two {}")], {"targets": ["love", "days"]}))

"""The tokens of a base model are those of transformers, whatever its tokenizer_config.json and its class change."""

import json

import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CONFIG_MAPPING, AutoTokenizer

from tunewright.job.model.base_model import fetch_base_model
from tunewright.registry.settings import RegistrySettings
from tunewright.serving.text.cleaning import Cleaning, clean
from tunewright.serving.text.encoding import Encoder, Padding

TEXTS = [
    "The KETTLE Works!",
    "Crème brûlée à la CARTE, naïve café",
    "很好吃 and 東京 ok",
    "[MASK] <mask> </s> <s> [SEP] <new> <|endoftext|>",
    "👩‍👩‍👧 good 😀",
    "don't can't I'm 3.14 $5 a_b",
    "word " * 60 + "end",
    "x",
]


@pytest.fixture(scope="module")
def word_pieces(reviews):
    """A cased WordPiece tokenizer, as BERT's kin have."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        [text for text, _ in reviews], trainers.WordPieceTrainer(vocab_size=600, special_tokens=special)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return tokenizer, names | {"mask_token": "[MASK]"}


@pytest.fixture(scope="module")
def byte_pairs(reviews):
    """A byte-level BPE tokenizer, as RoBERTa, BART and GPT-2 have."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [text for text, _ in reviews],
        trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet),
    )
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>"}
    return tokenizer, names | {"unk_token": "<unk>", "mask_token": "<mask>"}


@pytest.fixture(scope="module")
def pieces(reviews):
    """A Unigram tokenizer, as XLM-RoBERTa, ALBERT and T5 have."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=600, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator([text for text, _ in reviews], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>"}
    return tokenizer, names | {"unk_token": "<unk>", "mask_token": "<mask>"}


STRIPPING = {"content": "<mask>", "lstrip": True, "rstrip": True, "normalized": False, "single_word": False}
STRIPPING["special"] = True
MASK = {"content": "[MASK]"}
ROBERTA = [("roberta", "RobertaTokenizerFast"), ("bart", "BartTokenizer"), ("roberta", "RobertaTokenizer")]
CASES = [
    *[
        ("word_pieces", kind, {"tokenizer_class": name} | said)
        for kind, name in [
            ("bert", "BertTokenizerFast"),
            ("bert", "BertTokenizer"),
            ("distilbert", "DistilBertTokenizerFast"),
            ("electra", "ElectraTokenizer"),
            ("bert", "PreTrainedTokenizerFast"),
        ]
        for said in ({"do_lower_case": True}, {"do_lower_case": False, "strip_accents": True})
    ],
    ("word_pieces", "bert", {}),
    ("word_pieces", "bert", {"tokenizer_class": "BertTokenizer", "tokenize_chinese_chars": False}),
    ("word_pieces", "bert", {"tokenizer_class": "BertTokenizer", "truncation_side": "left"}),
    (
        "word_pieces",
        "bert",
        {"tokenizer_class": "BertTokenizer", "added_tokens_decoder": {"4": STRIPPING | MASK}},
    ),
    ("word_pieces", "mobilebert", {"do_lower_case": True}),
    *[
        ("byte_pairs", kind, {"tokenizer_class": name} | said)
        for kind, name in ROBERTA
        for said in ({"add_prefix_space": True}, {"trim_offsets": False}, {"truncation_side": "left"})
    ],
    ("byte_pairs", "gpt2", {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}),
    ("byte_pairs", "gpt2", {"tokenizer_class": "GPT2TokenizerFast"}),
    ("byte_pairs", "deberta", {"tokenizer_class": "DebertaTokenizerFast", "add_prefix_space": True}),
    ("byte_pairs", "longformer", {"tokenizer_class": "LongformerTokenizerFast", "additional_special_tokens": ["end"]}),
    ("pieces", "xlm-roberta", {"tokenizer_class": "XLMRobertaTokenizer"}),
    (
        "pieces",
        "xlm-roberta",
        {"tokenizer_class": "XLMRobertaTokenizerFast", "added_tokens_decoder": {"4": STRIPPING}},
    ),
    ("pieces", "camembert", {"tokenizer_class": "CamembertTokenizerFast", "truncation_side": "left"}),
    ("pieces", "albert", {"tokenizer_class": "AlbertTokenizerFast", "do_lower_case": True}),
    ("pieces", "t5", {"tokenizer_class": "T5Tokenizer", "extra_ids": 0}),
    ("pieces", "t5", {"tokenizer_class": "T5TokenizerFast", "extra_ids": 0, "truncation_side": "left"}),
    ("pieces", "llama", {"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": True, "add_eos_token": True}),
    ("pieces", "llama", {"tokenizer_class": "LlamaTokenizer", "add_bos_token": False, "legacy": False}),
    ("pieces", "gemma", {"tokenizer_class": "GemmaTokenizerFast", "add_eos_token": True}),
]


def write_base(folder, tokenizer, kind, said):
    """A folder that looks like a base model; nobody loads its weights here."""
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    config = CONFIG_MAPPING[kind](vocab_size=tokenizer.get_vocab_size())
    (folder / "config.json").write_text(config.to_json_string(use_diff=True))
    save_file({}, folder / "model.safetensors", metadata={"format": "pt"})


def fetched(folder, tmp_path):
    return fetch_base_model(str(folder), RegistrySettings(uri=str(tmp_path / "r"), cache=tmp_path / "cache"))


@pytest.mark.parametrize(("kind_of_tokenizer", "kind", "said"), CASES)
def test_the_tokens_are_those_of_transformers(request, tmp_path, kind_of_tokenizer, kind, said):
    tokenizer, names = request.getfixturevalue(kind_of_tokenizer)
    base = tmp_path / "base"
    base.mkdir()
    write_base(base, tokenizer, kind, names | said)
    theirs = AutoTokenizer.from_pretrained(base)
    path = fetched(base, tmp_path).tokenizer
    ours = Encoder(path, max_length=32, padding=Padding(id=0), cleaning=Cleaning())
    texts = [clean(text, Cleaning()) for text in TEXTS]
    for text in texts:
        assert ours.encode([text])[0].ids == theirs(text, truncation=True, max_length=32)["input_ids"], text
    pairs = list(zip(texts, reversed(texts), strict=True))
    for one, other in pairs:
        expected = theirs(one, other, truncation=True, max_length=32)["input_ids"]
        assert ours.encode([(one, other)])[0].ids == expected, (one, other)


def test_what_changes_is_said_and_what_does_not_is_left_alone(word_pieces, tmp_path, capsys):
    tokenizer, names = word_pieces
    base = tmp_path / "base"
    base.mkdir()
    write_base(base, tokenizer, "bert", names | {"tokenizer_class": "BertTokenizer", "do_lower_case": False})
    assert fetched(base, tmp_path).tokenizer.read_bytes() == (base / "tokenizer.json").read_bytes()
    assert "changes its tokenizer" not in capsys.readouterr().out
    write_base(base, tokenizer, "bert", names | {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    assert fetched(base, tmp_path).tokenizer.read_bytes() != (base / "tokenizer.json").read_bytes()
    assert "tokenizer_config.json changes its tokenizer: normalizer" in capsys.readouterr().out


def test_a_copy_of_an_applied_tokenizer_is_found_again(word_pieces, tmp_path):
    tokenizer, names = word_pieces
    base = tmp_path / "base"
    base.mkdir()
    write_base(base, tokenizer, "bert", names | {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    first = fetched(base, tmp_path)
    made = first.tokenizer.stat().st_ino
    assert fetched(base, tmp_path) == first
    assert first.tokenizer.stat().st_ino == made
    again = fetch_base_model(str(first.folder), RegistrySettings(uri=str(tmp_path / "r"), cache=tmp_path / "another"))
    assert again.tokenizer.read_bytes() == first.tokenizer.read_bytes()


def test_a_class_that_transformers_cannot_load_is_said(word_pieces, tmp_path, capsys):
    tokenizer, names = word_pieces
    base = tmp_path / "base"
    base.mkdir()
    write_base(base, tokenizer, "bert", names | {"tokenizer_class": "BertTokenizer", "encode": 7})
    assert fetched(base, tmp_path).tokenizer.read_bytes() == (base / "tokenizer.json").read_bytes()
    said = capsys.readouterr().out
    assert "transformers cannot load the base model's tokenizer with AutoTokenizer: " in said
    assert "with PreTrainedTokenizerFast: " in said


def test_a_file_named_in_the_settings_is_not_read(word_pieces, tmp_path):
    tokenizer, names = word_pieces
    other = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    other.save(str(tmp_path / "other.json"))
    base = tmp_path / "base"
    base.mkdir()
    said = {"tokenizer_file": str(tmp_path / "other.json"), "do_lower_case": False}
    write_base(base, tokenizer, "bert", names | said)
    assert fetched(base, tmp_path).tokenizer.read_bytes() == (base / "tokenizer.json").read_bytes()


def test_tokens_that_a_class_adds_behind_the_table_are_left_out(pieces, tmp_path):
    tokenizer, names = pieces
    base = tmp_path / "base"
    base.mkdir()
    write_base(base, tokenizer, "t5", names | {"tokenizer_class": "T5Tokenizer"})
    made = Tokenizer.from_file(str(fetched(base, tmp_path).tokenizer))
    assert made.get_vocab_size() == tokenizer.get_vocab_size()
    assert made.token_to_id("<extra_id_0>") is None

"""Writes three tokenizers and what transformers 4.57 makes of texts with them; run once, with 4.57.

    python tests/job/model/tokenizers/write.py

Under other settings and classes, and with parts that these classes do not have, which those of transformers 5 replace.
"""

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

from tunewright.serving.text.cleaning import Cleaning, clean

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
MAX_LENGTH = 32
TEXTS = json.loads((HERE / "texts.json").read_text())


def word_pieces(texts: list[str]) -> tuple[Tokenizer, dict[str, str]]:
    """A cased WordPiece tokenizer, as BERT's kin have."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return tokenizer, names | {"mask_token": "[MASK]"}


def byte_pairs(texts: list[str]) -> tuple[Tokenizer, dict[str, str]]:
    """A byte-level BPE tokenizer, as RoBERTa, BART and GPT-2 have."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>"}
    return tokenizer, names | {"unk_token": "<unk>", "mask_token": "<mask>"}


def pieces(texts: list[str]) -> tuple[Tokenizer, dict[str, str]]:
    """A Unigram tokenizer, as XLM-RoBERTa, ALBERT and T5 have."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "[CLS]", "[SEP]", "[MASK]", "en_XX", "de_DE", "eng_Latn"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>"}
    return tokenizer, names | {"unk_token": "<unk>", "mask_token": "<mask>"}


STRIPPING = {"content": "<mask>", "lstrip": True, "rstrip": True, "normalized": False, "single_word": False}
STRIPPING["special"] = True
MASK = {"content": "[MASK]"}
MPNET = {"tokenizer_class": "MPNetTokenizer", "bos_token": "[CLS]", "eos_token": "[SEP]"}
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
    ("pieces", "gemma", {"tokenizer_class": "GemmaTokenizerFast", "add_eos_token": True, "bos_token": "[CLS]"}),
    ("pieces", "mistral", {}),
    ("pieces", "mbart", {}),
    ("pieces", "mbart", {"tokenizer_class": "MBartTokenizer", "src_lang": "de_DE"}),
    ("pieces", "mbart", {"tokenizer_class": "MBart50TokenizerFast"}),
    ("pieces", "m2m_100", {"tokenizer_class": "NllbTokenizer"}),
    ("pieces", "m2m_100", {"tokenizer_class": "NllbTokenizerFast", "legacy_behaviour": True}),
    ("word_pieces", "megatron-bert", {}),
    ("word_pieces", "mpnet", MPNET | {"tokenize_chinese_chars": False}),
    ("word_pieces", "roformer", {"tokenizer_class": "SqueezeBertTokenizer", "strip_accents": False}),
    ("byte_pairs", "data2vec-text", {"add_prefix_space": True}),
    ("byte_pairs", "opt", {}),
    ("byte_pairs", "gpt_neox", {"add_bos_token": True}),
]
"""Tokenizer, architecture, and what tokenizer_config.json says beside the names of the special tokens."""
LOWER = {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]}
CHANGES: tuple[dict[str, Any], ...] = ({}, {"normalizer": LOWER}, {"post_processor": None})
"""Parts of tokenizer.json that are not as the class has them."""


def answered(folder: Path, *, pairs: bool) -> dict[str, Any]:
    """The ids of the texts, each alone and with another one."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [clean(text, Cleaning()) for text in TEXTS]
    cut = {"truncation": True, "max_length": MAX_LENGTH}
    both = zip(texts, reversed(texts), strict=True) if pairs else ()
    return {
        "ids": [tokenizer(text, **cut)["input_ids"] for text in texts],
        "pairs": [tokenizer(one, other, **cut)["input_ids"] for one, other in both],
    }


if __name__ == "__main__":
    assert transformers.__version__.startswith("4.57."), "these are the ids of transformers 4.57"
    with (ROOT / "job/examples/reviews/train.csv").open(newline="", encoding="utf-8") as file:
        reviews = [row["text"] for row in csv.DictReader(file)]
    made = {build.__name__: build(reviews) for build in (word_pieces, byte_pairs, pieces)}
    recorded = []
    for name, (tokenizer, _) in made.items():
        (HERE / f"{name}.json").write_text(tokenizer.to_str() + "\n")
    for name, kind, said in CASES:
        tokenizer, names = made[name]
        for change in CHANGES:
            with tempfile.TemporaryDirectory() as temporary:
                case = {"tokenizer": name, "kind": kind, "said": names | said, "change": change}
                (Path(temporary) / "tokenizer.json").write_text(json.dumps(json.loads(tokenizer.to_str()) | change))
                (Path(temporary) / "tokenizer_config.json").write_text(json.dumps(names | said))
                config = transformers.AutoConfig.for_model(kind, vocab_size=tokenizer.get_vocab_size())
                (Path(temporary) / "config.json").write_text(config.to_json_string(use_diff=True))
                recorded.append(case | answered(Path(temporary), pairs=not change))
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in recorded)
    (HERE / "recorded.json").write_text(f"[\n{lines}\n]\n")

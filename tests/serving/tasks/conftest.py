"""Tiny models of real architectures that answer per token: random weights, tokenizers made on the spot.

Each comes as the ONNX bundle that we serve and as the torch model that `transformers.pipeline` runs.
"""

import json
import math
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tunewright.serving.predictor import open_predictor

MAX_LENGTH = 24
GRAPH = "onnx/fp32/model.onnx"
CORPUS = (
    "Marie Curie was born in Warsaw and worked in Paris with Pierre Curie.",
    "The United Nations met in New York on Monday; nobody from Google came.",
    "playing, played, player: unbelievable misunderstandings of a guitarist's manager",
    "我在北京大学学习中文，他住在上海。",
    "وُلدت ماري كوري في وارسو وعملت في باريس",
    "I love 😀 pizza 🍕 and the café in São Paulo",
)


@dataclass(frozen=True)
class Tiny:
    """One architecture with its tokenizer."""

    architecture: str
    torch_model: Any
    tokenizer: Any
    """The same `tokenizer.json`, as transformers wraps it."""
    folder: Path
    """The bundle."""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A function of architecture and task: a `Tiny`, made once.

    `context_free`: what a token answers is the same wherever it stands. `nan`: the graph answers with no numbers. A
    graph takes seconds, so those that differ in `max_length` and `nan` alone have one graph.
    """

    @cache
    def graph(architecture, task, labels, context_free):
        folder = tmp_path_factory.mktemp(architecture)
        return _export(architecture, task, folder, labels, context_free=context_free), folder

    @cache
    def make(architecture, task, labels, max_length, context_free, nan):
        model, of_graph = graph(architecture, task, labels, context_free)
        folder = shutil.copytree(of_graph, tmp_path_factory.mktemp(architecture) / "bundle")
        if nan:
            _spoil(folder / GRAPH)
        wrapped = _wrapped(architecture, folder, max_length)
        _describe(folder, task, labels, max_length, wrapped.pad_token_id)
        return Tiny(architecture, model, wrapped, folder)

    def of(architecture, task, *, labels=(), max_length=MAX_LENGTH, context_free=False, nan=False):
        return make(architecture, task, tuple(labels), max_length, context_free, nan)

    return of


@pytest.fixture
def changed(tmp_path, edit_model):
    """A function: a copy of a bundle with other words in its model.json."""

    def copy(folder, **changes):
        target = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(folder, target)
        edit_model(target, **changes)
        return target

    return copy


@pytest.fixture
def served():
    """A function: the predictor of a bundle, closed after the test."""
    opened = []

    def open_it(folder):
        opened.append(open_predictor(folder))
        return opened[-1]

    yield open_it
    for predictor in opened:
        predictor.close()


def _wrapped(architecture, folder, max_length=MAX_LENGTH):
    """The tokenizer in a folder as transformers wraps it."""
    from transformers import PreTrainedTokenizerFast

    _, special, kind = ARCHITECTURES[architecture]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_length, **special())
    typed = ["token_type_ids"] if kind in ("bert", "deberta-v2") else []
    wrapped.model_input_names = ["input_ids", *typed, "attention_mask"]
    return wrapped


def _export(architecture, task, folder, labels, *, context_free):
    """The torch model whose graph and tokenizer are then in the folder."""
    import torch
    from bert_graphs import MADE, write_graph

    build, _, kind = ARCHITECTURES[architecture]
    build().save(str(folder / "tokenizer.json"))
    tokenizer = _wrapped(architecture, folder)
    torch.manual_seed(11)
    model = _model(kind, task, tokenizer, 0 if context_free else 2, labels).eval()
    if context_free:
        model.bert.embeddings.position_embeddings.weight.data.zero_()
    if kind in MADE:
        write_graph(model, folder / GRAPH)
    else:
        from tunewright.job.export.graph import export_fp32

        export_fp32(model, folder / GRAPH, task)
    return model


def _spoil(path):
    """No number is left in the largest table of a graph."""
    model = onnx.load(path)
    table = max(model.graph.initializer, key=lambda one: math.prod(one.dims))
    table.CopyFrom(numpy_helper.from_array(np.full(table.dims, np.nan, np.float32), table.name))
    onnx.save(model, path)


def _describe(folder, task, labels, max_length, padding):
    content = {
        "format": 1,
        "task": task,
        "problem": task,
        "labels": list(labels),
        "max_length": max_length,
        "padding": {"id": padding},
        "variants": {"fp32": {"file": GRAPH, "batching": "padded", "bytes": 1, "golden_tolerance": 0.01}},
        "default_variant": "fp32",
    }
    (folder / "model.json").write_text(json.dumps(content))


def _model(kind, task, tokenizer, layers, labels):
    import torch
    from transformers import AutoConfig, AutoModelForQuestionAnswering, AutoModelForTokenClassification

    size = {"hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 64}
    if kind == "distilbert":
        size = {"dim": 32, "n_layers": layers, "n_heads": 2, "hidden_dim": 64}
    if kind in ("roberta", "xlm-roberta"):
        size["type_vocab_size"] = 1
    if kind == "deberta-v2":
        size |= {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}
    # Weights far from zero: every token gets its own label.
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        max_position_embeddings=600,
        initializer_range=0.6,
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(labels)) or {0: "start", 1: "end"},
        **size,
    )
    auto = AutoModelForTokenClassification if task == "token-classification" else AutoModelForQuestionAnswering
    model = auto.from_config(config)
    if kind == "roberta":  # whose weights transformers 5 draws in another order
        generator = torch.Generator().manual_seed(11)
        for _, weight in sorted(model.named_parameters()):
            if weight.ndim > 1:
                weight.data.normal_(0, config.initializer_range, generator=generator)
    return model


def _wordpiece(*, lowercase):
    normalizer, splitter = normalizers.BertNormalizer(lowercase=lowercase), pre_tokenizers.BertPreTokenizer()
    special = _bert_special()
    pieces = _pieces(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(" ".join(CORPUS))))
    entries = [*special.values(), *pieces, *(f"##{piece}" for piece in pieces)]
    vocabulary = {entry: index for index, entry in enumerate(entries)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(special.values()))
    _frame(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    return tokenizer


def _pieces(words):
    """Letters, and words in pieces of at most four of them. No trainer: most make another vocabulary in every run."""
    words = sorted(set(words))
    cut = {word[start : start + 4] for word in words for start in range(0, len(word), 4)}
    return sorted({letter for word in words for letter in word} | cut)


def _byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = _roberta_special()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=360, special_tokens=list(special.values()), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", tokenizer.token_to_id("</s>")), ("<s>", tokenizer.token_to_id("<s>")), add_prefix_space=False
    )
    return tokenizer


def _unigram(*, splits_at_spaces):
    special = _roberta_special() if splits_at_spaces else _bert_special()
    words = normalizers.NFKC().normalize_str(" ".join(CORPUS)).split()
    pieces = {"▁": -6.0}
    for piece in _pieces(words):
        # A word begins with a piece of its own, or with a space that is one.
        pieces |= {piece: -8.0 if len(piece) == 1 else -5.0} | ({f"▁{piece}": -4.0} if len(piece) > 3 else {})
    vocabulary = [(name, 0.0) for name in special.values()] + sorted(pieces.items())
    tokenizer = Tokenizer(models.Unigram(vocabulary, list(special.values()).index(special["unk_token"]), False))
    tokenizer.normalizer = normalizers.NFKC()
    metaspace = pre_tokenizers.Metaspace()
    splits = [pre_tokenizers.WhitespaceSplit(), metaspace]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits) if splits_at_spaces else metaspace
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(list(special.values()))
    if splits_at_spaces:
        _frame(tokenizer, "<s> $A </s>", "<s> $A </s> </s> $B </s>")
    else:
        _frame(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    return tokenizer


def _frame(tokenizer, single, pair):
    names = {word.partition(":")[0] for word in pair.split() if not word.startswith("$")}
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[(name, tokenizer.token_to_id(name)) for name in sorted(names)]
    )


def _bert_special():
    return {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}


def _roberta_special():
    return {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "<unk>"}


ARCHITECTURES = {
    "bert": (lambda: _wordpiece(lowercase=True), _bert_special, "bert"),
    "distilbert": (lambda: _wordpiece(lowercase=False), _bert_special, "distilbert"),
    "roberta": (_byte_level, _roberta_special, "roberta"),
    "xlm-roberta": (lambda: _unigram(splits_at_spaces=True), _roberta_special, "xlm-roberta"),
    "deberta-v2": (lambda: _unigram(splits_at_spaces=False), _bert_special, "deberta-v2"),
}

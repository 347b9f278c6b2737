"""A server of each kind of model, asked by clients that others have written.

The models are small graphs made by hand, so that no torch is needed and each answer can be told beforehand: the tokens
of texts are words, what writes knows the alphabet.
"""

import contextlib
import json
import string
from dataclasses import dataclass

import httpx
import numpy as np
import onnx
import pytest
from bombs import write_bundle
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tunewright.serving.live.models import Models
from tunewright.serving.settings import ServingSettings

FIRST, LAST = ["?", "</s>", "."], 12
ALPHABET = [*FIRST, *string.ascii_lowercase[:LAST], " "]
WORDS = ["[PAD]", "[UNK]", "[MASK]", "Marie", "Curie", "was", "born", "in", "Warsaw", "."]


@dataclass(frozen=True)
class Served:
    """A running server."""

    url: str
    client: httpx.Client
    models: Models


@pytest.fixture(scope="session")
def served(bundle, serve_bundle):
    """served("reviews"): a running server of that kind of model, started once."""
    running = {}
    with contextlib.ExitStack() as stack:

        def serve(kind):
            if kind not in running:
                client, of = stack.enter_context(serve_bundle(bundle(kind), ServingSettings(model="reviews")))
                running[kind] = Served(str(client.base_url).rstrip("/"), client, of)
            return running[kind]

        yield serve


@pytest.fixture(scope="session")
def bundle(request, tmp_path_factory, make_bundle, recipe):
    """bundle("reviews"): the folder of a model of that kind, made once."""
    made = {}

    def make(kind):
        if kind in ("reviews", "emotions", "entailment", "similarity", "remembered"):
            return request.getfixturevalue(kind)
        folder = tmp_path_factory.mktemp(kind)
        if kind in ("image", "audio"):
            write_bundle(folder, kind)
        elif kind == "vectors":
            folder = make_bundle(recipe(labels=("a", "b", "c")))
            described = json.loads((folder / "model.json").read_text())
            described |= {"task": "feature-extraction", "labels": [], "problem": "embedding", "golden": []}
            (folder / "model.json").write_text(json.dumps({**described, "options": {"dimensions": 3}}))
        else:
            WRITERS[kind](folder)
        return folder

    def once(kind):
        if kind not in made:
            made[kind] = make(kind)
        return made[kind]

    return once


def write(folder, task, tokenizer, *, file="model.onnx", **more):
    tokenizer.save(str(folder / "tokenizer.json"))
    variant = {"file": f"onnx/fp32/{file}", "batching": "padded", "bytes": 1, "golden_tolerance": 0.01}
    content = {"format": 1, "task": task, "problem": task, "max_length": 32, "default_variant": "fp32"}
    (folder / "model.json").write_text(json.dumps({**content, "variants": {"fp32": variant}, **more}))


def save(folder, name, nodes, inputs, outputs, weights):
    constants = [numpy_helper.from_array(np.asarray(value), key) for key, value in weights.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    path = folder / "onnx/fp32" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def info(name, *axes, kind=TensorProto.INT64):
    return helper.make_tensor_value_info(name, kind, list(axes))


def words():
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[MASK]"])
    return tokenizer


def write_per_token(folder, task, columns, outputs=("logits",), **more):
    """Each token has the scores of its word, `columns` of them, whatever stands beside it."""
    names = [f"table_{number}" for number, _ in enumerate(outputs)]
    axes = ("B", "T") if columns.ndim == 2 and len(outputs) > 1 else ("B", "T", columns.shape[-1])
    tables = list(columns.T) if len(outputs) > 1 else [columns]
    nodes = [
        helper.make_node("Gather", [table, "input_ids"], [output]) for table, output in zip(names, outputs, strict=True)
    ]
    rows = [info(name, "B", "T") for name in ("input_ids", "attention_mask")]
    made = [info(name, *axes, kind=TensorProto.FLOAT) for name in outputs]
    save(folder, "model.onnx", nodes, rows, made, dict(zip(names, map(np.float32, tables), strict=True)))
    write(folder, task, words(), **more)


def write_tags(folder):
    tags = ["O", "B-PER", "I-PER", "B-LOC"]
    scores = np.zeros((len(WORDS), len(tags)))
    scores[:, 0] = 4
    for word, tag in (("Marie", 1), ("Curie", 2), ("Warsaw", 3)):
        scores[WORDS.index(word)] = np.eye(len(tags))[tag] * 8
    write_per_token(folder, "token-classification", scores, labels=tags)


def write_masks(folder):
    scores = np.tile(np.arange(len(WORDS), dtype=np.float32), (len(WORDS), 1))
    write_per_token(folder, "masked-language-modelling", scores, options={"mask_token": "[MASK]"})


def write_spans(folder):
    scores = np.zeros((len(WORDS), 2))
    scores[WORDS.index("Warsaw")] = 9
    write_per_token(folder, "question-answering", scores, ("start_logits", "end_logits"))


def letters():
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(ALPHABET)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(["?", "</s>"])
    return tokenizer


def following():
    """After each letter comes the next one of the alphabet, after the last one the end."""
    table = np.zeros((len(ALPHABET), len(ALPHABET)), np.float32)
    for index in range(len(ALPHABET)):
        following = index + 1 if len(FIRST) <= index < len(FIRST) + LAST - 1 else 1
        table[index, following] = 9
    table[0, len(FIRST)] = 10
    return table


def cached(past, present):
    """Nodes by which a cache grows by one number for each token."""
    node = helper.make_node
    return [
        node("Cast", ["input_ids"], ["ids_NT"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["ids_NT", "inner_axes"], ["ids_N1T1"]),
        node("Concat", [past, "ids_N1T1"], [present], axis=2),
    ]


GENERATION = {"max_new_tokens": 20, "eos_token_id": 1}


def write_chat(folder):
    cache = ["past_key_values.0.key", "present.0.key"]
    save(
        folder,
        "model.onnx",
        [helper.make_node("Gather", ["table", "input_ids"], ["logits"]), *cached(*cache)],
        [info("input_ids", "N", "T"), info("attention_mask", "N", "S"), floats(cache[0], "P")],
        [info("logits", "N", "T", len(ALPHABET), kind=TensorProto.FLOAT), floats(cache[1], "S")],
        {"table": following(), "inner_axes": np.array([1, 3])},
    )
    (folder / "chat_template.jinja").write_text("{% for one in messages %}{{ one.content }}{% endfor %}")
    options = {"generation": GENERATION, "context": 64, "chat": True}
    write(folder, "text-generation", letters(), options=options)


def floats(name, tokens):
    return info(name, "N", 1, tokens, 1, kind=TensorProto.FLOAT)


def write_translation(folder, task="translation"):
    """Whatever is asked, the answer is the alphabet."""
    node, inner = helper.make_node, {"inner_axes": np.array([1, 3])}
    to_cache = [
        node("Cast", ["input_ids"], ["ids_NS"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["ids_NS", "inner_axes"], ["present.0.encoder.key"]),
    ]
    asked = [info("input_ids", "N", "S"), info("attention_mask", "N", "S")]
    save(folder, "encoder_model.onnx", to_cache, asked, [floats("present.0.encoder.key", "S")], inner)
    cache = ["past_key_values.0.decoder.key", "present.0.decoder.key"]
    save(
        folder,
        "decoder_model.onnx",
        [node("Gather", ["table", "input_ids"], ["logits"]), *cached(*cache)],
        [
            info("input_ids", "N", "T"),
            info("encoder_attention_mask", "N", "S"),
            floats(cache[0], "P"),
            floats("past_key_values.0.encoder.key", "S"),
        ],
        [info("logits", "N", "T", len(ALPHABET), kind=TensorProto.FLOAT), floats(cache[1], "A")],
        {"table": following(), **inner},
    )
    options = {"generation": {**GENERATION, "decoder_start_token_id": 0}}
    write(folder, task, letters(), file="decoder_model.onnx", options=options)


WRITERS = {
    "tags": write_tags,
    "masks": write_masks,
    "spans": write_spans,
    "chat": write_chat,
    "translation": write_translation,
    "summarization": lambda folder: write_translation(folder, "summarization"),
}

"""Answers held to a grammar, by any kind of tokenizer; what callers send is bounded."""

import json
import re
import string
import subprocess
import sys

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tunewright.serving.errors import InputError
from tunewright.serving.generation.grammar import MOST_CHARACTERS, Grammars
from tunewright.serving.generation.settings import Grammar

END = 1
LETTERS = string.ascii_lowercase + string.digits
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 5}, "age": {"type": "integer", "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def of_bytes():
    """As of GPT-2: each byte is a token, so that a character may take several."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["?", "</s>", *alphabet, '{"', '":']
    built = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, [("{", '"'), ('"', ":")]))
    built.pre_tokenizer, built.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return built


def of_letters():
    words = ["?", "</s>", *LETTERS, *'{}":, ', "na", "me"]
    built = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="?"))
    built.pre_tokenizer, built.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
    return built


def of_pieces():
    """As of T5: a word's first piece has its space."""
    pieces = ["<unk>", "</s>", *LETTERS, *'{}":,', "▁", "▁name", '{"', '":']
    built = Tokenizer(models.Unigram([(piece, -float(len(piece) == 1)) for piece in pieces], unk_id=0))
    built.pre_tokenizer, built.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return built


TOKENIZERS = [of_bytes, of_letters, of_pieces]


def made(build):
    tokenizer = build()
    tokenizer.add_special_tokens(["</s>"])
    return tokenizer


def written(tokenizer, grammar, seed=0, most=200):
    """An answer of random scores, as text."""
    constraint = Grammars(tokenizer).constraint(Grammar(**grammar), (END,))
    generator, ids = np.random.default_rng(seed), []
    for _ in range(most):
        scores = generator.normal(size=(1, tokenizer.get_vocab_size() + 7)).astype(np.float32)
        constraint.apply(scores)
        token = int(scores.argmax())
        if token == END:
            break
        ids.append(token)
        if constraint.accept(token):
            break
    return tokenizer.decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize("build", TOKENIZERS)
def test_any_answer_fits_the_schema(build):
    tokenizer = made(build)
    for seed in range(5):
        person = json.loads(written(tokenizer, {"type": "json", "value": PERSON}, seed))
        assert set(person) == {"name", "age"}
        assert len(person["name"]) <= 5
        assert person["age"] <= 99
    assert json.loads(written(tokenizer, {"type": "json_schema", "value": json.dumps(PERSON)}))


@pytest.mark.parametrize("build", TOKENIZERS)
def test_any_answer_fits_the_expression(build):
    for seed in range(5):
        text = written(made(build), {"type": "regex", "value": r"[0-9]{3},[a-f]{1,4}"}, seed)
        assert re.fullmatch(r"[0-9]{3},[a-f]{1,4}", text)


DEEP = '{"items":' * 3000 + "{}" + "}" * 3000
WRONG = [
    ({"type": "regex", "value": "(abc"}, r"is no regex that can be kept to: .*"),
    ({"type": "regex", "value": "a(?=b)"}, r"is no regex that can be kept to: .*"),
    ({"type": "json", "value": "{"}, r"is no JSON schema: .*"),
    ({"type": "json", "value": {"type": "objekt"}}, r"is no json that can be kept to: .*objekt.*"),
    ({"type": "json", "value": {"$ref": "http://nowhere.invalid/x"}}, r"is no json that can be kept to: .*"),
    ({"type": "json", "value": DEEP}, r"is no JSON schema: .*|is no json that can be kept to: .*"),
    ({"type": "json", "value": {"minimum": float("nan")}}, r"is no JSON schema: Out of range float values .*"),
    ({"type": "json", "value": {"const": 10**400}}, r"is no JSON schema: number out of range.*"),
    ({"type": "regex", "value": "\ud800"}, r"is no regex: .*surrogates not allowed"),
    ({"type": "regex", "value": "a" * (MOST_CHARACTERS + 1)}, r"has 65,537 characters; at most 65,536"),
]


@pytest.mark.parametrize(("grammar", "message"), WRONG)
def test_a_wrong_grammar_is_refused_in_one_sentence(grammar, message):
    with pytest.raises(InputError) as caught:
        Grammars(made(of_bytes)).constraint(Grammar(**grammar), (END,))
    sentence = str(caught.value)
    assert re.fullmatch(f"parameter 'grammar' ({message})", sentence)
    assert "\n" not in sentence
    assert len(sentence) < 300


HOSTILE = [
    {"type": "regex", "value": r"(a|b|ab)*" * 2000},
    {"type": "json", "value": {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(2500)}}},
]


@pytest.mark.parametrize("grammar", HOSTILE)
def test_a_grammar_that_is_too_dear_ends_the_answer(grammar):
    with pytest.raises(InputError, match=r"^parameter 'grammar' (cannot be kept to|is no \w+ that can be kept to): "):
        for seed in range(20):
            written(made(of_bytes), grammar, seed)


def test_the_library_is_imported_for_who_asks_alone():
    code = "import sys, tunewright.serving.predictor; print('llguidance' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

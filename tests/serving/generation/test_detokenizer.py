"""Text piece by piece."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tunewright.serving.generation.detokenizer import Detokenizer, first_stop

TEXTS = (
    "Hello world, this is a test of the detokenizer!",
    "日本語のテキスト and emoji 👩‍👩‍👧‍👦 🎉",
    "مرحبا بالعالم",
    "  spaces   and\nnewlines\t tabs ",
    "e\u0301 combining, \ufffd, don't can't",
)
SPECIAL = ["<unk>", "<s>", "</s>"]


def byte_level():
    built = Tokenizer(models.BPE())
    built.pre_tokenizer, built.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=SPECIAL, show_progress=False
    )
    built.train_from_iterator(TEXTS, trainer)
    return built


def metaspace():
    """As in T5 and mBART."""
    built = Tokenizer(models.Unigram())
    built.pre_tokenizer, built.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    built.train_from_iterator(TEXTS, trainer)
    return built


def byte_fallback():
    """As in Llama: blanks are marked by a normalizer, and what is not in the vocabulary is spelt in byte tokens."""
    built = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    built.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    spelt = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=380, special_tokens=SPECIAL + spelt, show_progress=False)
    built.train_from_iterator(TEXTS[:1], trainer)
    content = json.loads(built.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in SPECIAL]
    built = Tokenizer.from_str(json.dumps(content))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    built.decoder = decoders.Sequence(steps)
    return built


def word_piece():
    built = Tokenizer(models.WordPiece(unk_token="<unk>"))
    built.pre_tokenizer, built.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=SPECIAL, show_progress=False)
    built.train_from_iterator(TEXTS, trainer)
    return built


TOKENIZERS = {make.__name__: make() for make in (byte_level, metaspace, byte_fallback, word_piece)}


def pieces(tokenizer, ids, stops=()):
    text = Detokenizer(tokenizer, stops)
    return [*(text.push([id]) for id in ids), text.finish()]


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_pieces_of_any_ids_are_the_text_of_all_of_them(name, data):
    tokenizer = TOKENIZERS[name]
    ids = data.draw(st.lists(st.integers(0, tokenizer.get_vocab_size() - 1), max_size=25))
    assert "".join(pieces(tokenizer, ids)) == tokenizer.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_pieces_of_a_text_cut_anywhere_are_its_text(name, text):
    tokenizer = TOKENIZERS[name]
    ids = tokenizer.encode(text).ids
    for end in range(len(ids) + 1):
        assert "".join(pieces(tokenizer, ids[:end])) == tokenizer.decode(ids[:end], skip_special_tokens=True)


@pytest.mark.parametrize("name", ["byte_level", "byte_fallback"])
def test_no_piece_holds_half_a_character(name):
    tokenizer = TOKENIZERS[name]
    found = pieces(tokenizer, tokenizer.encode("wörld 🎉 日本").ids)
    assert "".join(found).strip() == "wörld 🎉 日本"
    assert not any("\ufffd" in piece for piece in found)


def test_text_is_shown_as_soon_as_it_is_certain():
    tokenizer = TOKENIZERS["metaspace"]
    ids = tokenizer.encode("this is a test").ids
    text = Detokenizer(tokenizer)
    assert all(text.push([id]) for id in ids)
    assert text.finish() == ""


def test_half_a_character_at_the_end_is_shown_as_the_whole_text_shows_it():
    tokenizer = TOKENIZERS["byte_fallback"]
    ids = tokenizer.encode("é🎉").ids[:-1]
    assert "".join(pieces(tokenizer, ids)) == tokenizer.decode(ids) == "\ufffd" * 5


def test_special_tokens_leave_no_trace():
    tokenizer = TOKENIZERS["byte_fallback"]
    start, end = (tokenizer.token_to_id(token) for token in ("<s>", "</s>"))
    words = tokenizer.encode("this test").ids
    ids = [start, *words[:2], start, start, *words[2:], end]
    assert "".join(pieces(tokenizer, ids)) == "this test"


@settings(max_examples=300, deadline=None)
@given(text=st.text("ab c", max_size=30), stops=st.lists(st.text("ab c", min_size=1, max_size=4), max_size=3))
@example(text="aab", stops=["ab"])
@example(text="aabab", stops=["abab", "abc"])
def test_what_is_shown_ends_before_the_first_stop_string(text, stops):
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, " ": 2, "c": 3}, unk_token="c"))
    tokenizer.decoder = decoders.Fuse()
    ids = ["ab c".index(letter) for letter in text]
    shown = "".join(pieces(tokenizer, ids, stops))
    at = first_stop(text, stops)
    # Of stop strings that overlap the one that is complete first counts, which ended the answer.
    assert text.startswith(shown)
    assert first_stop(shown, stops) is None
    assert (shown == text) if at is None else any(text[len(shown) :].startswith(stop) for stop in stops)


def test_what_may_begin_a_stop_string_is_held_back():
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    tokenizer.decoder = decoders.Fuse()
    text = Detokenizer(tokenizer, ["ab?"])
    assert [text.push([id]) for id in (1, 0, 1, 0, 1, 2, 1)] == ["b", "", "", "ab", "", "", ""]
    assert text.finish() == ""

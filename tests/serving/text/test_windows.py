"""Windows over long texts, held against what transformers cuts with the same tokenizer file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from tunewright.serving.errors import InputError
from tunewright.serving.text.cleaning import Cleaning, clean
from tunewright.serving.text.windows import Cut, Windower

SENTENCE = "Marie Curie was born in Warsaw; unbelievable misunderstandings, 我在北京大学 😀 café وُلدت ماري."
QUESTION = "Where was Marie Curie born?"
_CUT = Cut(64, None, 0)
KINDS = ("wordpiece", "byte_level", "metaspace", "metaspace_after_spaces")
FRAMES = {
    "wordpiece": ("[CLS]", "[SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
    "metaspace": ("[CLS]", "[SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
    "byte_level": ("<s>", "</s>", "<s> $A </s> </s> $B </s>"),
    "metaspace_after_spaces": ("<s>", "</s>", "<s> $A </s> </s> $B </s>"),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A function: the file of a tokenizer of this kind."""
    folder = tmp_path_factory.mktemp("tokenizers")
    paths = {}

    def make(kind):
        if kind not in paths:
            paths[kind] = folder / f"{kind}.json"
            _tokenizer(kind).save(str(paths[kind]))
        return paths[kind]

    return make


@pytest.fixture(scope="module")
def windower(path):
    """A function: the windower over a tokenizer of this kind."""
    return lambda kind="wordpiece", **steps: Windower(path(kind), Cleaning(**steps))


def _tokenizer(kind):
    cls, sep, pair = FRAMES[kind]
    special = [cls, sep, "[PAD]", "[UNK]"]
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    elif kind == "byte_level":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.Unigram())
        parts = [pre_tokenizers.WhitespaceSplit()] * (kind != "metaspace") + [pre_tokenizers.Metaspace()]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
        trainer = trainers.UnigramTrainer(vocab_size=90, special_tokens=special, unk_token="[UNK]", show_progress=False)
    tokenizer.train_from_iterator([SENTENCE, QUESTION], trainer)
    framed = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=pair,
        special_tokens=[(cls, tokenizer.token_to_id(cls)), (sep, tokenizer.token_to_id(sep))],
    )
    trimmed = [processors.ByteLevel(trim_offsets=True)] if kind == "byte_level" else []
    tokenizer.post_processor = processors.Sequence([*trimmed, framed])
    return tokenizer


def _by_transformers(path, *texts, max_length, stride):
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path))
    return tokenizer(
        *texts,
        truncation="only_second" if len(texts) == 2 else True,
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_token_type_ids=True,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stride", [0, 3, 9])
def test_the_windows_of_a_text_are_those_of_transformers(path, windower, kind, stride):
    text = clean(SENTENCE * 3, Cleaning())
    expected = _by_transformers(path(kind), text, max_length=16, stride=stride)
    row = windower(kind).text(text, Cut(16, stride, 0))
    assert [window.row.ids for window in row.windows] == expected["input_ids"]
    assert [window.row.type_ids for window in row.windows] == expected["token_type_ids"]
    for window, offsets in zip(row.windows, expected["offset_mapping"], strict=True):
        own = [text[token.start : token.end] for token in row.tokens[window.first : window.end]]
        # The library trims the space before a byte-level token in the first window only; ours is trimmed in all.
        theirs = [text[start:end] for start, end in offsets[row.lead : row.lead + len(own)]]
        assert own == [part.removeprefix(" ") for part in theirs] if kind == "byte_level" else own == theirs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stride", [0, 5])
def test_of_a_pair_only_the_second_text_is_cut(path, windower, kind, stride):
    text = clean(SENTENCE * 3, Cleaning())
    length = len(windower(kind).text(QUESTION, Cut(512, None, 0)).tokens) + 20
    expected = _by_transformers(path(kind), QUESTION, text, max_length=length, stride=stride)
    row = windower(kind).pair(QUESTION, text, Cut(length, stride, 0, max_first=100))
    assert [window.row.ids for window in row.windows] == expected["input_ids"]
    assert row.windows[0].row.type_ids == expected["token_type_ids"][0]
    # In later windows the library gives the second text the segment 1 even where the tokenizer file says 0.
    segments = {window.row.type_ids[row.lead] for window in row.windows}
    assert segments == {1 if ":1" in FRAMES[kind][2] else 0}
    assert row.lead == expected.sequence_ids(0).index(1)
    assert not row.truncated


def test_a_question_that_is_too_long_is_cut_and_reported(windower):
    row = windower().pair("why " * 50, "because it is so " * 5, Cut(23, None, 4))
    assert row.truncated
    assert all(window.row.truncated for window in row.windows)
    assert (row.lead, len(row.windows[0].row)) == (12, 23)  # [CLS] 10 tokens [SEP] ... [SEP]
    assert windower().pair("why why", "so", Cut(23, None, 4, max_first=1)).lead == 3


@pytest.mark.parametrize("kind", KINDS)
def test_every_token_is_in_a_window_and_the_last_window_ends_with_the_text(windower, kind):
    row = windower(kind).text(SENTENCE * 5, Cut(16, None, 4))
    assert {index for window in row.windows for index in range(window.first, window.end)} == set(range(len(row.tokens)))
    assert row.windows[-1].end == len(row.tokens)
    assert all(right.first < left.end for left, right in zip(row.windows, row.windows[1:], strict=False))


@settings(max_examples=50)
@given(st.integers(1, 200), st.integers(4, 40), st.integers(0, 30))
def test_merging_gives_each_token_its_window_with_the_most_context(windower, tokens, length, stride):
    room = length - 2
    row = windower().text("a " * tokens, Cut(length, min(stride, room * 3 // 4), 0))
    assert len(row.tokens) == tokens
    outputs = [
        np.array([[number, place - row.lead + window.first] for place in range(len(window.row))], dtype=np.float32)
        for number, window in enumerate(row.windows)
    ]
    for token, (number, place) in enumerate(row.merged(outputs).astype(int)):
        assert place == token
        context = [
            min(token - window.first, window.end - 1 - token) if window.first <= token < window.end else -1
            for window in row.windows
        ]
        assert context[number] == max(context)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "source",
    [
        "  Marie \x00\n Curie\x07was  born ",
        "cafe\u0301 in Warsaw",
        "\u2003Marie\u00a0Curie ",
        "Marie &amp; Curie",
        "我 在\t北京",
    ],
)
def test_offsets_point_into_the_text_as_it_was_sent(windower, kind, source):
    steps = Cleaning(html=True)
    sent = windower(kind, html=True).text(source, Cut(64, None, 0))
    plain = windower(kind, html=True).text(clean(source, steps), Cut(64, None, 0))
    assert [window.row for window in sent.windows] == [window.row for window in plain.windows]
    assert sent.text == source
    for token, clean_token in zip(sent.tokens, plain.tokens, strict=True):
        part = clean(source[token.start : token.end], steps)
        assert part == plain.text[clean_token.start : clean_token.end].strip()


def test_a_stride_that_leaves_too_little_new_is_refused(windower):
    with pytest.raises(InputError) as error:
        windower().text("a b c", Cut(16, 11, 0))
    assert str(error.value) == "the stride is 11 tokens; windows with room for 14 can share at most 10"
    assert windower().text("a b c", Cut(16, 10, 0)).windows
    assert windower().text("a " * 40, Cut(16, None, 1000)).windows[1].first == 14 - 10


def test_rows_too_short_for_a_text_are_refused(windower):
    with pytest.raises(InputError) as error:
        windower().pair("a b c", "d", Cut(6, None, 0, max_first=100))
    assert str(error.value) == "rows of 6 tokens have no room for the text beside the 6"


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_without_tokens_has_no_windows(windower, kind):
    assert windower(kind).text(" \x00 ", Cut(16, None, 0)).windows == []
    assert windower(kind).words([], Cut(16, None, 0)).windows == []
    assert windower(kind).words(["", "\x07"], Cut(16, None, 0)).tokens == []


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_tokenized_as_the_text_they_make(windower, kind):
    words = "Marie Curie was unbelievable".split()
    text, parts = (windower(kind).text(" ".join(words), _CUT), windower(kind).words(words, _CUT))
    assert [window.row for window in parts.windows] == [window.row for window in text.windows]
    trimmed = [parts.text[token.start : token.end].strip() for token in text.tokens]
    assert [parts.text[token.start : token.end] for token in parts.tokens] == trimmed
    assert [token.opens_word for token in parts.tokens] == [token.opens_word for token in text.tokens]


@pytest.mark.parametrize("kind", KINDS)
def test_the_words_of_a_caller_stay_words(windower, kind):
    words = ["Curie's", "", "cafe\u0301\x07", "[SEP]", "我在北京", "\u200b", "😀-😀"]
    row = windower(kind).words(words, _CUT)
    assert row.text == " ".join(words)
    assert [row.text[start:end] for start, end in row.words] == words
    for index, word in enumerate(words):
        tokens = [token for token in row.tokens if token.word == index]
        assert [token.opens_word for token in tokens] == [True, *[False] * len(tokens)][: len(tokens)]
        start, end = row.words[index]
        assert all(start <= token.start <= token.end <= end for token in tokens), (word, tokens)


def opened(row):
    """The words of a text, as its tokens open them."""
    starts = [token.start for token in row.tokens if token.opens_word]
    return [row.text[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Marie Curie, unbelievable", "Marie Curie , unbelievable"),
        ("(Warsaw); café!", "( Warsaw ) ; café !"),
        ("وُلدت ماري.", "وُلدت ماري ."),
    ],
)
def test_a_word_ends_at_a_space_and_at_punctuation(windower, kind, text, words):
    assert opened(windower(kind).text(text, _CUT)) == words.split()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "byte_level"])
def test_a_chinese_character_is_a_word(windower, kind):
    assert opened(windower(kind).text("the 我在北京café", _CUT)) == "the 我 在 北 京 café".split()


def test_a_tokenizer_that_marks_the_inside_of_words_knows_best(tmp_path):
    vocabulary = {"[UNK]": 0, "a": 1, "##-": 2, "##b": 3}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    row = Windower(tmp_path / "tokenizer.json", Cleaning()).text("a-b a", _CUT)
    assert len(row.tokens) == 4
    assert opened(row) == ["a-b", "a"]


def test_an_emoji_of_many_tokens_is_one_word(windower):
    row = windower("byte_level").text("😀 x 😀", _CUT)
    assert len(row.tokens) > 6
    assert opened(row) == ["😀", "x", "😀"]


def test_a_space_that_is_a_token_belongs_to_the_word_behind_it(windower):
    row = windower("metaspace").text("x qqq", _CUT)
    assert [token.text for token in row.tokens][-2:] == ["▁", "qqq"]
    assert opened(row) == ["x", "qqq"]


def test_what_the_vocabulary_does_not_have_is_known(windower):
    for kind, unknown in (("wordpiece", True), ("metaspace", True), ("byte_level", False)):
        assert [token.unknown for token in windower(kind).text("ж", _CUT).tokens][-1] is unknown

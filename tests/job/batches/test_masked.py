"""Which words are hidden, and how texts become rows."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from tunewright.job.batches.masked import Cutter, MaskedRows, Masking, drawing
from tunewright.job.batches.text import NO_LABEL, SplitWriter
from tunewright.serving.text.cleaning import Cleaning
from tunewright.serving.text.encoding import Encoded, Encoder, Padding

MASK = 4


@pytest.fixture
def tokenizer(tiny_tokenizer):
    return Tokenizer.from_file(str(tiny_tokenizer / "tokenizer.json"))


@pytest.fixture
def cutter(tiny_tokenizer):
    """cutter(max_length=16, whole_words=False): one over the tiny tokenizer, which has [CLS] 2 and [SEP] 3."""

    def make(max_length=16, *, whole_words=False):
        tokenizer = Tokenizer.from_file(str(tiny_tokenizer / "tokenizer.json"))
        return Cutter(tokenizer, max_length, whole_words=whole_words)

    return make


def masking(cutter, share=0.15):
    return Masking(share, MASK, cutter.ordinary)


def row_of(length):
    """A row of ids 100, 101, ... that are all words, between two special tokens."""
    ids = [2, *range(100, 100 + length), 3]
    words = np.array([NO_LABEL, *range(length), NO_LABEL])
    return Encoded(ids, [0] * len(ids), truncated=False), words


def test_the_share_is_met_and_most_of_it_becomes_the_mask(cutter):
    hide = masking(cutter())
    row, words = row_of(50)
    drawn = [hide.hide(row, words, drawing(1, 0, number)) for number in range(400)]
    ids = np.array([one.row.ids for one in drawn])
    chosen = np.array([one.chosen for one in drawn])
    before = np.broadcast_to(row.ids, ids.shape)
    assert chosen.mean(axis=1).sum() / 400 * 52 / 50 == pytest.approx(0.15, abs=0.002)
    assert (ids[chosen] == MASK).mean() == pytest.approx(0.8, abs=0.02)
    assert (ids[chosen] == before[chosen]).mean() == pytest.approx(0.1, abs=0.02)
    assert (ids[~chosen] == before[~chosen]).all()


def test_every_word_is_hidden_about_as_often(cutter):
    row, words = row_of(40)
    hide = masking(cutter())
    counts = sum(hide.hide(row, words, drawing(1, 0, number)).chosen.astype(int) for number in range(2000))
    assert counts[1:-1].min() > 230
    assert counts[1:-1].max() < 370
    assert counts[[0, -1]].tolist() == [0, 0]


def test_what_takes_the_place_of_a_word_is_no_special_token(cutter):
    one = cutter()
    assert set(range(5)).isdisjoint(one.ordinary.tolist())
    row, words = row_of(60)
    hide = Masking(0.5, MASK, one.ordinary)
    seen = {id_ for number in range(200) for id_ in hide.hide(row, words, drawing(2, 0, number)).row.ids[1:-1]}
    assert seen & set(range(5)) == {MASK}
    assert len(seen) > 300


@pytest.mark.parametrize("length", [2, 3, 5])
def test_a_short_row_still_has_something_to_find(cutter, length):
    row, words = row_of(length)
    hide = masking(cutter())
    assert {int(hide.hide(row, words, drawing(1, 0, number)).chosen.sum()) for number in range(50)} == {1}


def test_targets_are_what_stood_at_the_chosen_places(cutter):
    row, words = row_of(30)
    hidden = masking(cutter()).hide(row, words, drawing(3, 0, 0))
    assert hidden.targets.tolist() == np.array(row.ids)[hidden.chosen].tolist()


def test_a_draw_depends_on_seed_epoch_and_row_alone(cutter):
    row, words = row_of(60)
    hide = masking(cutter())

    def chosen(*place):
        return tuple(np.flatnonzero(hide.hide(row, words, drawing(*place)).chosen))

    assert chosen(1, 2, 3) == chosen(1, 2, 3)
    assert len({chosen(1, 2, 3), chosen(9, 2, 3), chosen(1, 9, 3), chosen(1, 2, 9)}) == 4


def test_whole_words_are_hidden_together(cutter, tokenizer):
    text = "the unbelievableness of extraordinarinesses was incomprehensible"
    ((_, row, words),) = cutter(64, whole_words=True).rows([text])
    assert len(set(words.tolist())) < len(words) - 5
    assert len(tokenizer.encode(text).ids) == len(row)
    hide = masking(cutter(), share=0.3)
    for number in range(100):
        chosen = hide.hide(row, words, drawing(1, 0, number)).chosen
        hidden = set(words[chosen].tolist())
        assert chosen.tolist() == [word in hidden for word in words.tolist()]


def test_special_tokens_in_a_text_and_unknown_words_are_never_hidden(cutter):
    ((_, row, words),) = cutter(32).rows(["the [MASK] and [SEP] 龘 the"])
    special = [id_ in range(5) for id_ in row.ids]
    assert sum(special) == 5
    assert (words == NO_LABEL).tolist() == special


def test_a_long_text_goes_on_in_the_next_row_and_nothing_is_lost(cutter, tokenizer, reviews):
    text = " ".join(text for text, _ in reviews[:20])
    rows = list(cutter(16).rows(["the lamp works", text]))
    parts = [row.ids for number, row, _ in rows if number == 1]
    assert all(part[0] == 2 and part[-1] == 3 and len(part) <= 16 for part in parts)
    assert [id_ for part in parts for id_ in part[1:-1]] == tokenizer.encode(text, add_special_tokens=False).ids
    assert [len(part) for part in parts[:-1]] == [16] * (len(parts) - 1)


def test_packed_rows_are_full_and_hold_all_texts_in_their_order(cutter, tokenizer, reviews):
    texts = [text for text, _ in reviews[:60]]
    packed = list(cutter(16).packed([texts[:25], texts[25:]]))
    content = [id_ for row, _ in packed for id_ in row.ids[1:-1]]
    expected = [id_ for text in texts for id_ in [3, *tokenizer.encode(text, add_special_tokens=False).ids]][1:]
    assert content == expected
    assert all(len(row) == 16 for row, _ in packed[:-1])
    assert all((words == NO_LABEL).tolist() == [id_ < 5 for id_ in row.ids] for row, words in packed)


def test_a_text_of_one_known_token_has_no_row(cutter):
    assert [number for number, _, _ in cutter().rows(["the", "龘龘龘 the", "the lamp"])] == [2]


def test_rows_begin_and_end_as_the_tokenizer_says():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        ["good lamp"], trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    text = "a good 灯 lamp 💡 !"
    rows = list(Cutter(tokenizer, 8, whole_words=False).rows([text]))
    assert all(row.ids[0] == 0 and row.ids[-1] == 2 for _, row, _ in rows)
    assert [id_ for _, row, _ in rows for id_ in row.ids[1:-1]] == tokenizer.encode(text, add_special_tokens=False).ids


@pytest.fixture
def rows(cutter, tiny_tokenizer, tmp_path, reviews):
    """Twelve masked rows of unequal length."""
    writer = SplitWriter(tmp_path / "rows")
    for _, row, words in cutter(24).rows([text for text, _ in reviews[:12]]):
        writer.add(row, words.tolist())
    encoder = Encoder(tiny_tokenizer / "tokenizer.json", max_length=24, padding=Padding(id=0), cleaning=Cleaning())
    return MaskedRows(writer.close(), masking(cutter()), encoder, ["input_ids", "attention_mask"], seed=5)


def test_targets_put_back_where_masked_says_restore_the_rows(rows):
    numbers = [3, 0, 7]
    batch = rows.batch(numbers)
    restored = batch["input_ids"].clone()
    restored[batch["learned"]] = batch["targets"]
    for place, number in enumerate(numbers):
        length = int(rows.lengths[number])
        assert restored[place, :length].tolist() == rows._split.row(number).ids
        assert not batch["learned"][place, length:].any()
        assert batch["attention_mask"][place].tolist() == [1] * length + [0] * (restored.shape[1] - length)


def test_a_row_is_masked_alike_in_every_batch_of_an_epoch(rows):
    alone, together = rows.batch([4]), rows.batch([1, 4, 9])
    length = int(rows.lengths[4])
    assert alone["input_ids"][0].tolist() == together["input_ids"][1, :length].tolist()


def test_another_epoch_masks_other_words_and_the_same_epoch_the_same(rows):
    def masked(epoch):
        rows.renew(epoch)
        return rows.batch(range(10))["learned"].tolist()

    assert masked(1) == masked(1)
    assert masked(1) != masked(2)

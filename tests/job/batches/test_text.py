"""Texts to token ids, by the encoder that serves."""

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

from tunewright.job.batches.text import TokenizerFit, encode, percentiles, tokenizer_fit
from tunewright.job.data.dataset import DatasetWriter, open_dataset
from tunewright.job.errors import BaseModelError, DataError
from tunewright.serving.text.cleaning import Cleaning
from tunewright.serving.text.encoding import Encoder, Padding, load_tokenizer


@pytest.fixture
def data(tmp_path):
    """data(texts) is a data set of them."""

    def make(texts):
        kind = pa.list_(pa.large_string()) if isinstance(texts[0], tuple) else pa.large_string()
        writer = DatasetWriter(tmp_path / "rows.arrow", (kind, pa.float64()))
        for text in texts:
            writer.add(text, 0.0)
        writer.close()
        return open_dataset(tmp_path / "rows.arrow")

    return make


@pytest.fixture
def encoder(tiny_tokenizer):
    """encoder(length): the encoder of the tiny tokenizer."""
    return lambda length=16: Encoder(
        tiny_tokenizer / "tokenizer.json", max_length=length, padding=Padding(id=0), cleaning=Cleaning()
    )


def encoded(data, encoder, tmp_path):
    return encode(data, encoder, np.zeros(len(data)), tmp_path / "encoded", on_rows=lambda rows: None)


@pytest.mark.parametrize("pair", [False, True])
def test_rows_are_what_serving_makes_of_the_text(data, encoder, tmp_path, reviews, pair):
    texts = [(text, text[::-1]) if pair else text for text, _ in reviews[:400]]
    split = encoded(data(texts), encoder(), tmp_path)
    assert len(split) == len(texts)
    for index, row in enumerate(encoder().encode(texts)):
        assert (split.row(index).ids, split.row(index).type_ids) == (row.ids, row.type_ids)


def test_rows_that_were_cut_are_counted(data, encoder, tmp_path):
    split = encoded(data(["good", "good " * 20, "bad " * 30]), encoder(8), tmp_path)
    assert split.truncated == 2
    assert split.lengths.tolist()[1:] == [8, 8]
    assert split.lengths[0] < 8


def test_the_rows_are_told_as_they_are_done(data, encoder, tmp_path):
    told = []
    rows = data(["good"] * 2500)
    encode(rows, encoder(), np.zeros(2500), tmp_path / "encoded", on_rows=told.append)
    assert told == [1024, 1024, 452]


def test_a_text_that_makes_no_token_is_a_fault_of_the_data(data, encoder, tmp_path, tiny_tokenizer):
    made = encoder()
    made._tokenizer = load_tokenizer(tiny_tokenizer / "tokenizer.json")
    made._tokenizer.post_processor = None
    with pytest.raises(DataError) as caught:
        encoded(data(["good", "\u200b"]), made, tmp_path)
    assert str(caught.value) == (
        "the tokenizer of the base model cannot encode a row of the data: "
        "text 1 is empty: this model's tokenizer makes no token of it"
    )


def test_a_tokenizer_fits_its_own_language(data, tiny_tokenizer, reviews):
    fit = tokenizer_fit(data([text for text, _ in reviews]), load_tokenizer(tiny_tokenizer / "tokenizer.json"))
    assert fit.unknown < 0.01
    assert not fit.poor


def test_a_tokenizer_does_not_fit_another_script(data, tiny_tokenizer):
    texts = [("很好吃，送餐很快", "味道不错"), ("下次还会再来", "太慢了")]
    fit = tokenizer_fit(data(texts), load_tokenizer(tiny_tokenizer / "tokenizer.json"))
    assert fit.unknown > 0.9
    assert (fit.poor, fit.foreign) == (True, True)


def test_a_pattern_that_gives_up_is_a_sentence(data, tiny_tokenizer):
    tokenizer = load_tokenizer(tiny_tokenizer / "tokenizer.json")
    tokenizer.pre_tokenizer = Split(Regex("(?:(a+)+)+$b|x"), "isolated")
    with pytest.raises(BaseModelError, match="gives up on a text of the data"):
        tokenizer_fit(data(["a" * 60 + "c"]), tokenizer)


def test_one_letter_a_token_is_poor_but_not_foreign():
    fit = TokenizerFit(unknown=0.01, single=0.98)
    assert (fit.poor, fit.foreign) == (True, False)


def test_a_huge_text_is_judged_by_its_beginning(data, tiny_tokenizer):
    tokenizer = load_tokenizer(tiny_tokenizer / "tokenizer.json")
    assert tokenizer_fit(data(["good " * 200 + "很" * 10**6]), tokenizer).unknown == 0


def test_percentiles_are_tokens():
    assert percentiles(np.arange(101)) == [50, 95, 100]

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from tunewright.job.measure.written import Bleu, bleu_tokenizer, chrf, is_unspaced, rouge

FOUND = ["The cat sat on the mat.", "A dog, it seems, barks at 3 o'clock.", "no", "The the the the cat"]
TRUTHS = ["The cat is on the mat.", "It seems a dog barks at 3 o'clock.", "yes", "The cat sat still there."]
CHINESE = ["我们昨天去了北京。", "他喜欢吃苹果和香蕉。"]
JAPANESE = ["きのう東京へ行きました。", "りんごが好きです。"]
ROWS = np.arange(4)


@pytest.mark.parametrize("tokenizer", ["13a", "zh", "char"])
def test_bleu_is_that_of_sacrebleu(tokenizer):
    expected = BLEU(tokenize=tokenizer).corpus_score(FOUND, [TRUTHS]).score / 100
    assert 0 < expected < 1
    assert Bleu(FOUND, TRUTHS, tokenizer).of(ROWS) == pytest.approx(expected)


def test_bleu_of_some_rows_is_that_of_these_rows():
    some = np.array([0, 0, 3])
    expected = BLEU().corpus_score([FOUND[row] for row in some], [[TRUTHS[row] for row in some]]).score / 100
    assert Bleu(FOUND, TRUTHS, "13a").of(some) == pytest.approx(expected)


def test_chrf_is_that_of_sacrebleu():
    assert chrf(FOUND, TRUTHS) == pytest.approx(CHRF().corpus_score(FOUND, [TRUTHS]).score / 100)


def test_rouge_of_english_is_that_of_rouge_score():
    kinds = ["rouge1", "rouge2", "rougeL"]
    theirs = RougeScorer(kinds)
    expected = [
        [theirs.score(truth, text)[kind].fmeasure for kind in kinds] for text, truth in zip(FOUND, TRUTHS, strict=True)
    ]
    assert rouge(FOUND, TRUTHS, kinds).tolist() == expected


def test_rouge_of_chinese_counts_characters():
    # Of 4 characters each, 3 are the same and in the same order.
    assert rouge(["我去北京"], ["我去南京"], ["rouge1", "rouge2", "rougeL"]).tolist() == [[0.75, 1 / 3, 0.75]]


def test_rouge_knows_letters_beyond_a_to_z():
    assert rouge(["größer über"], ["größer über"], ["rouge2"]).tolist() == [[1.0]]
    assert rouge(["grünes"], ["grobes"], ["rouge1"]).tolist() == [[0.0]]


def test_the_tokenizer_of_bleu_is_that_of_the_script():
    assert [bleu_tokenizer(texts) for texts in (TRUTHS, CHINESE, JAPANESE)] == ["13a", "zh", "char"]
    assert [is_unspaced(texts) for texts in (TRUTHS, CHINESE, JAPANESE)] == [False, True, True]

"""How near written texts are to those that were to be written: BLEU, chrF and ROUGE, all from 0 to 1.

sacreBLEU gives its figures in hundredths; here 0.31 is what it calls 31.
Axes: N texts.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from tunewright.serving.text.spacing import UNSPACED

_HAN, _KANA = re.compile(r"[\u3400-\u9fff]"), re.compile(r"[\u3040-\u30ff]")
_WORD = re.compile(r"[^\W_]+")
_SAMPLE = 1000

Scores = NDArray[np.float64]


class Bleu:
    """BLEU of any of the texts, from counts that are made once."""

    def __init__(self, found: Sequence[str], truths: Sequence[str], tokenizer: str) -> None:
        """`tokenizer`: sacreBLEU's name of it."""
        metric = BLEU(tokenize=tokenizer, effective_order=True)
        each = [metric.sentence_score(text, [truth]) for text, truth in zip(found, truths, strict=True)]
        self._counts = np.array([one.counts for one in each])
        self._totals = np.array([one.totals for one in each])
        self._lengths = np.array([(one.sys_len, one.ref_len) for one in each])

    def of(self, rows: NDArray[np.int64]) -> float:
        """Corpus BLEU of the texts with these numbers."""
        counts, totals = self._counts[rows].sum(axis=0), self._totals[rows].sum(axis=0)
        system, reference = self._lengths[rows].sum(axis=0).tolist()
        score = BLEU.compute_bleu(
            counts.tolist(), totals.tolist(), sys_len=system, ref_len=reference, smooth_method="exp"
        )
        return float(score.score) / 100


def chrf(found: Sequence[str], truths: Sequence[str]) -> float:
    """chrF2 of all texts."""
    return float(CHRF().corpus_score(list(found), [list(truths)]).score) / 100


def rouge(found: Sequence[str], truths: Sequence[str], kinds: Sequence[str]) -> Scores:
    """ROUGE F1 `[N, kinds]` of each text, without stemming."""
    scorer = RougeScorer(list(kinds), tokenizer=_Words())
    scores = [scorer.score(truth, text) for text, truth in zip(found, truths, strict=True)]
    return np.array([[one[kind].fmeasure for kind in kinds] for one in scores]).reshape(len(scores), len(kinds))


class _Words:
    """Words in lower case; each character by itself in scripts without spaces.

    On English it gives the words of ROUGE's own tokenizer, which takes no other letters than a to z.
    """

    def tokenize(self, text: str) -> list[str]:
        """The words of a text."""
        apart = UNSPACED.sub(lambda letter: f" {letter[0]} ", text.lower())
        return _WORD.findall(apart)


def is_unspaced(texts: Sequence[str]) -> bool:
    """Whether most texts are of a script without spaces, so that characters are counted instead of words."""
    sample = texts[:_SAMPLE]
    return 2 * sum(bool(UNSPACED.search(text)) for text in sample) > len(sample)


def bleu_tokenizer(texts: Sequence[str]) -> str:
    """sacreBLEU's name of the tokenizer for such texts: Chinese has its own, other unspaced scripts go by character."""
    if not is_unspaced(texts):
        return "13a"
    sample = texts[:_SAMPLE]
    kana = sum(bool(_KANA.search(text)) for text in sample)
    han = sum(bool(_HAN.search(text)) for text in sample)
    return "zh" if han > len(sample) / 2 and kana < len(sample) / 10 else "char"

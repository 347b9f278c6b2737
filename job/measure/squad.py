"""Exact match and F1 of answers, as the SQuAD evaluation computes them (Rajpurkar et al. 2016, 2018).

Scripts without spaces between words: their characters count as words, as in the CMRC 2018 evaluation of Chinese.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from statistics import fmean as mean

from tunewright.serving.text.spacing import UNSPACED

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = dict.fromkeys(map(ord, string.punctuation + "。，、；：？！“”‘’（）《》〈〉【】「」『』…—～·"))


def normalized(text: str) -> list[str]:
    """The words of an answer: lower case, without punctuation and articles."""
    plain = _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION))
    return UNSPACED.sub(r" \g<0> ", plain).split()


def exact_match(answer: str, truths: Sequence[str]) -> float:
    """1 where the answer is one of the truths; an unanswerable question has the one truth ""."""
    return float(any(normalized(answer) == normalized(truth) for truth in truths))


def f1(answer: str, truths: Sequence[str]) -> float:
    """The best F1 of the words in common with one of the truths."""
    return max(_f1(normalized(answer), normalized(truth)) for truth in truths)


def mean_f1(truths: Sequence[Sequence[str]], answers: Sequence[str]) -> float:
    """The mean over the questions."""
    return mean(f1(answer, truth) for answer, truth in zip(answers, truths, strict=True))


def mean_exact_match(truths: Sequence[Sequence[str]], answers: Sequence[str]) -> float:
    """The mean over the questions."""
    return mean(exact_match(answer, truth) for answer, truth in zip(answers, truths, strict=True))


def _f1(answer: Sequence[str], truth: Sequence[str]) -> float:
    if not answer or not truth:
        return float(list(answer) == list(truth))
    common = (Counter(answer) & Counter(truth)).total()
    return 2 * common / (len(answer) + len(truth))

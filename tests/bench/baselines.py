"""What no model is needed for: the figures that a trained one must beat.

Each function takes the folder of the laid out data, where the sides are named train and test.
"""

import csv
import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from tunewright.job.measure import squad as squad_metrics
from tunewright.job.measure.written import Bleu, bleu_tokenizer, rouge

Baseline = Callable[[Path], float]


def nearest_sentence(test: str) -> Baseline:
    """F1 of the sentence of the context that shares most words with the question."""

    def f1(out: Path) -> float:
        scores = []
        for document in json.loads((out / test).read_text())["data"]:
            for paragraph in document["paragraphs"]:
                sentences = [one for one in re.split(r"(?<=[.!?;。！？；])\s*", paragraph["context"]) if one.strip()]
                words = [set(squad_metrics.normalized(sentence)) for sentence in sentences]
                for question in paragraph["qas"]:
                    asked = set(squad_metrics.normalized(question["question"]))
                    best = max(range(len(sentences)), key=lambda place: len(words[place] & asked))
                    truths = [answer["text"] for answer in question["answers"]]
                    scores.append(squad_metrics.f1(sentences[best], truths))
        return float(np.mean(scores))

    return f1


def some_target(metric: str, train: str, test: str, column: str | int) -> Baseline:
    """BLEU or ROUGE-L of answers that have nothing to do with the texts: training targets drawn at random."""

    def score(out: Path) -> float:
        truths = column_of(out / test, column)
        found = random.Random(1).choices(column_of(out / train, column), k=len(truths))
        if metric == "bleu":
            return Bleu(found, truths, bleu_tokenizer(truths)).of(np.arange(len(truths)))
        return float(rouge(found, truths, [metric]).mean())

    return score


def unigram(train: str, test: str, column: str | None = None) -> Baseline:
    """Perplexity of the frequencies of the training tokens (add-one), over the base model's own tokens."""

    def perplexity(out: Path) -> float:
        tokenizer = Tokenizer.from_file(str(out / "base" / "tokenizer.json"))
        read = (lambda name: column_of(out / name, column)) if column else (lambda name: [(out / name).read_text()])
        counts, tested = (_tokens(tokenizer, read(name)) for name in (train, test))
        total = counts.total() + tokenizer.get_vocab_size()
        loss = -sum(number * math.log((counts[token] + 1) / total) for token, number in tested.items())
        return math.exp(loss / tested.total())

    return perplexity


def column_of(path: Path, column: str | int) -> list[str]:
    """The values of a column of a JSONL or a headerless TSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        if path.suffix == ".jsonl":
            return [json.loads(line)[column] for line in file]
        return [row[column] for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def _tokens(tokenizer: Tokenizer, texts: Iterable[str]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for text in texts:
        counts.update(tokenizer.encode(text).ids)
    return counts

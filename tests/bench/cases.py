"""The data sets of `make bench-tasks`: how each is learned, and what it must reach."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import baselines
import bases
import sources
from baselines import Baseline
from bases import Base
from sources import Source, files


@dataclass(frozen=True)
class Case:
    """One data set, how to learn it, and the figure it must reach on its test rows."""

    source: Source
    """The files of its sides."""
    metric: str
    """The figure that is reported."""
    question: Any
    """What the server is asked; a Path names a file of the laid out data (or the first of a folder), sent in base64."""
    floor: float | None = None
    """What fp32 must reach."""
    baseline: Baseline | None = None
    """A figure that fp32 must beat, measured in the same run."""
    base: Base | None = None
    """Makes the base model; MiniLM-L6 when absent."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the job, other than names and places."""


def _csl_texts(data: Path) -> Iterator[str]:
    for column in (1, 2):
        yield from baselines.column_of(data / "csl/ts/dev.tsv", column)


_PAIRS_OF_STSB = {
    "train": "stsb/stsb-en-train.csv",
    "validation": "stsb/stsb-en-dev.csv",
    "test": "stsb/stsb-en-test.csv",
}
_STSB = {"header": False, "columns": {"text": 0, "text_pair": 1, "score": 2}}

CLASSIFICATION = {
    "sst2": Case(
        source=files(train="sst2/train.tsv", test="sst2/dev.tsv"),
        metric="accuracy",
        floor=0.87,
        question="a gorgeous , witty , seductive movie .",
        settings={
            "data": {
                "header": False,
                "columns": {"text": 0, "label": 1},
                "label_names": {"0": "negative", "1": "positive"},
            },
            "train": {"epochs": 4},
        },
    ),
    "goemotions": Case(
        source=files(train="goemotions/train.tsv", validation="goemotions/dev.tsv", test="goemotions/test.tsv"),
        metric="macro_f1",
        floor=0.30,
        question="Thanks so much, that was really kind of you!",
        settings={
            "data": {"header": False, "columns": {"text": 0, "labels": 1}, "limit": 8000},
            "train": {"epochs": 5, "class_weights": "balanced", "learning_rate": 2e-4},
        },
    ),
    "sick": Case(
        source=files(
            train="sick/SICK_train.txt", validation="sick/SICK_trial.txt", test="sick/SICK_test_annotated.txt"
        ),
        metric="accuracy",
        floor=0.85,
        question={"text": "A man is playing a guitar", "text_pair": "Nobody is playing a guitar"},
        settings={
            "data": {
                "format": "tsv",
                "columns": {"text": "sentence_A", "text_pair": "sentence_B", "label": "entailment_judgment"},
            },
            "train": {"epochs": 6, "learning_rate": 2e-4},
        },
    ),
    "stsb": Case(
        source=files(**_PAIRS_OF_STSB),
        metric="spearman",
        floor=0.83,
        question={"text": "A plane is taking off.", "text_pair": "An air plane is taking off."},
        settings={"task": "text-regression", "data": _STSB, "train": {"epochs": 4, "learning_rate": 1e-4}},
    ),
    "banking77": Case(
        source=files(train="banking77/train.csv", test="banking77/test.csv"),
        metric="accuracy",
        floor=0.92,
        question="My card still has not arrived, what should I do?",
        settings={
            "data": {"columns": {"text": "text", "label": "category"}},
            "train": {"epochs": 8, "learning_rate": 3e-4},
        },
    ),
    "waimai_10k": Case(
        source=files(train="waimai_10k/waimai_10k.csv"),
        metric="accuracy",
        floor=0.772,  # ten points above the majority class, 0.672
        question="很快，好吃，味道足，量大",
        settings={
            "data": {"columns": {"text": "review", "label": "label"}},
            # A weight between none and balanced (1.5), which costs accuracy.
            "train": {"epochs": 6, "learning_rate": 3e-4, "max_length": 64, "class_weights": {"1": 1.1}},
        },
    ),
}

VECTORS = {
    "stsb-frozen": Case(
        source=files(**_PAIRS_OF_STSB),
        metric="spearman",
        floor=0.82,
        question="A plane is taking off.",
        settings={"task": "feature-extraction", "options": {"learn": False}, "data": _STSB},
    ),
    "stsb-vectors": Case(
        source=files(**_PAIRS_OF_STSB),
        metric="spearman",
        floor=0.83,
        question="A plane is taking off.",
        settings={
            "task": "feature-extraction",
            "data": _STSB,
            "train": {"epochs": 4, "learning_rate": 2e-5, "batch_size": 16},
        },
    ),
    "banking77-frozen": Case(
        source=files(train="banking77/train.csv", test="banking77/test.csv"),
        metric="accuracy",
        floor=0.90,
        question="My card still has not arrived, what should I do?",
        settings={
            "data": {"columns": {"text": "text", "label": "category"}},
            "train": {"few_shot": {}, "layers": "head"},
        },
    ),
}

WORDS = {
    "wnut17": Case(
        source=files(
            train="wnut17/wnut17train.conll",
            validation="wnut17/emerging.dev.conll",
            test="wnut17/emerging.test.annotated",
        ),
        metric="f1",
        floor=0.30,
        question="Empire State Building is in New York, says Ada Lovelace",
        settings={
            "task": "token-classification",
            "data": {"format": "conll", "columns": {"tokens": 0, "tags": 1}},
            "train": {"epochs": 4, "learning_rate": 3e-4, "batch_size": 16, "max_length": 128},
        },
    ),
    "ud_ewt": Case(
        source=files(
            train="ud_ewt/en_ewt-ud-train.conllu",
            validation="ud_ewt/en_ewt-ud-dev.conllu",
            test="ud_ewt/en_ewt-ud-test.conllu",
        ),
        metric="accuracy",
        floor=0.93,
        question="She reads a book about old trains.",
        settings={
            "task": "token-classification",
            "options": {"scheme": "plain"},
            "data": {"columns": {"tokens": "form", "tags": "upos"}},
            "train": {"epochs": 2, "learning_rate": 3e-4, "max_length": 128},
        },
    ),
}

ANSWERS = {
    "policyqa": Case(
        source=files(train="policyqa/test.json", test="policyqa/dev.json"),
        metric="f1",
        baseline=baselines.nearest_sentence("policyqa/dev.json"),
        question={"question": "Who may see my address?", "context": "We share your address with our partners only."},
        settings={
            "task": "question-answering",
            "data": {"format": "squad"},
            "train": {"epochs": 3, "learning_rate": 2e-4, "max_length": 256},
        },
    ),
    "cmrc2018": Case(
        source=files(train="cmrc2018/cmrc2018_dev.json", test="cmrc2018/cmrc2018_trial.json"),
        metric="f1",
        baseline=baselines.nearest_sentence("cmrc2018/cmrc2018_trial.json"),
        question={"question": "她出生在哪里？", "context": "居里夫人出生在华沙。"},
        settings={
            "task": "question-answering",
            "options": {"drop_wrong": True},
            "data": {"format": "squad", "limit": 250, "drop_empty": True},
            "train": {"epochs": 2, "learning_rate": 2e-4, "max_length": 256},
        },
    ),
}

WRITTEN = {
    "multi30k": Case(
        source=sources.multi30k,
        metric="bleu",
        baseline=baselines.some_target("bleu", "train.jsonl", "test.jsonl", "de"),
        base=bases.marian("en", "de"),
        question="A man is riding a bicycle in the street.",
        settings={
            "task": "translation",
            "options": {"max_target_length": 64},
            "data": {"columns": {"source": "en", "target": "de"}},
            "train": {"epochs": 6, "learning_rate": 2e-3, "batch_size": 64, "max_length": 64},
        },
    ),
    "scitldr": Case(
        source=sources.scitldr,
        metric="rougeL",
        baseline=baselines.some_target("rougeL", "train.jsonl", "test.jsonl", "tldr"),
        base=bases.marian("abstract", "tldr", vocabulary=4000),
        question="We study how small models learn. We propose a method and show that it helps on three benchmarks.",
        settings={
            "task": "summarization",
            "options": {"max_target_length": 48, "generation": {"no_repeat_ngram_size": 2}},
            "data": {"columns": {"source": "abstract", "target": "tldr"}},
            "train": {"epochs": 5, "learning_rate": 1e-3, "batch_size": 16, "max_length": 192},
        },
    ),
    "dialogsum": Case(
        source=sources.dialogsum,
        metric="rougeL",
        baseline=baselines.some_target("rougeL", "train.jsonl", "test.jsonl", "summary"),
        base=bases.marian("dialogue", "summary", vocabulary=4000),
        question="#Person1#: Are you coming tonight? #Person2#: Yes, at eight.",
        settings={
            "task": "summarization",
            "options": {"max_target_length": 64, "generation": {"no_repeat_ngram_size": 2}},
            "data": {"columns": {"source": "dialogue", "target": "summary"}},
            "train": {"epochs": 10, "learning_rate": 1e-3, "batch_size": 16, "max_length": 192},
        },
    ),
    "csl": Case(
        source=files(train="csl/ts/dev.tsv", test="csl/ts/test.tsv"),
        metric="rougeL",
        baseline=baselines.some_target("rougeL", "csl/ts/dev.tsv", "csl/ts/test.tsv", 2),
        base=bases.t5(_csl_texts, vocabulary=4000),
        question="本文提出了一种基于神经网络的图像识别方法，实验表明该方法是有效的。",
        settings={
            "task": "summarization",
            "options": {"max_target_length": 48, "generation": {"no_repeat_ngram_size": 2}},
            "data": {"header": False, "columns": {"source": 1, "target": 2}},
            "train": {"epochs": 10, "learning_rate": 2e-3, "batch_size": 16, "max_length": 160},
        },
    ),
    "tinyshakespeare": Case(
        source=sources.tinyshakespeare,
        metric="perplexity",
        baseline=baselines.unigram("train.txt", "test.txt"),
        base=bases.gpt2(vocabulary=2000),
        question="ROMEO:\nWhat light",
        settings={
            "task": "text-generation",
            "options": {"generation": {"max_new_tokens": 40}},
            "data": {"sample_by": "paragraph"},
            "train": {"epochs": 4, "learning_rate": 2e-3, "batch_size": 8, "max_length": 256},
        },
    ),
    "alpaca": Case(
        source=sources.alpaca,
        metric="perplexity",
        baseline=baselines.unigram("train.jsonl", "test.jsonl", "response"),
        base=bases.llama("prompt", "response", vocabulary=3000),
        question="Name three colours.\n",
        settings={
            "task": "text-generation",
            "options": {"generation": {"max_new_tokens": 60}, "generated_rows": 50},
            "data": {"columns": {"prompt": "prompt", "response": "response"}},
            "train": {"epochs": 6, "learning_rate": 2e-3, "batch_size": 16, "max_length": 256},
        },
    ),
}

SEEN_AND_HEARD = {
    "mnist": Case(
        source=sources.mnist,
        metric="accuracy",
        floor=0.95,
        base=bases.resnet(28),
        question=Path("digit.png"),
        settings={
            "task": "image-classification",
            "data": {"columns": {"image": "image", "label": "label"}},
            "train": {"epochs": 4, "learning_rate": 1e-3, "batch_size": 64},
        },
    ),
    "sign_digits": Case(
        source=sources.sign_digits,
        metric="accuracy",
        floor=0.90,
        base=bases.resnet(48),
        question=Path("train/3"),
        settings={
            "task": "image-classification",
            "data": {"format": "imagefolder", "test_fraction": 0.2},
            "train": {"epochs": 20, "learning_rate": 1e-3, "batch_size": 32, "patience": 10},
        },
    ),
    "fsdd": Case(
        source=sources.fsdd,
        metric="accuracy",
        floor=0.10,  # the share of one digit of ten: the speaker was never heard before
        base=bases.whisper(seconds=2),
        question=Path("test/3"),
        settings={
            "task": "audio-classification",
            "data": {"format": "audiofolder"},
            "train": {"epochs": 25, "learning_rate": 1e-3, "batch_size": 32, "patience": 10},
        },
    ),
}

CASES: dict[str, Case] = CLASSIFICATION | VECTORS | WORDS | ANSWERS | WRITTEN | SEEN_AND_HEARD

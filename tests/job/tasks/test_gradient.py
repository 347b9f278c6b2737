"""One step learns from all its rows alike, however they are dealt to the model."""

from functools import cache

import numpy as np
import pytest
import torch

from tunewright.job.steps.teach import teach

UNEVEN = [2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20]


class Stop(Exception):
    """The gradient of the first step has been seen."""


class First:
    """The first rows of a side."""

    truncated = 0

    def __init__(self, rows, count):
        self._rows, self.lengths = rows, rows.lengths[:count]

    def __len__(self):
        return len(self.lengths)

    def batch(self, rows):
        return self._rows.batch(rows)


def words(length, seed):
    return [
        str(word) for word in np.random.default_rng(seed).choice("good bad time day work small old new".split(), length)
    ]


def rows_of(task):
    """48 rows, a few of them many times as long as others."""
    texts = [words(UNEVEN[at % 12], at) for at in range(48)]
    if task == "token-classification":
        return [{"tokens": one, "tags": ["B-X" if word == "good" else "O" for word in one]} for one in texts]
    if task == "question-answering":
        answers = [{"text": [one[0]], "answer_start": [0]} for one in texts]
        pairs = zip(texts, answers, strict=True)
        return [{"question": "what", "context": " ".join(one), "answers": answer} for one, answer in pairs]
    if task in ("translation", "summarization"):
        return [{"source": " ".join(one), "target": " ".join(one[::-1])} for one in texts]
    if task == "text-classification":
        return [{"text": " ".join(one), "label": "odd" if len(one) % 4 else "even"} for one in texts]
    return [{"text": " ".join(one)} for one in texts]


@pytest.fixture
def gradient(looked_at, monkeypatch):
    """gradient(task, base, batch_size, accumulation, ...): that of the first step over 32 rows, without dropout."""

    def of(task, base, size, accumulation, **changes):
        seen = []

        def step(self, *_, **__):
            weights = [weight for group in self.param_groups for weight in group["params"]]
            seen.append(torch.cat([one.grad.flatten() for one in weights if one.grad is not None]).clone())
            raise Stop

        monkeypatch.setattr(torch.optim.AdamW, "step", step)
        settings = {"batch_size": size, "accumulation": accumulation, "dropout": 0.0, "clip": 1e9} | changes
        plan, sides = looked_at(task, base, rows_of(task), train=settings)
        with pytest.raises(Stop):
            teach(plan, (First(sides[0], 32), sides[1]))
        return seen[0]

    return of


def assert_same(one, other):
    assert float(torch.cosine_similarity(one, other, 0)) > 0.9999
    assert float(other.norm() / one.norm()) == pytest.approx(1, abs=1e-3)


TASKS = [
    ("text-classification", "bert", {}),
    ("text-classification", "bert", {"class_weights": {"odd": 5.0}}),
    ("text-classification", "bert", {"class_weights": "balanced", "label_smoothing": 0.1}),
    ("text-classification", "bert", {"focal_gamma": 2.0, "class_weights": "balanced"}),
    ("token-classification", "bert", {}),
    ("token-classification", "bert", {"class_weights": "balanced"}),
    ("token-classification", "bert", {"label_smoothing": 0.1}),
    ("question-answering", "bert", {}),
    ("question-answering", "bert", {"label_smoothing": 0.1}),
    ("text-generation", "gpt2", {}),
    ("translation", "t5", {}),
    ("summarization", "t5", {"label_smoothing": 0.1}),
]


@pytest.fixture(scope="session")
def base(tiny_base, writer_base):
    """base("t5"): one base model of that kind, the same for both sides of a comparison."""
    return cache(lambda kind: tiny_base if kind == "bert" else writer_base(kind))


@pytest.mark.parametrize(("task", "kind", "changes"), TASKS)
def test_four_batches_of_eight_are_worth_one_of_thirty_two(gradient, base, task, kind, changes):
    whole = gradient(task, base(kind), 32, 1, **changes)
    assert_same(whole, gradient(task, base(kind), 8, 4, **changes))


@pytest.mark.parametrize(("task", "kind", "changes"), [TASKS[0], TASKS[2], TASKS[5], TASKS[8], TASKS[9]])
def test_a_batch_that_goes_through_in_parts_gives_the_gradient_of_the_whole(gradient, base, task, kind, changes):
    fp32 = changes | {"precision": "fp32"}
    whole, parts = (gradient(task, base(kind), 32, 1, max_tokens=tokens, **fp32) for tokens in (10_000, 40))
    assert not torch.equal(whole, parts)
    assert float((whole - parts).norm() / whole.norm()) < 1e-6

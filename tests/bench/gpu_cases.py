"""What `make bench-gpu` trains: real architectures with random weights, and synthetic rows drawn from a seed."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.pytorch_utils import Conv1D

from tunewright.job.batches import causal
from tunewright.job.batches.text import SplitWriter
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train import next_token
from tunewright.job.train.objective import Objective
from tunewright.serving.text.encoding import Encoded

SEED = 7
EPOCHS = 4
"""The first makes all ready, the second and third are timed, in the last the GPU's work is written down."""


@dataclass(frozen=True)
class Case:
    """A model and the rows it learns from."""

    name: str
    make: Callable[[], nn.Module]
    rows: Callable[[], "Clocked"]
    objective: Callable[[], Objective]
    settings: TrainSettings

    def build(self) -> nn.Module:
        """The model, its weights drawn where it will learn."""
        torch.manual_seed(SEED)
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            return self.make()


@dataclass
class Clock:
    """When epochs began and ended, on a device that is done with all that was asked of it."""

    began: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    on_epoch: Callable[[int], None] = lambda _: None
    on_end: Callable[[int], None] = lambda _: None

    def begin(self, epoch: int) -> None:
        self.on_epoch(epoch)
        self.began.append(_now())

    def end(self) -> None:
        self.ended.append(_now())
        self.on_end(len(self.ended))

    @property
    def seconds(self) -> float:
        """Of the faster one of those that are timed."""
        return min(ended - began for began, ended in list(zip(self.began, self.ended, strict=True))[1 : EPOCHS - 1])

    @property
    def first(self) -> float:
        """Of the first epoch."""
        return self.ended[0] - self.began[0]


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class Clocked:
    """Rows whose epochs are timed."""

    clock: Clock
    texts: np.ndarray
    """Tokens of each text, of which a row may hold several."""

    def renew(self, epoch: int) -> None:
        """Called by the loop before each epoch."""
        self.clock.begin(epoch)


class LabelledRows(Clocked):
    """Rows of random tokens with a label: whether the smallest of them is even."""

    truncated = 0

    def __init__(self, lengths: np.ndarray, vocabulary: int) -> None:
        random = np.random.default_rng(SEED)
        self.lengths = self.texts = lengths
        self._ids = [random.integers(10, vocabulary, size=length) for length in lengths]
        self._targets = np.array([int(ids.min() % 2) for ids in self._ids])
        self.clock = Clock()

    def __len__(self) -> int:
        return len(self._ids)

    def batch(self, rows):
        ids = np.zeros((len(rows), max(len(self._ids[row]) for row in rows)), dtype=np.int64)
        for at, row in enumerate(rows):
            ids[at, : len(self._ids[row])] = self._ids[row]
        mask = (ids > 0).astype(np.int64)
        arrays = {"input_ids": ids, "attention_mask": mask, "targets": self._targets[list(rows)]}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


class PackedRows(causal.CausalRows, Clocked):
    """Texts of random tokens, packed to full rows by the job's own code."""

    def __init__(self, texts: np.ndarray, length: int, vocabulary: int) -> None:
        random = np.random.default_rng(SEED)
        self._folder = tempfile.TemporaryDirectory()
        writer = SplitWriter(Path(self._folder.name))
        documents = [random.integers(10, vocabulary, size=size).tolist() for size in texts]
        pieces = []
        for segments in causal.packed(documents, length):
            ids = [token for tokens, _ in segments for token in tokens]
            kinds = [place % 2 for place, (tokens, _) in enumerate(segments) for _ in tokens]
            writer.add(Encoded(ids, kinds, truncated=False), [label for _, labels in segments for label in labels])
            pieces += [len(tokens) for tokens, _ in segments]
        super().__init__(writer.close(), pad=0)
        self.texts, self.clock = np.array(pieces), Clock()


def log_normal(count: int, mean: float, longest: int) -> np.ndarray:
    """Lengths as texts have them: many short ones, few long ones."""
    drawn = np.random.default_rng(SEED).lognormal(np.log(mean), 0.6, count)
    return np.clip(drawn, 4, longest).astype(np.int64)


def clocked(objective: Objective, clock: Clock) -> Objective:
    """The objective that measures nothing but the time at the end of each epoch."""

    def measure(_):
        clock.end()
        # The first is the best one, so that the weights are copied once.
        return {objective.metric: -float(len(clock.ended))}

    return replace(objective, measure=measure, lower_is_better=False)


def _labels() -> Objective:
    return Objective(cross_entropy, lambda _: {}, "accuracy")


def encoder(name: str, config: BertConfig, rows: Callable[[], Clocked], **settings: object) -> Case:
    """An encoder that learns to classify."""
    return Case(name, lambda: BertForSequenceClassification(config), rows, _labels, settings_of(**settings))


def decoder(name: str, kind: type[nn.Module], config: object, rows: Callable[[], Clocked], **settings: object) -> Case:
    """A decoder that learns the next token."""
    chosen = settings_of(**settings)
    return Case(
        name,
        lambda: kind(config),
        rows,
        lambda: next_token.objective(chosen, config.vocab_size),
        chosen,  # type: ignore[attr-defined]
    )


def settings_of(**values: object) -> TrainSettings:
    common = {
        "epochs": EPOCHS,
        "learning_rate": 1e-4,
        "batch_size": 64,
        "seed": SEED,
        "precision": "bf16",
        "compile": False,
    }
    return TrainSettings.model_validate({**common, **values})


def real(steps: int) -> list[Case]:
    """Models of the sizes that people fine-tune."""
    bert = BertConfig(num_labels=2)
    gpt2 = GPT2Config(attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)
    qwen = Qwen2Config(
        vocab_size=151_936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
        num_key_value_heads=2, max_position_embeddings=32_768, tie_word_embeddings=True, rope_parameters=None,
    )  # fmt: skip
    return [
        encoder("bert-base, classification", bert, lambda: LabelledRows(log_normal(128 * steps, 96, 256), 30_000),
                batch_size=128),
        decoder("qwen2.5-0.5b, packed rows of 1,024", Qwen2ForCausalLM, qwen,
                lambda: PackedRows(log_normal(11 * steps, 300, 1024), 1024, 150_000), batch_size=8),
        decoder("gpt2, packed rows of 1,024", GPT2LMHeadModel, gpt2,
                lambda: PackedRows(log_normal(45 * steps, 300, 1024), 1024, 50_000), batch_size=16),
    ]  # fmt: skip


def tiny() -> list[Case]:
    """The same in a few seconds of a processor."""
    bert = BertConfig(num_labels=2, vocab_size=99, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                      intermediate_size=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)  # fmt: skip
    qwen = Qwen2Config(vocab_size=99, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
                       num_key_value_heads=1, max_position_embeddings=64, tie_word_embeddings=True)  # fmt: skip
    return [
        encoder("tiny encoder", bert, lambda: LabelledRows(log_normal(12, 6, 16), 99), batch_size=4, precision="fp32"),
        decoder("tiny decoder", Qwen2ForCausalLM, qwen, lambda: PackedRows(log_normal(12, 9, 24), 24, 99),
                batch_size=2, precision="fp32"),
    ]  # fmt: skip


def flops_per_epoch(model: nn.Module, rows: Clocked) -> float:
    """Of the forward and backward pass, as models are compared: 6 for each weight that multiplies and each token, and
    those of attention, of which a decoder computes half. What is computed again on the way back does not count."""
    weights = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear | Conv1D))
    config = model.config
    pairs = float((rows.texts.astype(np.float64) ** 2).sum()) * (0.5 if isinstance(rows, PackedRows) else 1.0)
    attention = 12 * config.num_hidden_layers * config.hidden_size * pairs
    return 6 * weights * float(rows.texts.sum()) + attention

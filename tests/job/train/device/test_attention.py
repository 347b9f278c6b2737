"""Texts of one row, kept apart: as one after another with their bounds, with a mask, and each in a row of its own."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from transformers import GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM, masking_utils

from tunewright.job.batches import causal
from tunewright.job.batches.side import NoRows
from tunewright.job.batches.text import SplitWriter
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train import next_token
from tunewright.job.train.device import attention
from tunewright.job.train.device.attention import can_vary, masks_unseen, texts_apart
from tunewright.job.train.loop import train
from tunewright.serving.text.encoding import Encoded

SMALL = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
LENGTHS = (5, 9, 3, 12, 7, 2, 11)


def qwen(**more):
    torch.manual_seed(3)
    config = Qwen2Config(intermediate_size=24, num_key_value_heads=1, max_position_embeddings=64, **SMALL, **more)
    return Qwen2ForCausalLM(config)


def gpt2(**more):
    torch.manual_seed(3)
    given = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0, "n_positions": 64} | more
    return GPT2LMHeadModel(GPT2Config(**SMALL, **given))


def rows_of(folder, length):
    """Texts of random tokens, packed to rows of so many tokens."""
    random = np.random.default_rng(1)
    writer = SplitWriter(folder)
    for segments in causal.packed([random.integers(1, 60, size).tolist() for size in LENGTHS], length):
        ids = [token for tokens, _ in segments for token in tokens]
        kinds = [place % 2 for place, (tokens, _) in enumerate(segments) for _ in tokens]
        writer.add(Encoded(ids, kinds, truncated=False), [label for _, labels in segments for label in labels])
    return causal.CausalRows(writer.close(), pad=0)


def alone(folder):
    """Each text in a row of its own."""
    random = np.random.default_rng(1)
    writer = SplitWriter(folder)
    for size in LENGTHS:
        ids = random.integers(1, 60, size).tolist()
        writer.add(Encoded(ids, [0] * size, truncated=False), causal.following(ids, [True] * size))
    return causal.CausalRows(writer.close(), pad=0)


def by_bounds(query, key, value, bounds, same, longest, also, *, scale, window_size, enable_gqa):
    """What FlashAttention does on a GPU, one text after another."""
    assert enable_gqa
    assert window_size == (-1, 0)
    assert longest == also >= int(bounds.diff().max())
    texts = []
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        one = (part[begin:end].transpose(0, 1) for part in (query, key, value))
        texts.append(scaled_dot_product_attention(*one, is_causal=True, scale=scale, enable_gqa=True).transpose(0, 1))
    return torch.cat(texts)


@pytest.fixture
def bounds_known(monkeypatch):
    """A processor on which attention knows the bounds of texts."""
    monkeypatch.setattr(attention, "varlen_attn", by_bounds)
    monkeypatch.setattr(attention, "can_vary", lambda *_: True)


def loss_of(model, rows):
    batch = rows.batch(range(len(rows)))
    targets = batch.pop("targets")
    with torch.no_grad():
        return float(cross_entropy(next_token.learned_logits(model, batch, use_cache=False), targets)), len(targets)


@pytest.mark.parametrize("build", [qwen, gpt2])
def test_a_packed_row_has_the_loss_of_its_texts(build, tmp_path, bounds_known):
    model = build().eval()
    # A row holds them all, or as many as a shorter one has room for; none is cut.
    one, several = rows_of(tmp_path / "a", sum(LENGTHS)), alone(tmp_path / "b")
    wanted, tokens = loss_of(model, several)
    assert loss_of(model, one) == (pytest.approx(wanted, abs=1e-6), tokens)
    with texts_apart(model, (one, several, NoRows()), "bf16", "cpu"):
        assert one.batch([0])["input_ids"].shape == (1, sum(LENGTHS))
        assert loss_of(model, one) == (pytest.approx(wanted, abs=1e-6), tokens)
        assert loss_of(model, several) == (pytest.approx(wanted, abs=1e-6), tokens)
    assert (one.flat, model.config._attn_implementation) == (False, "sdpa")


def test_training_is_the_same_with_a_mask_and_with_bounds(tmp_path, bounds_known, monkeypatch):
    settings = TrainSettings(epochs=2, batch_size=2, precision="fp32", learning_rate=1e-2)

    def losses(folder):
        model = qwen()
        came = train(model, (rows_of(folder, 14), NoRows()), next_token.objective(settings, 60), settings)
        return [epoch["loss"] for epoch in came.history]

    by_their_bounds = losses(tmp_path / "a")
    monkeypatch.setattr(attention, "can_vary", lambda *_: False)
    assert losses(tmp_path / "b") == pytest.approx(by_their_bounds, abs=1e-6)


def test_bounds_are_used_where_flash_attention_computes_the_same(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    assert can_vary(qwen(), "bf16", "cuda")
    assert can_vary(gpt2(), "bf16", "cuda")
    assert not can_vary(gpt2(attn_pdrop=0.1), "bf16", "cuda")
    assert not can_vary(qwen(), "fp32", "cuda")
    assert not can_vary(qwen(), "bf16", "cpu")
    assert not can_vary(qwen(attn_implementation="eager"), "bf16", "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    assert not can_vary(qwen(), "bf16", "cuda")


def test_masks_are_not_looked_at_on_a_gpu_alone():
    look = masking_utils._ignore_bidirectional_mask_sdpa
    hides_nothing = torch.ones(2, 5, dtype=torch.bool)
    assert look(hides_nothing, 5)
    with masks_unseen("cuda"):
        assert masking_utils._ignore_bidirectional_mask_sdpa(None, 5)
        assert masking_utils._ignore_causal_mask_sdpa(None, 5, 5, 0, 0)
        assert not masking_utils._ignore_causal_mask_sdpa(hides_nothing, 5, 5, 0, 0)
        assert not masking_utils._ignore_bidirectional_mask_sdpa(hides_nothing, 5)
    assert masking_utils._ignore_bidirectional_mask_sdpa is look
    with masks_unseen("cpu"):
        assert masking_utils._ignore_bidirectional_mask_sdpa is look

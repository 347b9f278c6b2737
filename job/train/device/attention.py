"""Attention of several texts in one row, at the cost of their own lengths: FlashAttention over the bounds of each text.

torch brings it for GPUs. Elsewhere, and for models of which it is not known to be exact, each text is kept to itself by
a mask over the whole row. Axes: H heads, T tokens of all texts of a batch, one after another, D size of a head.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import torch
from torch import nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, PreTrainedModel, masking_utils

from tunewright.job.batches.side import Flat, Rows

_NAME = "tunewright_varlen"
"""What transformers knows it by. It has no mask of that name, and so makes none."""
_HALF = (8, 0)
"""The first GPUs (by compute capability) that FlashAttention was written for."""
_LARGEST_HEAD = 256
_LOOK = ("_ignore_causal_mask_sdpa", "_ignore_bidirectional_mask_sdpa")
"""transformers' functions that say of a mask whether it can be left out."""


@contextmanager
def masks_unseen(device: str) -> Iterator[None]:
    """On a GPU transformers does not look whether a mask hides anything: the answer stops it at each batch."""
    if device != "cuda":
        yield
        return
    looks = {name: getattr(masking_utils, name) for name in _LOOK}
    for name, look in looks.items():
        setattr(masking_utils, name, _hides(look))
    try:
        yield
    finally:
        for name, look in looks.items():
            setattr(masking_utils, name, look)


def _hides(look: Callable[..., bool]) -> Callable[..., bool]:
    def ignored(padding_mask: torch.Tensor | None, *more: object, **given: object) -> bool:
        return padding_mask is None and look(padding_mask, *more, **given)

    return ignored


@contextmanager
def texts_apart(model: nn.Module, sides: tuple[Rows, ...], precision: str, device: str) -> Iterator[None]:
    """While the model learns, rows of tokens come one after another without padding, where attention can do with it."""
    flat = [side for side in sides if isinstance(side, Flat)]
    if not flat or not can_vary(model, precision, device):
        yield
        return
    known = cast(PreTrainedModel, model)
    before = str(known.config._attn_implementation)
    longest = max(int(side.lengths.max()) for side in sides if isinstance(side, Flat) and len(side))
    AttentionInterface.register(_NAME, partial(_attend, longest))
    known.set_attn_implementation(_NAME)
    try:
        for side in flat:
            side.flat = True
        yield
    finally:
        for side in flat:
            side.flat = False
        known.set_attn_implementation(before)


def can_vary(model: nn.Module, precision: str, device: str) -> bool:
    """Whether FlashAttention computes what the model's own attention does: in bf16 on a GPU, without dropout, nothing
    but scaled products of queries and keys, all layers through transformers' interface."""
    if device != "cuda" or precision != "bf16" or torch.cuda.get_device_capability() < _HALF:
        return False
    config = getattr(model, "config", None)
    if not getattr(model, "_supports_attention_backend", False) or config is None:
        return False
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    dropout = max(getattr(config, name, None) or 0.0 for name in ("attention_dropout", "attn_pdrop"))
    capped = getattr(config, "attn_logit_softcapping", None)
    plain = config._attn_implementation == "sdpa" and not dropout and not capped
    return bool(plain and size <= _LARGEST_HEAD and size % 8 == 0)


def _attend(
    longest: int,
    module: nn.Module,
    query_1HTD: torch.Tensor,
    key_1HTD: torch.Tensor,
    value_1HTD: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    cu_seq_lens_q: torch.Tensor,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """As transformers calls it: what each head found `[1, T, H, D]`, and no weights of attention.

    `cu_seq_lens_q`: where each text begins, and the end of the last. `longest`: tokens of a text, at most.
    """
    # Turned to their places, queries and keys are in fp32 again.
    query, key, value = (part[0].transpose(0, 1).to(value_1HTD.dtype) for part in (query_1HTD, key_1HTD, value_1HTD))
    found = varlen_attn(
        query,
        key,
        value,
        cu_seq_lens_q,
        cu_seq_lens_q,
        longest,
        longest,
        scale=scaling,
        window_size=(sliding_window - 1 if sliding_window else -1, 0),
        enable_gqa=True,
    )
    return cast(torch.Tensor, found)[None], None

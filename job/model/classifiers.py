"""Models of our own around a pretrained encoder, and what all classifiers have: the layer that makes the logits.

Axes: B rows of a batch, T tokens, D hidden size, L labels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.nn.functional as functional
from torch import nn
from transformers import (
    PretrainedConfig,
)

HEAD = "classifier"


class MeanPooledClassifier(nn.Module):
    """An encoder, the mean over its tokens, dropout and one linear layer.

    Its weights carry the names transformers gives them (`bert.*`, `classifier.*`), so that its file can be read as
    an encoder by anything that reads encoders.
    """

    def __init__(self, encoder: nn.Module, config: PretrainedConfig, dropout: float) -> None:
        super().__init__()
        self.config = config
        self.base_model_prefix: str = encoder.base_model_prefix  # type: ignore[assignment]
        self.add_module(self.base_model_prefix, encoder)
        self.dropout = nn.Dropout(dropout)
        self.add_module(HEAD, nn.Linear(cast(int, config.hidden_size), cast(int, config.num_labels)))
        make_new(getattr(self, HEAD), config)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Token ids `[B, T]` to logits `[B, L]`."""
        pooled_BD = self.pooled(input_ids, attention_mask, token_type_ids)
        return {"logits": getattr(self, HEAD)(self.dropout(pooled_BD))}

    def pooled(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Token ids `[B, T]` to the mean over the tokens of each row, `[B, D]`."""
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        encoder = getattr(self, self.base_model_prefix)
        hidden_BTD = encoder(input_ids=input_ids, attention_mask=attention_mask, **segments).last_hidden_state
        mask_BT1 = attention_mask.unsqueeze(-1).to(hidden_BTD.dtype)
        pooled_BD: torch.Tensor = (hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1).clamp(min=1)
        return pooled_BD


class PairClassifier(nn.Module):
    """Two encoders of one space (CLIP), and a linear layer over both vectors and their product."""

    base_model_prefix = "pair"

    def __init__(self, pair: nn.Module, config: PretrainedConfig) -> None:
        super().__init__()
        self.config = config
        self.pair = pair
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(3 * config.projection_dim, cast(int, config.num_labels))
        make_new(self.classifier, config)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, pixel_values: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Token ids `[B, T]` and pixels `[B, 3, H, W]` to logits `[B, L]`."""
        pair: Any = self.pair
        text_BD = functional.normalize(
            _vectors(pair.get_text_features(input_ids=input_ids, attention_mask=attention_mask))
        )
        image_BD = functional.normalize(_vectors(pair.get_image_features(pixel_values=pixel_values)))
        both = torch.cat([text_BD, image_BD, text_BD * image_BD], dim=-1)
        return {"logits": self.classifier(self.dropout(both))}


def _vectors(features: Any) -> torch.Tensor:
    """The vectors of one encoder, which transformers 5 gives with more beside them."""
    vectors: torch.Tensor = getattr(features, "pooler_output", features)
    return vectors


def make_new(layer: nn.Linear, config: PretrainedConfig) -> None:
    """Fill a layer with random weights, as the architecture does."""
    nn.init.normal_(layer.weight, std=getattr(config, "initializer_range", 0.02))
    nn.init.zeros_(layer.bias)


def last_layer(model: nn.Module) -> nn.Linear:
    """The linear layer that makes the logits."""
    labels = model.config.num_labels  # type: ignore[union-attr]
    linear = [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == labels]
    return linear[-1]


@contextmanager
def vectors_seen(model: nn.Module) -> Iterator[list[torch.Tensor]]:
    """What the layer that makes the logits is given, `[B, D]` of each pass within."""
    seen: list[torch.Tensor] = []
    hook = last_layer(model).register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    try:
        yield seen
    finally:
        hook.remove()


def scale_head(model: nn.Module, scale: tuple[float, float]) -> None:
    """Fold the offset and factor of the targets into the last layer, so that the graph answers in their unit."""
    offset, factor = scale
    head = last_layer(model)
    with torch.no_grad():
        head.weight.mul_(factor)
        head.bias.mul_(factor).add_(offset)

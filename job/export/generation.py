"""Models that write, to ONNX, with key/value caches: one graph of a decoder, or one of an encoder and one of a decoder.

The encoder's graph hands out what each layer of the decoder makes of the encoder's output, once for all tokens; so one
graph of the decoder serves the first token as the others. Caches are plain ones, of all tokens, also in layers that
look at the nearest tokens only: their mask sees to that.
"""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import PretrainedConfig
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, EncoderDecoderCache

from tunewright.job.export.graph import describe_variant
from tunewright.job.export.int8 import quantize_int8
from tunewright.job.export.trace import Axes, Tracer, by_transformers, to_onnx
from tunewright.serving.bundle.model_file import Variant

_CAUSAL, _ENCODER, _DECODER = "model.onnx", "encoder_model.onnx", "decoder_model.onnx"
_ROWS: Axes = {0: "batch", 1: "tokens"}
_SOURCES: Axes = {0: "batch", 1: "source_tokens"}
_OF_SOURCES: Axes = {0: "batch", 2: "source_tokens"}
_PAST: Axes = {0: "batch", 2: "past_tokens"}


def export_generation(model: nn.Module, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
    """Write `onnx/<variant>/` of a bundle for each variant."""
    graphs = export_graphs(model, folder / "onnx" / "fp32")
    if "int8" in variants:
        for graph in graphs:
            quantize_int8(graph, folder / "onnx" / "int8" / graph.name)
    main = graphs[-1].name
    return {name: describe_variant(folder, folder / "onnx" / name / main, name) for name in variants}


def export_graphs(model: nn.Module, folder: Path, *, through: Tracer = by_transformers) -> list[Path]:
    """Write the float32 graphs of a model that writes; their files, the one that is run for every token last."""
    export = _export_both if model.config.is_encoder_decoder else _export_decoder  # type: ignore[union-attr]
    return export(model, folder, through)


def _export_decoder(model: nn.Module, folder: Path, through: Tracer) -> list[Path]:
    with torch.no_grad():
        past = _held(model(input_ids=_ids(5), cache=DynamicCache(), use_cache=True).cache)
    positions = torch.arange(5, 8).repeat(2, 1)
    example: dict[str, torch.Tensor | list[torch.Tensor]]
    example = {"input_ids": _ids(3), "attention_mask": _ids(8), "position_ids": positions}
    if "position_ids" not in inspect.signature(type(model).forward).parameters:
        del example["position_ids"]
    axes = {**dict.fromkeys(example, _ROWS), "attention_mask": {0: "batch", 1: "all_tokens"}, "past": _PAST}
    names = [*example, *_names("past_key_values", past)]
    target = folder / _CAUSAL
    to_onnx(_Decoder(model), {**example, "past": past}, axes, target, names=names, through=through)
    return [target]


def _export_both(model: nn.Module, folder: Path, through: Tracer) -> list[Path]:
    encoder, decoder = folder / _ENCODER, folder / _DECODER
    sources = {"input_ids": _ids(7), "attention_mask": _ids(7)}
    to_onnx(_Encoder(model), sources, dict.fromkeys(sources, _SOURCES), encoder, through=through)
    with torch.no_grad():
        cache = model(input_ids=_ids(7), decoder_input_ids=_ids(5), use_cache=True).cache
    past, cross = _held(cache.self_attention_cache), _held(cache.cross_attention_cache)
    example: dict[str, torch.Tensor | list[torch.Tensor]]
    example = {"input_ids": _ids(3), "encoder_attention_mask": _ids(7), "past": past, "cross": cross}
    axes = {"input_ids": _ROWS, "encoder_attention_mask": _SOURCES, "past": _PAST, "cross": _OF_SOURCES}
    caches = [*_names("past_key_values", past, ".decoder"), *_names("past_key_values", cross, ".encoder")]
    names = ["input_ids", "encoder_attention_mask", *caches]
    to_onnx(_DecoderOfSources(model), example, axes, decoder, names=names, through=through)
    return [encoder, decoder]


def _ids(tokens: int) -> torch.Tensor:
    """Two rows of ones: token ids, or a mask without padding."""
    return torch.ones(2, tokens, dtype=torch.long)


def _filled(tensors: Sequence[torch.Tensor]) -> DynamicCache:
    """A cache of keys and values, layer after layer."""
    cache = DynamicCache()
    for keys, values in zip(tensors[::2], tensors[1::2], strict=True):
        layer = DynamicLayer()  # type: ignore[no-untyped-call]
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def _held(cache: Cache) -> list[torch.Tensor]:
    """The keys and values of a cache, layer after layer."""
    layers = cast("list[DynamicLayer]", cache.layers)
    return [cast(torch.Tensor, tensor) for layer in layers for tensor in (layer.keys, layer.values)]


def _names(what: str, tensors: Sequence[torch.Tensor], of: str = "") -> list[str]:
    """What keys and values are called, layer after layer."""
    return [f"{what}.{at // 2}{of}.{'value' if at % 2 else 'key'}" for at in range(len(tensors))]


def _presents(cache: Cache, of: str = "") -> dict[str, torch.Tensor]:
    held = _held(cache)
    return dict(zip(_names("present", held, of), held, strict=True))


class _Writer(nn.Module):
    """A part of a model that writes."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model
        self.config = cast(PretrainedConfig, model.config)


class _Decoder(_Writer):
    """A decoder that continues the prompt itself."""

    def forward(self, past: list[torch.Tensor], **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Tokens and the caches before them to logits and the caches after them."""
        answered = self.model(**inputs, cache=_filled(past), use_cache=True)
        return {"logits": answered.logits, **_presents(answered.cache)}


class _Encoder(_Writer):
    """An encoder, and what every layer of the decoder makes of its output."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """Source tokens to the caches of the decoder's attention to them."""
        hidden_BTD = self.model.get_encoder()(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        # Of the one token that the decoder reads nothing is used.
        self.model.get_decoder()(
            input_ids=input_ids[:, :1],
            encoder_hidden_states=hidden_BTD,
            encoder_attention_mask=attention_mask,
            cache=cache,
            use_cache=True,
        )
        return _presents(cache.cross_attention_cache, ".encoder")


class _DecoderOfSources(_Writer):
    """The decoder of an encoder-decoder model."""

    def forward(
        self,
        input_ids: torch.Tensor,
        encoder_attention_mask: torch.Tensor,
        past: list[torch.Tensor],
        cross: list[torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Tokens, the caches before them and those of the sources to logits and the caches after them."""
        cache = EncoderDecoderCache(_filled(past), _filled(cross))
        cache.is_updated = dict.fromkeys(range(len(cross) // 2), True)
        rows, _, tokens, _ = cross[0].shape
        answered = self.model(
            decoder_input_ids=input_ids,
            attention_mask=encoder_attention_mask,
            # All that is needed of it is in the caches.
            encoder_outputs=(torch.zeros(rows, tokens, self.config.d_model),),
            cache=cache,
            use_cache=True,
        )
        return {"logits": answered.logits, **_presents(answered.cache.self_attention_cache, ".decoder")}

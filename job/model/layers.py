"""Which weights learn, how fast and from when on: all, head, top layers, adapters; rates by depth; gradual unfreezing.

A model has a pretrained part with a stack of layers, and a head: whatever lies outside of the pretrained part, and a
pooler between the last layer and the head, which may be new.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from tunewright.job.errors import SettingsError
from tunewright.job.model import four_bits
from tunewright.job.settings.train import LoraSettings, TrainSettings


@dataclass(frozen=True)
class Parameters:
    """How many weights there are, and how many learn."""

    total: int
    learning: int


def choose_layers(model: nn.Module, settings: TrainSettings) -> Parameters:
    """Freeze what shall not learn and put in adapters; SettingsError for settings that contradict the model."""
    if settings.lora:
        _add_adapters(model, settings)
    elif settings.layers != "all":
        _only_top(model, 0 if settings.layers == "head" else settings.layers)
    elif settings.unfreeze:
        # As the first epoch will have it.
        unfreeze(model, settings, 1)
    _freeze(model, settings.freeze)
    learning = _learning(model)
    if not learning and (settings.layers == "head" or settings.unfreeze):
        given = "train.layers is head" if settings.layers == "head" else "train.unfreeze begins with the head"
        raise SettingsError(
            f"{given}, but this model has no head of its own (none at all, or one that is tied to its embeddings); set "
            "train.layers to a number of layers, or train.lora"
        )
    if settings.unfreeze:
        model.requires_grad_(True)
        _freeze(model, settings.freeze)
        learning = _learning(model)
    return Parameters(sum(map(four_bits.size, model.parameters())), learning)


def _learning(model: nn.Module) -> int:
    """How many weights learn."""
    return sum(four_bits.size(weight) for weight in model.parameters() if weight.requires_grad)


def unfreeze(model: nn.Module, settings: TrainSettings, epoch: int) -> None:
    """Gradual unfreezing (Howard and Ruder 2018): epoch 1 teaches the head, each later one `unfreeze` more layers."""
    if settings.unfreeze is None:
        return
    layers = (epoch - 1) * settings.unfreeze
    if layers >= len(blocks(model)):
        model.requires_grad_(True)
    else:
        _only_top(model, layers)
    _freeze(model, settings.freeze)


def _freeze(model: nn.Module, names: Collection[str]) -> None:
    """Let these parts of the pretrained model learn nothing."""
    part = pretrained_part(model)
    for name in names:
        found = [weight for place, weight in part.named_parameters() if _is_of(place, name)]
        if not found:
            known = ["embeddings", *(child for child, _ in part.named_children() if child != "embeddings")]
            raise SettingsError(
                f"train.freeze names {name!r}, which is no part of this model; it has {', '.join(known)}"
            )
        for weight in found:
            weight.requires_grad_(False)


def _is_of(place: str, name: str) -> bool:
    """Whether a weight is of the part of this name."""
    return _is_embedding(place) if name == "embeddings" else f"{place}.".startswith(f"{name}.")


def parameter_groups(model: nn.Module, settings: TrainSettings) -> list[dict[str, object]]:
    """What the optimizer learns: by rate and decay. One-dimensional weights (biases, normalization) are not decayed.

    The rate of a layer is `layer_decay` times that of the layer above it; embeddings lie below the lowest layer.
    """
    rates = _rates(model, settings)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            decay = settings.weight_decay if weight.ndim > 1 else 0.0
            groups.setdefault((rates[name], decay), []).append(weight)
    return [{"params": weights, "lr": rate, "weight_decay": decay} for (rate, decay), weights in groups.items()]


def frozen_weights(model: nn.Module) -> set[str]:
    """Names of the weights that never learn because adapters learn beside them; none where there are no adapters."""
    if not any(_is_adapter(module) for module in model.modules()):
        return set()
    return {name for name, weight in model.named_parameters() if not weight.requires_grad}


def merge_adapters(model: nn.Module) -> None:
    """Add what adapters have learned to the weights they adapt, and take them out: a plain model again."""
    for name, module in list(model.named_modules()):
        if _is_adapter(module):
            model.set_submodule(name, _merged(module))
    model.requires_grad_(True)


def _is_adapter(module: nn.Module) -> bool:
    """Whether it is one of peft's layers, told without importing it."""
    return hasattr(module, "get_base_layer")


def _merged(adapter: Any) -> nn.Module:
    """The adapted layer with what the adapter has learned."""
    layer: nn.Module = adapter.get_base_layer()
    if four_bits.is_quantized(layer):
        # Not into four bits again, which would round away what was learned.
        (name,) = adapter.active_adapters
        return four_bits.restored(layer, adapter.get_delta_weight(name))
    adapter.merge(safe_merge=True)
    return layer


def pretrained_name(model: nn.Module) -> str:
    """The name of the part that was pretrained; empty where nothing stands on it."""
    prefix = str(model.base_model_prefix)
    if isinstance(getattr(model, prefix, None), nn.Module):
        return prefix
    # Whisper's classifiers hold its encoder under another name than the whole model has.
    return "encoder" if hasattr(model, "encoder") and not hasattr(model, "decoder") else ""


def pretrained_part(model: nn.Module) -> nn.Module:
    """The part that was pretrained; the model itself where nothing stands on it."""
    return model.get_submodule(pretrained_name(model))


def blocks(model: nn.Module) -> list[nn.Module]:
    """The layers of the pretrained part from the lowest to the highest; an encoder's stand below its decoder's."""
    part = pretrained_part(model)
    stacks: list[tuple[str, nn.ModuleList]] = []
    for name, module in part.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer, _ in stacks)
        if isinstance(module, nn.ModuleList) and not inside and _is_stack(module):
            stacks.append((name, module))
    return [block for _, stack in stacks for block in stack]


def _is_stack(modules: nn.ModuleList) -> bool:
    """Layers are modules of one class, and more than a single matrix."""
    return len({type(module) for module in modules}) == 1 and any(True for _ in modules[0].children())


def _only_top(model: nn.Module, layers: int) -> None:
    """Let the head and the top layers learn."""
    part, stack = pretrained_part(model), blocks(model)
    if layers > len(stack):
        raise SettingsError(f"train.layers is {layers}, but the model has {len(stack)} layers; say 'all'")
    model.requires_grad_(True)
    for name, weight in part.named_parameters():
        weight.requires_grad_("pooler" in name)
    for block in stack[len(stack) - layers :]:
        block.requires_grad_(True)


def _rates(model: nn.Module, settings: TrainSettings) -> dict[str, float]:
    """Name of each weight to its learning rate."""
    depth = {id(weight): level for level, block in enumerate(reversed(blocks(model))) for weight in block.parameters()}
    below = {id(weight) for name, weight in pretrained_part(model).named_parameters() if _is_embedding(name)}
    lowest = len(blocks(model))
    rates = {}
    for name, weight in model.named_parameters():
        level = depth.get(id(weight), lowest if id(weight) in below else 0)
        rates[name] = settings.learning_rate * settings.layer_decay**level
    return rates


def _is_embedding(name: str) -> bool:
    return any(part in name for part in ("embed", "wte", "wpe", "shared", "feature_extractor", "feature_projection"))


def _add_adapters(model: nn.Module, settings: TrainSettings) -> None:
    """Low-rank adapters (LoRA, Hu et al. 2021) beside the linear layers of the blocks; only they and the head learn."""
    lora = settings.lora
    assert lora is not None
    # Imported here: it takes seconds, and most jobs have no adapters.
    from peft import LoraConfig, inject_adapter_in_model

    names = _adapted(model, settings.layers, lora)
    if lora.quantization:
        four_bits.quantize(model, names)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=names,
        fan_in_fan_out=any(isinstance(model.get_submodule(name), Conv1D) for name in names),
    )
    inject_adapter_in_model(config, model)
    learning = {id(weight) for weight in model.parameters()} - {id(w) for w in pretrained_part(model).parameters()}
    for name, weight in model.named_parameters():
        weight.requires_grad_("lora_" in name or "pooler" in name or id(weight) in learning)


def _adapted(model: nn.Module, layers: str | int, lora: LoraSettings) -> list[str]:
    """Names of the linear layers that get an adapter."""
    stack = blocks(model)
    inside = {
        id(module)
        for block in (stack if layers == "all" else stack[-int(layers) :])
        for module in block.modules()
        if isinstance(module, nn.Linear | Conv1D)
    }
    found = [name for name, module in model.named_modules() if id(module) in inside]
    if lora.targets is None:
        return found
    known = sorted({name.rpartition(".")[2] for name in found})
    unknown = [target for target in lora.targets if target not in known]
    if unknown:
        raise SettingsError(f"train.lora.targets names {unknown[0]!r}; the linear layers here are {', '.join(known)}")
    return [name for name in found if name.rpartition(".")[2] in lora.targets]

"""Which layers there are and which weights learn, how fast and from when on: all, head, top layers, adapters.

A model has a pretrained part with a stack of layers, and a head: whatever lies outside of the pretrained part, and a
pooler between the last layer and the head, which may be new.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig
from transformers.pytorch_utils import Conv1D

from tunewright.job.errors import SettingsError, first_line
from tunewright.job.model import four_bits
from tunewright.job.progress.events import say
from tunewright.job.settings.train import LoraSettings, TrainSettings


@dataclass(frozen=True)
class Parameters:
    """How many weights there are, and how many learn."""

    total: int
    learning: int


def keep_layers(model: nn.Module, kept: int | Sequence[int] | None) -> None:
    """Leave out all layers of the pretrained part but these, or but so many of the lowest, before anything is learned:
    what is exported is smaller. SettingsError where the model cannot be without them."""
    if kept is None:
        return
    part = pretrained_part(model)
    config: PretrainedConfig = part.config  # type: ignore[assignment]
    count = getattr(config, "num_hidden_layers", None)
    stacks = [(name, stack) for name, stack in _stacks(part) if len(stack) == count]
    if len(stacks) != 1:
        raise SettingsError(
            "train.keep_layers is for models with one stack of layers, and this architecture has none that can be cut: "
            f"{config.model_type}; remove it"
        )
    ((name, stack),) = stacks
    numbers = list(range(kept)) if isinstance(kept, int) else sorted(set(kept))
    if not numbers or numbers[-1] >= len(stack) or len(numbers) == len(stack):
        raise SettingsError(
            f"train.keep_layers is {kept if isinstance(kept, int) else list(kept)}, but the model has {len(stack)} "
            f"layers, 0 to {len(stack) - 1}: keep some of them"
        )
    part.set_submodule(name, nn.ModuleList(_numbered(stack[old], new) for new, old in enumerate(numbers)))
    for one in (config, model.config):
        _describe(one, len(stack), numbers)  # type: ignore[arg-type]
    _prove(part, name)
    say("model", f"layers kept: {', '.join(map(str, numbers))} of 0 to {len(stack) - 1}", layers=numbers)


def _numbered(block: nn.Module, number: int) -> nn.Module:
    """A layer in another place: those that write keep what they have read by their number."""
    for module in block.modules():
        if isinstance(getattr(module, "layer_idx", None), int):
            module.layer_idx = number  # type: ignore[assignment]
    return block


def _describe(config: PretrainedConfig, before: int, numbers: Sequence[int]) -> None:
    """Let a configuration say which layers are left."""
    for key, value in list(vars(config).items()):
        if "layer" in key and isinstance(value, list) and len(value) == before:
            setattr(config, key, [value[number] for number in numbers])
    config.num_hidden_layers = len(numbers)


def _prove(part: nn.Module, name: str) -> None:
    """SettingsError where a model of the new configuration has other layers than those that are left."""
    config: PretrainedConfig = part.config  # type: ignore[assignment]
    try:
        with torch.device("meta"):
            made = type(part)(type(config).from_dict(config.to_diff_dict()))
        is_same = _shapes(made.get_submodule(name)) == _shapes(part.get_submodule(name))
    except Exception as error:  # an architecture's class raises whatever its code raises for such a configuration
        raise SettingsError(f"train.keep_layers cannot be with a {config.model_type}: {first_line(error)}") from error
    if not is_same:
        raise SettingsError(
            f"train.keep_layers cannot be: the layers of a {config.model_type} are not alike, so that others cannot "
            "stand in their places; keep the lowest ones, or remove it"
        )


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


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
    return [block for _, stack in _stacks(pretrained_part(model)) for block in stack]


def _stacks(part: nn.Module) -> list[tuple[str, nn.ModuleList]]:
    """Lists of layers with their names, none inside of another."""
    stacks: list[tuple[str, nn.ModuleList]] = []
    for name, module in part.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer, _ in stacks)
        if isinstance(module, nn.ModuleList) and not inside and _is_stack(module):
            stacks.append((name, module))
    return stacks


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

"""A pretrained model read from its files (safetensors only, the encoder whole and finite), and written to them."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import AutoConfig, AutoModel, PretrainedConfig
from transformers.utils import logging as transformers_logging

from tunewright.job.errors import BaseModelError, JobError, first_line
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.model.layers import pretrained_name, pretrained_part

AutoClass = type[Any]
"""transformers' class of the models of one task, such as `AutoModelForMaskedLM`: their methods have no types."""


def silence_transformers() -> None:
    """No warnings and no bars of its own: the job says what it does."""
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def load_config(base: BaseCheckpoint) -> PretrainedConfig:
    """The configuration as transformers reads it; BaseModelError when a value in it cannot be used."""
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(base.folder, trust_remote_code=False)
    except Exception as error:  # a configuration's class raises whatever its code raises for an unforeseen value
        raise BaseModelError(f"base model {base.address!r}: config.json cannot be used: {first_line(error)}") from error
    return config


def require_finite(model: nn.Module, base: BaseCheckpoint) -> None:
    """BaseModelError for a model with a weight that is not finite."""
    for name, weight in model.named_parameters():
        if not torch.isfinite(weight).all():
            raise BaseModelError(f"base model {base.address!r}: the weight {name} is not finite: the file is damaged")


def load(kind: AutoClass, base: BaseCheckpoint, config: PretrainedConfig, extra: Mapping[str, object]) -> nn.Module:
    """As `load_with_report`, without the report."""
    return load_with_report(kind, base, config, extra)[0]


def load_with_report(
    kind: AutoClass, base: BaseCheckpoint, config: PretrainedConfig, extra: Mapping[str, object]
) -> tuple[nn.Module, list[str]]:
    """Weights from safetensors only; all of the encoder's must be there and of the right shape, but for a pooler, and
    none may be left over.

    Also the names of those that are new.
    """
    _check_size(kind, base, config)
    try:
        model, report = kind.from_pretrained(
            base.folder,
            config=config,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **extra,
        )
    except Exception as error:  # an architecture's class raises whatever its code raises for such a configuration
        raise BaseModelError(f"base model {base.address!r} cannot be loaded: {first_line(error)}") from error
    # transformers 5 gives the two shapes with the name.
    other_shape = [one if isinstance(one, str) else one[0] for one in report["mismatched_keys"]]
    absent = [*report["missing_keys"], *other_shape]
    missing = sorted(name for name in absent if _is_encoders(name, model))
    if missing:
        raise BaseModelError(
            f"base model {base.address!r}: model.safetensors lacks {len(missing)} weights that config.json asks for, "
            f"or has them in another shape, such as {missing[0]}"
        )
    if base.finished and kind is not AutoModel:
        _refuse_new(absent, model, base)
    left_over = sorted(name for name in report["unexpected_keys"] if _is_left_over(name, model))
    if left_over:
        raise BaseModelError(
            f"base model {base.address!r}: model.safetensors holds {len(left_over)} weights that a model of its "
            f"config.json does not have, such as {left_over[0]}: it would answer otherwise than it was taught"
        )
    _begin_bare(kind, config, model, absent)
    return model, absent


def _refuse_new(absent: list[str], model: nn.Module, base: BaseCheckpoint) -> None:
    """A model that is taken as it is brings every weight of its head."""
    new = sorted(set(absent) & {name for name, _ in model.named_parameters()})
    if new:
        raise BaseModelError(
            f"base model {base.address!r}: model.safetensors lacks {len(new)} weights of the head of a "
            f"{type(model).__name__}, or has them in another shape, such as {new[0]}: it was not taught this task"
        )


def _begin_bare(kind: AutoClass, config: PretrainedConfig, model: nn.Module, absent: list[str]) -> None:
    """Give new weights that lie in no layer of torch's, such as a head's bias over words, what their constructor does.

    The initialisation of some architectures (data2vec's) forgets them, and `from_pretrained` then leaves in them what
    the memory held.
    """
    weights = dict(model.named_parameters())
    bare = [
        name
        for name in absent
        if name in weights and not type(model.get_submodule(name.rpartition(".")[0])).__module__.startswith("torch.")
    ]
    if not bare:
        return
    with torch.random.fork_rng():
        made = kind.from_config(config).state_dict()
    with torch.no_grad():
        for name in bare:
            weights[name].copy_(made[name])


_ROOM = 64_000_000
"""Numbers that a model may have beyond twice those of its file: a new head over a large vocabulary."""


def _check_size(kind: AutoClass, base: BaseCheckpoint, config: PretrainedConfig) -> None:
    """BaseModelError for a configuration that describes another model than the file holds, before its memory is asked
    for: a model on the meta device has shapes alone."""
    try:
        with torch.device("meta"):
            asked = sum(one.numel() for one in kind.from_config(config).parameters())
    except Exception as error:  # as above
        raise BaseModelError(f"base model {base.address!r} cannot be loaded: {first_line(error)}") from error
    held = sum(math.prod(shape) for shape in _shapes(base))
    if asked > 2 * held + _ROOM:
        raise BaseModelError(
            f"base model {base.address!r}: config.json describes a model of {asked:,} numbers, model.safetensors holds "
            f"{held:,}: they do not belong together"
        )


def _shapes(base: BaseCheckpoint) -> Iterator[list[int]]:
    for path in sorted(base.folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - it is no mapping
                    yield file.get_slice(name).get_shape()
        except (OSError, SafetensorError) as error:
            raise BaseModelError(
                f"base model {base.address!r} cannot be loaded: {path.name}: {first_line(error)}"
            ) from error


def _is_encoders(name: str, model: nn.Module) -> bool:
    """Whether a weight belongs to the pretrained encoder, whose pooler may be new as the head is."""
    part = pretrained_name(model)
    return name.startswith(f"{part}." if part else "") and "pooler" not in name


_NOT_LEARNED = ("position_ids", "inv_freq", "masked_bias", "relative_position_index", "version")
_FOR_PRETRAINING = ("mask_token", "masked_spec_embed")


def _is_left_over(name: str, model: nn.Module) -> bool:
    """Whether a weight that was not loaded belongs to the pretrained encoder: to one of its parts by name, not to a
    pooler or another head, and neither computed nor of use in pretraining alone."""
    part = pretrained_name(model)
    inside = name.removeprefix(f"{part}.") if part else name
    child = inside.partition(".")[0]
    known = child in dict(pretrained_part(model).named_children()) and "pooler" not in inside
    return known and not inside.endswith((*_NOT_LEARNED, *_FOR_PRETRAINING))


def save_weights(model: nn.Module, folder: Path) -> None:
    """Write `model.safetensors` and `config.json`, to continue training from."""
    folder.mkdir(parents=True, exist_ok=True)
    # clone: tied weights share memory, which the format refuses.
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    try:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    except SafetensorError as error:
        raise JobError(f"the weights cannot be written to {folder}: {first_line(error)}") from error
    config = model.config.to_diff_dict()  # type: ignore[union-attr, operator]
    config["architectures"] = [type(model).__name__]
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False))

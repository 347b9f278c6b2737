"""The model that learns: a pretrained encoder, its pooling, and a new head.

Axes: B rows of a batch, T tokens, D hidden size, L labels.
"""

import inspect
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import (
    MODEL_MAPPING,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from tunewright.job.errors import BaseModelError, SettingsError, first_line
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.model.classifiers import (
    HEAD,
    MeanPooledClassifier,
    PairClassifier,
    last_layer,
    make_new,
    scale_head,
)
from tunewright.job.model.load import (
    AutoClass,
    load,
    load_config,
    load_with_report,
    require_finite,
    silence_transformers,
)
from tunewright.job.settings.train import TrainSettings


def build_classifier(
    base: BaseCheckpoint, labels: list[str], settings: TrainSettings, scale: tuple[float, float] = (0.0, 1.0)
) -> nn.Module:
    """The model with the base's weights and a new head; BaseModelError when weights are missing or not finite.

    A base that was fine-tuned to the same labels, pooled in the same way, keeps its head. `scale`: the offset and
    factor that `scale_head` will fold into the last layer, which a head that is kept already has.
    """
    torch.manual_seed(settings.seed)
    silence_transformers()
    by_itself = base.mean_pooling or settings.few_shot is not None
    mean = settings.pooling == "mean" or (settings.pooling == "auto" and by_itself)
    keep = _keeps_head(base, labels, "mean" if mean else "native")
    config = _configured(load_config(base), labels, settings)
    config.tunewright_pooling = "mean" if mean else "native"
    model = _mean_pooled(base, config, keep=keep) if mean else _native(base, config, keep=keep)
    require_finite(model, base)
    if keep:
        scale_head(model, (-scale[0] / scale[1], 1 / scale[1]))
    return model.float()


def build_headed(
    kind: AutoClass,
    base: BaseCheckpoint,
    labels: list[str],
    settings: TrainSettings,
    scale: tuple[float, float] = (0.0, 1.0),
) -> nn.Module:
    """A model of one of transformers' Auto classes: the base's weights and a new head of one number per label.

    A base of the same class that was fine-tuned to the same labels keeps its head. `scale`: as of `build_classifier`.
    """
    torch.manual_seed(settings.seed)
    silence_transformers()
    stated = base.config()
    config = _configured(load_config(base), labels, settings)
    model = load(kind, base, config, {})
    other = stated.get("label2id") != config.label2id or stated.get("architectures") != [type(model).__name__]
    if other and not base.finished:
        make_new(last_layer(model), config)
    else:
        scale_head(model, (-scale[0] / scale[1], 1 / scale[1]))
    require_finite(model, base)
    return model.float()


def build_pair(base: BaseCheckpoint, labels: list[str], settings: TrainSettings) -> nn.Module:
    """A CLIP-like base with a new head over both of its encoders."""
    torch.manual_seed(settings.seed)
    silence_transformers()
    config = _configured(load_config(base), labels, settings)
    pair = load(AutoModel, base, config, {})
    require_finite(pair, base)
    return PairClassifier(pair, config).float()


def build_masked(base: BaseCheckpoint, settings: TrainSettings) -> tuple[nn.Module, bool]:
    """The base with a head that finds masked words, and whether that head is new.

    A pooler of the base has no part in this; it is kept for the tasks that come after.
    """
    torch.manual_seed(settings.seed)
    silence_transformers()
    # No labels but the ones that any configuration has: the next task must not take its head for a head for its own.
    config = _configured(load_config(base), ["LABEL_0", "LABEL_1"], settings)
    if base.pooling:
        config.tunewright_pooling = base.pooling
    model, absent = load_with_report(AutoModelForMaskedLM, base, config, {})
    _keep_pooler(getattr(model, str(model.base_model_prefix)), base, config)
    require_finite(model, base)
    return model.float(), any("pooler" not in name for name in absent)


def _keep_pooler(part: Any, base: BaseCheckpoint, config: PretrainedConfig) -> None:
    """Put the base's pooler into an encoder that was loaded without one, where it brings one."""
    if getattr(part, "pooler", part) is not None:
        return
    encoder, absent = load_with_report(AutoModel, base, config, {})
    if not any("pooler" in name for name in absent):
        part.pooler = encoder.pooler
        # ALBERT has it apart.
        part.pooler_activation = getattr(encoder, "pooler_activation", None)


def build_writer(kind: AutoClass, base: BaseCheckpoint, settings: TrainSettings) -> tuple[nn.Module, bool]:
    """A model that writes token after token, and whether its last layer is new. `kind`: its Auto class."""
    torch.manual_seed(settings.seed)
    silence_transformers()
    config = _configured(load_config(base), ["LABEL_0", "LABEL_1"], settings)
    model, absent = load_with_report(kind, base, config, {})
    require_finite(model, base)
    return model.float(), any(name.endswith("weight") for name in absent)


def build_encoder(base: BaseCheckpoint, settings: TrainSettings) -> nn.Module:
    """The base without any head or pooler."""
    silence_transformers()
    config = _configured(load_config(base), ["LABEL_0", "LABEL_1"], settings)
    encoder = _encoder(base, config)
    require_finite(encoder, base)
    return encoder.float()


def _keeps_head(base: BaseCheckpoint, labels: list[str], pooling: str) -> bool:
    config = base.config()
    same_labels = base.finished or config.get("label2id") == {label: number for number, label in enumerate(labels)}
    return same_labels and config.get("tunewright_pooling", "native") == pooling


def _configured(config: PretrainedConfig, labels: list[str], settings: TrainSettings) -> PretrainedConfig:
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.dtype = torch.float32
    _set_dropout(config, settings.dropout)
    return config


def _mean_pooled(base: BaseCheckpoint, config: PretrainedConfig, *, keep: bool) -> nn.Module:
    model = MeanPooledClassifier(_encoder(base, config), config, _head_dropout(config))
    if keep:
        _restore_head(model, base)
    return model


def _encoder(base: BaseCheckpoint, config: PretrainedConfig) -> nn.Module:
    """The encoder without the pooler that some bring, which the mean does not use."""
    accepted = inspect.signature(cast(type[PreTrainedModel], MODEL_MAPPING[type(config)])).parameters
    extra = {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}
    return load(AutoModel, base, config, extra)


def _restore_head(model: MeanPooledClassifier, base: BaseCheckpoint) -> None:
    try:
        with safe_open(base.folder / "model.safetensors", framework="pt") as file:
            head = {name: file.get_tensor(f"{HEAD}.{name}") for name in ("weight", "bias")}
        getattr(model, HEAD).load_state_dict(head)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise BaseModelError(f"base model {base.address!r}: its head cannot be loaded: {first_line(error)}") from error


def _native(base: BaseCheckpoint, config: PretrainedConfig, *, keep: bool) -> nn.Module:
    model = load(AutoModelForSequenceClassification, base, config, {})
    if not keep:
        # A head of the same size, but for other labels, would have to be unlearned first.
        make_new(last_layer(model), config)
    return model


_HEAD_DROPOUTS = (
    "classifier_dropout",
    "classifier_dropout_prob",
    "seq_classif_dropout",
    "cls_dropout",
    "hidden_dropout_prob",
    "dropout",
)
"""What the architectures call the dropout before the last layer, the most particular name first."""


def check_dropout(base: BaseCheckpoint, settings: TrainSettings) -> None:
    """SettingsError for a dropout where the architecture has none."""
    config = load_config(base)
    if settings.dropout is not None and not any(_dropouts(part) for part in _with_parts(config)):
        raise SettingsError(
            f"train.dropout would have no effect: models of the architecture {config.model_type} have no dropout; "
            "remove it"
        )


def _set_dropout(config: PretrainedConfig, dropout: float | None) -> None:
    if dropout is None:
        return
    for part in _with_parts(config):
        for name in _dropouts(part):
            setattr(part, name, dropout)


def _with_parts(config: PretrainedConfig) -> list[PretrainedConfig]:
    return [config, *(part for part in vars(config).values() if isinstance(part, PretrainedConfig))]


def _dropouts(config: PretrainedConfig) -> list[str]:
    """Every probability of dropout that the architecture has; a flag such as `token_dropout` is none."""
    # GPT-2 and its kin say attn_pdrop, embd_pdrop, resid_pdrop.
    return [
        name
        for name, value in vars(config).items()
        if ("dropout" in name or name.endswith("pdrop")) and (value is None or _is_number(value))
    ]


def _head_dropout(config: PretrainedConfig) -> float:
    values = [getattr(config, name, None) for name in _HEAD_DROPOUTS]
    return float(next((value for value in values if _is_number(value)), 0.1))  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

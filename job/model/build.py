"""The model that learns: a pretrained encoder, its pooling, and a new head.

Axes: B rows of a batch, T tokens, D hidden size, L labels.
"""

import inspect
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as functional
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from tunewright.job.errors import BaseModelError, JobError
from tunewright.job.model.base_model import BaseModel
from tunewright.job.model.layers import pretrained_name
from tunewright.job.settings.train import TrainSettings

HEAD = "classifier"


AutoClass = type[Any]
"""transformers' class of the models of one task, such as `AutoModelForMaskedLM`: their methods have no types."""


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
        self.add_module(HEAD, nn.Linear(config.hidden_size, config.num_labels))
        _make_new(getattr(self, HEAD), config)

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


def load_config(base: BaseModel) -> PretrainedConfig:
    """The configuration as transformers reads it; BaseModelError when a value in it cannot be used."""
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(base.folder, trust_remote_code=False)
    except Exception as error:  # a configuration's class raises whatever its code raises for an unforeseen value
        raise BaseModelError(
            f"base model {base.address!r}: config.json cannot be used: {_first_line(error)}"
        ) from error
    return config


def build_classifier(
    base: BaseModel, labels: list[str], settings: TrainSettings, scale: tuple[float, float] = (0.0, 1.0)
) -> nn.Module:
    """The model with the base's weights and a new head; BaseModelError when weights are missing or not finite.

    A base that was fine-tuned to the same labels, pooled in the same way, keeps its head. `scale`: the offset and
    factor that `scale_head` will fold into the last layer, which a head that is kept already has.
    """
    torch.manual_seed(settings.seed)
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    by_itself = base.mean_pooling or settings.few_shot is not None
    mean = settings.pooling == "mean" or (settings.pooling == "auto" and by_itself)
    keep = _keeps_head(base, labels, "mean" if mean else "native")
    config = _configured(load_config(base), labels, settings)
    config.tunewright_pooling = "mean" if mean else "native"
    model = _mean_pooled(base, config, keep=keep) if mean else _native(base, config, keep=keep)
    _require_finite(model, base)
    if keep:
        scale_head(model, (-scale[0] / scale[1], 1 / scale[1]))
    return model.float()


def build_headed(
    kind: AutoClass,
    base: BaseModel,
    labels: list[str],
    settings: TrainSettings,
    scale: tuple[float, float] = (0.0, 1.0),
) -> nn.Module:
    """A model of one of transformers' Auto classes: the base's weights and a new head of one number per label.

    A base of the same class that was fine-tuned to the same labels keeps its head. `scale`: as of `build_classifier`.
    """
    torch.manual_seed(settings.seed)
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    stated = base.config()
    config = _configured(load_config(base), labels, settings)
    model = _load(kind, base, config, {})
    if stated.get("label2id") != config.label2id or stated.get("architectures") != [type(model).__name__]:
        _make_new(last_layer(model), config)
    else:
        scale_head(model, (-scale[0] / scale[1], 1 / scale[1]))
    _require_finite(model, base)
    return model.float()


class PairClassifier(nn.Module):
    """Two encoders of one space (CLIP), and a linear layer over both vectors and their product."""

    base_model_prefix = "pair"

    def __init__(self, pair: nn.Module, config: PretrainedConfig) -> None:
        super().__init__()
        self.config = config
        self.pair = pair
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(3 * config.projection_dim, config.num_labels)
        _make_new(self.classifier, config)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, pixel_values: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Token ids `[B, T]` and pixels `[B, 3, H, W]` to logits `[B, L]`."""
        pair: Any = self.pair
        text_BD = functional.normalize(pair.get_text_features(input_ids=input_ids, attention_mask=attention_mask))
        image_BD = functional.normalize(pair.get_image_features(pixel_values=pixel_values))
        both = torch.cat([text_BD, image_BD, text_BD * image_BD], dim=-1)
        return {"logits": self.classifier(self.dropout(both))}


def build_pair(base: BaseModel, labels: list[str], settings: TrainSettings) -> nn.Module:
    """A CLIP-like base with a new head over both of its encoders."""
    torch.manual_seed(settings.seed)
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    config = _configured(load_config(base), labels, settings)
    pair = _load(AutoModel, base, config, {})
    _require_finite(pair, base)
    return PairClassifier(pair, config).float()


def build_masked(base: BaseModel, settings: TrainSettings) -> tuple[nn.Module, bool]:
    """The base with a head that finds masked words, and whether that head is new.

    A pooler of the base has no part in this; it is kept for the tasks that come after.
    """
    torch.manual_seed(settings.seed)
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    # No labels but the ones that any configuration has: the next task must not take its head for a head for its own.
    config = _configured(load_config(base), ["LABEL_0", "LABEL_1"], settings)
    if base.pooling:
        config.tunewright_pooling = base.pooling
    model, absent = _loaded(AutoModelForMaskedLM, base, config, {})
    _keep_pooler(getattr(model, str(model.base_model_prefix)), base, config)
    _require_finite(model, base)
    return model.float(), any("pooler" not in name for name in absent)


def _keep_pooler(part: Any, base: BaseModel, config: PretrainedConfig) -> None:
    """Put the base's pooler into an encoder that was loaded without one, where it brings one."""
    if getattr(part, "pooler", part) is not None:
        return
    encoder, absent = _loaded(AutoModel, base, config, {})
    if not any("pooler" in name for name in absent):
        part.pooler = encoder.pooler
        # ALBERT has it apart.
        part.pooler_activation = getattr(encoder, "pooler_activation", None)


def build_writer(kind: AutoClass, base: BaseModel, settings: TrainSettings) -> tuple[nn.Module, bool]:
    """A model that writes token after token, and whether its last layer is new. `kind`: its Auto class."""
    torch.manual_seed(settings.seed)
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    config = _configured(load_config(base), ["LABEL_0", "LABEL_1"], settings)
    model, absent = _loaded(kind, base, config, {})
    _require_finite(model, base)
    return model.float(), any(name.endswith("weight") for name in absent)


def build_encoder(base: BaseModel, settings: TrainSettings) -> nn.Module:
    """The base without any head or pooler."""
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    config = _configured(load_config(base), ["LABEL_0", "LABEL_1"], settings)
    encoder = _encoder(base, config)
    _require_finite(encoder, base)
    return encoder.float()


def _require_finite(model: nn.Module, base: BaseModel) -> None:
    for name, weight in model.named_parameters():
        if not torch.isfinite(weight).all():
            raise BaseModelError(f"base model {base.address!r}: the weight {name} is not finite: the file is damaged")


def _keeps_head(base: BaseModel, labels: list[str], pooling: str) -> bool:
    config = base.config()
    same_labels = config.get("label2id") == {label: number for number, label in enumerate(labels)}
    return same_labels and config.get("tunewright_pooling", "native") == pooling


def _configured(config: PretrainedConfig, labels: list[str], settings: TrainSettings) -> PretrainedConfig:
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.dtype = torch.float32
    _set_dropout(config, settings.dropout)
    return config


def _mean_pooled(base: BaseModel, config: PretrainedConfig, *, keep: bool) -> nn.Module:
    model = MeanPooledClassifier(_encoder(base, config), config, _head_dropout(config))
    if keep:
        _restore_head(model, base)
    return model


def _encoder(base: BaseModel, config: PretrainedConfig) -> nn.Module:
    """The encoder without the pooler that some bring, which the mean does not use."""
    accepted = inspect.signature(cast(type[PreTrainedModel], MODEL_MAPPING[type(config)])).parameters
    extra = {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}
    return _load(AutoModel, base, config, extra)


def _restore_head(model: MeanPooledClassifier, base: BaseModel) -> None:
    try:
        with safe_open(base.folder / "model.safetensors", framework="pt") as file:
            head = {name: file.get_tensor(f"{HEAD}.{name}") for name in ("weight", "bias")}
        getattr(model, HEAD).load_state_dict(head)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise BaseModelError(f"base model {base.address!r}: its head cannot be loaded: {_first_line(error)}") from error


def _native(base: BaseModel, config: PretrainedConfig, *, keep: bool) -> nn.Module:
    model = _load(AutoModelForSequenceClassification, base, config, {})
    if not keep:
        # A head of the same size, but for other labels, would have to be unlearned first.
        _make_new(last_layer(model), config)
    return model


def _make_new(layer: nn.Linear, config: PretrainedConfig) -> None:
    nn.init.normal_(layer.weight, std=getattr(config, "initializer_range", 0.02))
    nn.init.zeros_(layer.bias)


def _load(kind: AutoClass, base: BaseModel, config: PretrainedConfig, extra: Mapping[str, object]) -> nn.Module:
    return _loaded(kind, base, config, extra)[0]


def _loaded(
    kind: AutoClass, base: BaseModel, config: PretrainedConfig, extra: Mapping[str, object]
) -> tuple[nn.Module, list[str]]:
    """Weights from safetensors only; all of the encoder's must be there and of the right shape, but for a pooler.

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
        raise BaseModelError(f"base model {base.address!r} cannot be loaded: {_first_line(error)}") from error
    absent = [*report["missing_keys"], *report["mismatched_keys"]]
    missing = sorted(name for name in absent if _is_encoders(name, model))
    if missing:
        raise BaseModelError(
            f"base model {base.address!r}: model.safetensors lacks {len(missing)} weights that config.json asks for, "
            f"or has them in another shape, such as {missing[0]}"
        )
    return model, absent


_ROOM = 64_000_000
"""Numbers that a model may have beyond twice those of its file: a new head over a large vocabulary."""


def _check_size(kind: AutoClass, base: BaseModel, config: PretrainedConfig) -> None:
    """BaseModelError for a configuration that describes another model than the file holds, before its memory is asked
    for: a model on the meta device has shapes alone."""
    try:
        with torch.device("meta"):
            asked = sum(one.numel() for one in kind.from_config(config).parameters())
    except Exception as error:  # as above
        raise BaseModelError(f"base model {base.address!r} cannot be loaded: {_first_line(error)}") from error
    held = sum(math.prod(shape) for shape in _shapes(base))
    if asked > 2 * held + _ROOM:
        raise BaseModelError(
            f"base model {base.address!r}: config.json describes a model of {asked:,} numbers, model.safetensors holds "
            f"{held:,}: they do not belong together"
        )


def _shapes(base: BaseModel) -> Iterator[list[int]]:
    for path in sorted(base.folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - it is no mapping
                    yield file.get_slice(name).get_shape()
        except (OSError, SafetensorError) as error:
            raise BaseModelError(
                f"base model {base.address!r} cannot be loaded: {path.name}: {_first_line(error)}"
            ) from error


def _is_encoders(name: str, model: nn.Module) -> bool:
    """Whether a weight belongs to the pretrained encoder, whose pooler may be new as the head is."""
    part = pretrained_name(model)
    return name.startswith(f"{part}." if part else "") and "pooler" not in name


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


_HEAD_DROPOUTS = (
    "classifier_dropout",
    "classifier_dropout_prob",
    "seq_classif_dropout",
    "cls_dropout",
    "hidden_dropout_prob",
    "dropout",
)
"""What the architectures call the dropout before the last layer, the most particular name first."""


def _set_dropout(config: PretrainedConfig, dropout: float | None) -> None:
    """Every probability of dropout that the architecture has; a flag such as `token_dropout` is none."""
    if dropout is None:
        return
    for name, value in list(vars(config).items()):
        # GPT-2 and its kin say attn_pdrop, embd_pdrop, resid_pdrop.
        if ("dropout" in name or name.endswith("pdrop")) and (value is None or _is_number(value)):
            setattr(config, name, dropout)


def _head_dropout(config: PretrainedConfig) -> float:
    values = [getattr(config, name, None) for name in _HEAD_DROPOUTS]
    return float(next((value for value in values if _is_number(value)), 0.1))  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def last_layer(model: nn.Module) -> nn.Linear:
    """The linear layer that makes the logits."""
    labels = model.config.num_labels  # type: ignore[union-attr]
    linear = [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == labels]
    return linear[-1]


def scale_head(model: nn.Module, scale: tuple[float, float]) -> None:
    """Fold the offset and factor of the targets into the last layer, so that the graph answers in their unit."""
    offset, factor = scale
    head = last_layer(model)
    with torch.no_grad():
        head.weight.mul_(factor)
        head.bias.mul_(factor).add_(offset)


def save_weights(model: nn.Module, folder: Path) -> None:
    """Write `model.safetensors` and `config.json`, to continue training from."""
    folder.mkdir(parents=True, exist_ok=True)
    # clone: tied weights share memory, which the format refuses.
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    try:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    except SafetensorError as error:
        raise JobError(f"the weights cannot be written to {folder}: {_first_line(error)}") from error
    config = model.config.to_diff_dict()  # type: ignore[union-attr, operator]
    config["architectures"] = [type(model).__name__]
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False))

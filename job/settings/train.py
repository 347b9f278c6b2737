"""How to learn, as settings."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, model_validator

from tunewright.job.settings.data import DataSettings
from tunewright.job.settings.fields import Fraction, LabelWeights, Settings
from tunewright.job.settings.presets import PRESETS, Preset
from tunewright.job.settings.remedies import AugmentSettings, DistillSettings, PseudoLabelSettings, ThresholdSettings


class LoraSettings(Settings):
    """Low-rank adapters: far fewer weights learn, and they are merged before the export."""

    rank: int = Field(default=8, ge=1, le=1024)
    """Rank of the two matrices of an adapter."""
    alpha: int = Field(default=16, ge=1)
    """What an adapter adds is scaled by alpha / rank."""
    dropout: Fraction = 0.0
    """Dropout before an adapter."""
    targets: list[str] | None = None
    """Names of the linear layers that get one, such as [query, value]; all of them when absent."""
    quantization: Literal["nf4"] | None = None
    """QLoRA: the frozen weights beside the adapters in four bits. Needs the package bitsandbytes; saves memory only on
    a GPU."""


class FewShotSettings(Settings):
    """Few labels: pairs of texts teach the encoder which belong together, then logistic regression is the head."""

    pairs: int = Field(default=1, ge=1, le=1000)
    """Pairs of one epoch for each training row; every label gets the same number."""
    temperature: float = Field(default=0.05, gt=0, le=10)
    """Divides the cosine similarities in the contrastive loss: lower looks more at the texts that are hard to part."""
    head_c: float = Field(default=10.0, gt=0)
    """Inverse strength of the head's L2 penalty (C of scikit-learn's LogisticRegression)."""


class CheckpointSettings(Settings):
    """What is kept of training under way, so that the same command goes on where it was stopped."""

    minutes: float = Field(default=5.0, gt=0)
    """Minutes between two checkpoints; one is written after each epoch in any case."""
    steps: int | None = Field(default=None, ge=1)
    """Steps between two checkpoints, beside those by time."""
    keep: int = Field(default=2, ge=1, le=100)
    """Checkpoints that are kept, the last ones."""


class TrainSettings(Settings):
    """How to learn."""

    preset: Preset = "balanced"
    """What the settings of train are where they are not set: quick for a first look, best for the last point."""
    minutes: float | None = Field(default=None, gt=0)
    """Minutes that training may take, validation included: an epoch is measured first, and fewer epochs are run, or on
    fewer rows, so that it ends in time."""
    epochs: int = Field(default=3, ge=1, le=1000)
    """Passes over the training rows. Where they are few the default is more: at least 300 steps in up to 20 epochs."""
    learning_rate: float = Field(default=1e-4, gt=0, lt=1)
    """Peak learning rate of AdamW."""
    batch_size: int = Field(default=32, ge=1)
    """Rows of one step, of all processes together."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """What each of several processes holds: all weights (ddp), or a share of them, of their gradients and of the
    optimizer's state (fsdp), for a model that is too large for one device."""
    accumulation: int = Field(default=1, ge=1)
    """Batches whose gradients are averaged into one optimizer step."""
    seed: int = Field(default=1, ge=0, lt=2**32)
    """Seeds the split, the order of rows, the new head and dropout."""
    layers: Literal["all", "head"] | Annotated[int, Field(ge=1)] = "all"
    """Which weights learn: all, only the new head, or the head and the top k layers."""
    keep_layers: Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """Leave out the other layers of the base model before anything is learned: so many of the lowest are kept, or those
    with these numbers, counted from 0."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Learning rate of a layer as a share of the rate of the layer above it."""
    unfreeze: int | None = Field(default=None, ge=1)
    """Gradual unfreezing: the first epoch teaches the head alone, each further one so many more layers from the top."""
    freeze: tuple[str, ...] = ()
    """Parts that do not learn: `embeddings`, or names of parts of the base model, such as `encoder.layer.0`."""
    lora: LoraSettings | None = None
    """Teach low-rank adapters and the head instead of all weights."""
    few_shot: FewShotSettings | None = None
    """For 2 to 16 rows a label: teach the encoder with pairs of texts, then fit the head by logistic regression; with
    layers: head the encoder stays as it is."""
    pooling: Literal["auto", "native", "mean"] = "auto"
    """Tokens to one vector: the architecture's own head, the mean, or as the base model was pretrained (auto)."""
    max_length: int | None = Field(default=None, ge=8)
    """Longest row in tokens; 256, or the model's own limit where that is lower, when absent."""
    weight_decay: float = Field(default=0.01, ge=0, lt=1)
    """Decoupled weight decay; biases and normalization weights have none."""
    warmup: Fraction = 0.1
    """Share of the steps in which the learning rate rises."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up."""
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    dropout: Fraction | None = None
    """Dropout everywhere in the model; the base model's own when absent."""
    layer_drop: Fraction = 0.0
    """Stochastic depth: how often a layer is passed over in training."""
    l1: float = Field(default=0.0, ge=0, lt=1)
    """L1 penalty: draws weights to 0, by so much of the learning rate at each step; decoupled as weight decay is."""
    r_drop: float = Field(default=0.0, ge=0, le=100)
    """Two passes through the dropout shall agree: weight of their divergence in the loss (R-Drop)."""
    mixup: float = Field(default=0.0, ge=0, le=10)
    """Mix rows before the last layer, with both targets: alpha of the beta distribution of the shares."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Measure and keep a running mean of the weights: what it keeps of itself at each step, such as 0.99."""
    average: int | None = Field(default=None, ge=2, le=100)
    """Try the mean of the weights of the so many best measurements, and keep it where it is no worse."""
    augment: AugmentSettings | None = None
    """Change the training rows, otherwise in every epoch, labels kept."""
    distill: DistillSettings | None = None
    """Learn what a registered version answers, beside the labels: a small model from a large one."""
    pseudo_labels: PseudoLabelSettings | None = None
    """Learn what the model itself is sure of in unlabelled rows, where that is no worse on validation."""
    quantization_aware: bool | Literal["auto"] = False
    """Learn and measure with the rounding of the int8 file, so that it loses less; float32 files are made as ever.
    auto learns without it, and where int8 then loses more on validation than gate.max_drop allows a third of the epochs
    more with it, kept where that is enough."""
    label_smoothing: Fraction = 0.0
    """Share of the target spread over all labels; single label only."""
    class_weights: Literal["balanced", "effective"] | LabelWeights | None = None
    """Weight of each label in the loss: balanced by its count, by the effective number of its rows (many rows of one
    label repeat each other), or given by name."""
    sampling: Literal["over", "under"] | None = None
    """Rows of rare labels more often (over), or of common labels less often, others in every epoch (under)."""
    logit_adjustment: float | None = Field(default=None, gt=0, le=10)
    """Logits plus so many times the log share of their label in the loss, so that labels are told as if all were as
    common (1, after Menon et al. 2021); one label a row, or tags."""
    imbalance: Literal["auto"] | None = None
    """Try the remedies for uneven labels one after the other, and keep the model that is best on validation."""
    threshold: ThresholdSettings | None = None
    """Trade precision against recall of one label; one label a row."""
    focal_gamma: float = Field(default=0.0, ge=0, le=10)
    """Focal loss: how strongly rows that are already right are ignored; 0 is plain cross-entropy."""
    loss: str | None = None
    """What training makes small, where it is not the usual loss of the task: one of an installed plug-in."""
    huber_delta: float | None = Field(default=None, gt=0)
    """Regression: Huber loss with this delta (in standard deviations of the target) instead of squared error."""
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    """Arithmetic of the forward pass; auto takes bf16 where the hardware computes in it. tf32 is one of GPUs."""
    compile: bool | Literal["auto"] = "auto"
    """Whether the layers are compiled before they learn; auto does so on a GPU where the run is long enough for it."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Tokens that go through the model at a time, padding included, unless one row alone has more: memory and pace
    follow them, and a step still learns from all its rows. When absent 1,024 on a processor and 16,384 on a GPU, or
    less where the memory is small."""
    gradient_checkpointing: bool = False
    """Keep only what goes into each layer and compute the rest again on the way back: less memory, more time."""
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw"
    """adamw_8bit keeps the optimizer's running means in eight bits. Needs the package bitsandbytes."""
    on_non_finite: Literal["stop", "skip"] = "stop"
    """A loss or gradient that is not finite ends the run (stop), or its step is left out and counted (skip)."""
    patience: int = Field(default=3, ge=1)
    """Stop after so many epochs (measurements, with evaluate) without a better validation metric; the best weights are
    kept."""
    evaluate: int | None = Field(default=None, ge=1)
    """Measure on validation after every so many steps too, not only after each epoch."""
    metric: str | None = None
    """Validation metric that decides; the task's headline metric when absent."""
    checkpoint: CheckpointSettings = Field(default_factory=CheckpointSettings)
    """How often the state of training is kept."""

    @model_validator(mode="wrap")
    @classmethod
    def _take_preset(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        preset = given.get("preset") if isinstance(given, dict) else None
        if not isinstance(preset, str) or preset not in PRESETS:
            return handler(given)
        made = handler({**PRESETS[preset], **given})
        # As defaults are, so that what a job has no use for is no mistake of its user.
        made.model_fields_set.intersection_update(given)
        return made


class AdaptSettings(Settings):
    """Let the base model read unlabelled text first: it learns to find masked words in it."""

    data: DataSettings | None = None
    """The text, described as `data` is; the texts of the training rows when absent."""
    epochs: int = Field(default=3, ge=1, le=1000)
    """Passes over the text."""
    learning_rate: float = Field(default=5e-5, gt=0, lt=1)
    """Peak learning rate."""
    batch_size: int = Field(default=32, ge=1)
    """Rows of one step."""
    mask: float = Field(default=0.15, gt=0, le=0.5)
    """Share of the tokens to be found."""
    whole_words: bool = False
    """Hide all tokens of a word together."""
    max_length: int | None = Field(default=None, ge=8)
    """Longest row in tokens, a longer text goes on in the next row; train.max_length when absent."""

"""What settings ask for that cannot be, or that nothing would use: told all at once, before any data is read."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tunewright.job.data.columns import Options, Roles, read_roles
from tunewright.job.data.doctor.duplicates import can_be_near
from tunewright.job.data.doctor.label_noise import can_be_noise
from tunewright.job.data.faults import listed, shown
from tunewright.job.data.layout import format_faults
from tunewright.job.data.readers.formats import READERS
from tunewright.job.data.split import shares
from tunewright.job.errors import SettingsError
from tunewright.job.kinds.task import Task
from tunewright.job.measure.metric import METRICS, lower_is_better
from tunewright.job.measure.rows.altered import HARMLESS, NEGATION
from tunewright.job.settings.data import DataSettings, FindingKind
from tunewright.job.settings.job import GateSettings, JobSettings
from tunewright.job.settings.train import TrainSettings
from tunewright.job.steps.diagnose import EXTRA, NEAR, looked_for
from tunewright.job.steps.gate import is_altered
from tunewright.job.steps.run.track import track_faults
from tunewright.job.tasks import TASKS
from tunewright.job.train.loss import LOSSES
from tunewright.registry.errors import RegistryError
from tunewright.serving.explain.kinds import KINDS, NEARBY

_NO_EFFECT = " would have no effect: "
EVERY_TASK = frozenset(
    {f"train.{name}" for name in """preset minutes epochs learning_rate batch_size accumulation seed layers layer_decay
    unfreeze freeze lora weight_decay warmup schedule clip dropout precision compile gradient_checkpointing optimizer
    patience metric layer_drop l1 ema average evaluate checkpoint on_non_finite parallel
    keep_layers quantization_aware""".split()}
    | {f"data.{name}" for name in """train validation test columns header format comment sample_by delimiter quoting
    quote encoding validation_fraction test_fraction limit max_expansion gate""".split()}
)  # fmt: skip
"""Settings that every task uses. What stands neither here nor with a task's parts is refused."""
AFTER_EPOCHS = ("single_label", "multi_label", "regression", "similarity")
"""Problems whose metrics are known after each epoch."""
_WHOLE_WEIGHTS = ("unfreeze", "few_shot", "layer_drop", "l1", "ema", "quantization_aware")
"""Settings of `train` that need all weights in one process, or the same ones in each part of a step."""
_OF_LOSSES = ("class_weights", "label_smoothing", "focal_gamma", "logit_adjustment", "huber_delta")
"""Settings that a loss may use."""
_OF_FINE_TUNING = """max_tokens class_weights label_smoothing focal_gamma logit_adjustment sampling imbalance unfreeze
loss r_drop mixup augment distill quantization_aware""".split()
"""Settings of plain fine-tuning's loss and course that pairs have no use for."""
_OF_ENCODERS = """epochs learning_rate layer_decay freeze batch_size accumulation weight_decay warmup schedule clip
dropout precision compile gradient_checkpointing optimizer patience metric layer_drop l1 ema average evaluate""".split()
"""Settings that mean nothing more where the encoder is frozen."""

_UNTOLD = ("frozen", "masked")
"""Problems of which no answers to single rows are kept."""


def check_settings(settings: JobSettings, *, noise: bool = False) -> tuple[Options, Roles]:
    """The task's own settings and the roles of the columns; SettingsError names everything that is wrong with the
    settings of a job, a sentence each. `noise`: whether `--label_noise` is among them."""
    for catalogue in (TASKS, METRICS, LOSSES, READERS):
        catalogue.refuse_clashes()
    task = TASKS[settings.task]
    options, roles, faults = None, None, [*_unused(settings, task), *format_faults(settings.data)]
    try:
        options = read_options(settings)
    except SettingsError as error:
        faults += str(error).splitlines()
    try:
        roles = read_roles(settings.data, task.forms)
    except SettingsError as error:
        faults += str(error).splitlines()
    spent = shares(settings.data, few_shot=settings.train.few_shot is not None)
    faults += [*_unread(settings.data, spent), *_layers(settings.train), *_shards(settings.train)]
    faults += _held_out(settings, spent["validation"])
    faults += [*_adapted_text(settings), *_searched(settings), *_rounded(settings)]
    if options is None or roles is None:
        raise _error(faults)
    problem = task.target.problem(roles.target_role, options)
    measured = (*task.target.metric_names(problem), *settings.metrics)
    faults += [*_labels(settings, roles), *_few_shot(settings, task, problem), *_smoothing(settings, problem)]
    faults += [*_imbalance(settings.train, problem), *_augment(settings, task), *_taught(settings, problem)]
    faults += [*_more_metrics(settings, problem), *_loss(settings.train, problem)]
    faults += [*_unmeasured(settings, measured), *_bounds(settings.gate), *_variants(settings)]
    faults += task.target.contradictions(settings, roles, options)
    faults += [*_explained(settings), *_abstained(settings, problem), *track_faults(settings)]
    faults += [*_sliced(settings, roles, problem), *_flips(settings, task, problem)]
    faults += _gated(settings, noise, looked_for(task, roles.target_role, problem))
    if faults:
        raise _error(faults)
    return options, roles


def contradictions(settings: JobSettings, *, noise: bool = False) -> list[str]:
    """Everything that `check_settings` says, a sentence each."""
    try:
        check_settings(settings, noise=noise)
    except (SettingsError, RegistryError) as error:
        return str(error).splitlines()
    return []


def _error(faults: Iterable[str]) -> SettingsError:
    """Each setting once, with its first reason."""
    first: dict[str, str] = {}
    for fault in faults:
        first.setdefault(fault.partition(_NO_EFFECT)[0], fault)
    return SettingsError("\n".join(first.values()))


def read_options(settings: JobSettings) -> Options:
    """The task's own settings; SettingsError names each mistake in them."""
    kind = TASKS[settings.task].options
    try:
        return kind.model_validate(settings.options)
    except ValidationError as error:
        faults = [_option_fault(fault, settings.task, kind) for fault in error.errors(include_url=False)]
        raise SettingsError("\n".join(faults)) from error


def used(task: Task) -> frozenset[str]:
    """Every setting of `data` and `train`, and `adapt`, that the task uses."""
    augment = {"train.augment"} if task.augments else set()
    return EVERY_TASK | task.columns.uses | task.target.uses | task.uses | augment


def _option_fault(fault: ErrorDetails, task: str, kind: type[Options]) -> str:
    """One mistake in the words the user typed, with what is legal."""
    place = ".".join(("options", *(str(part) for part in fault["loc"])))
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"{place} is not a setting of {task}; it knows: {', '.join(kind.model_fields) or 'none'}"
    if fault["type"] == "missing":
        return f"{place} must be set"
    return f"{place} is {shown(fault['input'])}: {message[:1].lower()}{message[1:]}"


def _useless(name: str, reason: str) -> str:
    return f"{name}{_NO_EFFECT}{reason}; remove it"


def _given(settings: DataSettings | TrainSettings, prefix: str) -> Iterator[str]:
    """The settings that were set, in the order in which they are documented."""
    for name in type(settings).model_fields:
        if name in settings.model_fields_set and getattr(settings, name) is not None:
            yield f"{prefix}.{name}"


def _explained(settings: JobSettings) -> Iterator[str]:
    given = "explained_rows" in settings.export.model_fields_set and settings.export.explained_rows
    if given and settings.task in TASKS.built_in and settings.task not in KINDS:
        yield _useless("export.explained_rows", f"answers of {settings.task} are not explained")
    if settings.export.neighbours and settings.task not in NEARBY:
        yield _useless("export.neighbours", f"nearest rows are for {listed(list(NEARBY), 4)}")


def _abstained(settings: JobSettings, problem: str) -> Iterator[str]:
    if settings.export.abstain is not None and problem != "single_label":
        several = "of several labels each has a threshold" if problem == "multi_label" else f"this is {problem}"
        yield _useless("export.abstain", f"it is for one label a row, and {several}")


def _sliced(settings: JobSettings, roles: Roles, problem: str) -> Iterator[str]:
    columns = settings.report.slices
    if columns and problem in _UNTOLD:
        yield _useless("report.slices", f"{settings.task} tells no answer for a single row")
    for place, column in enumerate(columns):
        if column in columns[:place]:
            yield f"report.slices names {column!r} twice; name it once"
        elif column == roles.target:
            yield f"report.slices names {column!r}, what is to be learned: the report is cut by it anyway; remove it"


def _gated(settings: JobSettings, noise: bool, kinds: Sequence[FindingKind]) -> Iterator[str]:
    """Findings that are asked for and not looked for in such rows, or that cannot be here."""
    asked: dict[str, FindingKind] = {f"data.gate.{kind}": kind for kind in settings.data.gate}
    if noise:
        asked["--label_noise"] = "label_noise"
    for name, kind in asked.items():
        if kind not in kinds:
            yield _useless(name, f"{settings.task} is not looked at for it, but for {listed(kinds, 12)}")
        elif (kind in NEAR and not can_be_near()) or (kind == "label_noise" and not can_be_noise()):
            yield f"{name} needs more packages: {EXTRA}"


def _unused(settings: JobSettings, task: Task) -> Iterator[str]:
    given = [*_given(settings.data, "data"), *_given(settings.train, "train")]
    given += ["adapt"] if settings.adapt is not None else []
    for name in given:
        if name not in used(task):
            users = [other for other, one in TASKS.built_in.items() if name in used(one)]
            yield _useless(name, f"{settings.task} does not use it (it is for {listed(users, 4)})")


def _unread(data: DataSettings, spent: Mapping[str, float]) -> Iterator[str]:
    """Shares and lists that other settings leave nothing to do for; `spent`: what is split off from train."""
    if sum(spent.values()) >= 1:
        parts = " and ".join(f"data.{name}_fraction {share:g}" for name, share in spent.items())
        yield f"{parts} leave no rows to learn from; let their sum be below 1"
    for name in ("validation", "test"):
        if getattr(data, name) is not None and f"{name}_fraction" in data.model_fields_set:
            yield _useless(f"data.{name}_fraction", f"data.{name} is given")
    if data.quote is not None and data.quoting is False:
        yield _useless("data.quote", "data.quoting is false")
    if "unknown_labels" in data.model_fields_set and data.validation is None and data.test is None:
        yield _useless("data.unknown_labels", "it is for data.validation and data.test, and neither is given")


def _labels(settings: JobSettings, roles: Roles) -> Iterator[str]:
    if "label_separator" in settings.data.model_fields_set and roles.target_role == "label":
        yield _useless("data.label_separator", "it divides the role labels, which data.columns does not have")
    if settings.data.out_of_scope is not None and roles.target_role == "labels":
        yield "data.out_of_scope is for one label a row: a row that has none of several is a test row; remove it"


def _smoothing(settings: JobSettings, problem: str) -> Iterator[str]:
    if settings.train.label_smoothing and problem == "multi_label":
        yield "train.label_smoothing works with one label a row, not with several; set it to 0"


def _imbalance(train: TrainSettings, problem: str) -> Iterator[str]:
    """Remedies for uneven labels that this problem has no use for, or that are tried anyway."""
    if problem != "single_label":
        if train.sampling == "under":
            yield "train.sampling: under is for one label a row; set it to over"
        if train.threshold and problem == "multi_label":
            yield "train.threshold is for one label a row: of several labels each has a threshold of its own; remove it"
    if train.logit_adjustment and problem == "multi_label":
        yield "train.logit_adjustment works with one label a row, not with several; remove it"
    if train.imbalance:
        for name in ("class_weights", "sampling", "logit_adjustment", "focal_gamma", "loss"):
            if getattr(train, name):
                yield f"train.{name} cannot stand beside train.imbalance: auto, which tries what is best; remove one"


def _augment(settings: JobSettings, task: Task) -> Iterator[str]:
    """What the training rows of a task cannot be changed in."""
    asked = settings.train.augment
    if asked is None or not task.augments:
        return
    known = listed(sorted(task.augments))
    given = [name for name in type(asked).model_fields if getattr(asked, name)]
    if not given:
        yield _useless("train.augment", f"it names nothing; {settings.task} knows {known}")
    for name in given:
        if name not in task.augments:
            yield _useless(f"train.augment.{name}", f"the rows of {settings.task} cannot take it; it knows {known}")
    if asked.back_translate is None:
        return
    one = "train.augment.back_translate"
    if settings.train.minutes is not None:
        yield f"train.minutes may leave out training rows, which {one} has translated; remove one of the two"
    if settings.train.pseudo_labels:
        yield f"{one} cannot stand beside train.pseudo_labels, which adds rows that nobody has translated; remove one"


def _taught(settings: JobSettings, problem: str) -> Iterator[str]:
    """What a teacher has no use for, or what has no use without one."""
    train = settings.train
    if settings.data.unlabelled is not None and not train.distill and not train.pseudo_labels:
        yield _useless("data.unlabelled", "it is for train.distill and train.pseudo_labels, and neither is set")
    if train.pseudo_labels:
        if settings.data.unlabelled is None:
            yield "train.pseudo_labels needs rows to label: give data.unlabelled"
        if train.distill:
            yield "train.pseudo_labels cannot stand beside train.distill, whose teacher gives the labels; remove one"
        if train.minutes is not None:
            both = "train.minutes is the time of one training, and train.pseudo_labels has several"
            yield f"{both}; remove one of the two"
    if train.distill is None:
        return
    if train.augment and problem in ("entities", "tags"):
        yield "train.augment moves the words of a sentence, which train.distill has asked about; remove one of the two"
    if train.minutes is not None:
        yield "train.minutes may leave out training rows, which train.distill has asked about; remove one of the two"
    if problem == "regression" and "temperature" in train.distill.model_fields_set:
        yield _useless("train.distill.temperature", "numbers are compared as they are")


def _layers(train: TrainSettings) -> Iterator[str]:
    if train.r_drop and train.mixup:
        yield "train.mixup cannot stand beside train.r_drop; remove one"
    if train.r_drop and train.dropout == 0:
        yield _useless("train.r_drop", "without dropout two passes agree")
    if train.lora and (train.layers == "head" or train.unfreeze):
        yield "train.lora teaches adapters in the layers: remove train.layers: head and train.unfreeze"
    elif train.unfreeze and train.layers != "all":
        yield "train.unfreeze unfreezes all layers one after the other; remove it, or set train.layers to all"
    if train.minutes is not None and train.few_shot:
        yield _useless("train.minutes", "train.few_shot has no epochs that could be left out")
    if train.minutes is not None and train.imbalance:
        yield "train.minutes is the time of one training, and train.imbalance: auto has several; remove one of the two"
    if train.layers == "head" and "layer_decay" in train.model_fields_set and not train.few_shot:
        yield _useless("train.layer_decay", "with train.layers: head no layer learns")
    if train.freeze and (train.lora or train.layers == "head") and not train.few_shot:
        given = "train.lora nothing but the adapters and the head" if train.lora else "train.layers: head no layer"
        yield _useless("train.freeze", f"with {given} learns")
    if train.layers == "head" and train.gradient_checkpointing and not train.few_shot:
        yield _useless("train.gradient_checkpointing", "with train.layers: head nothing is kept of layers")


def _shards(train: TrainSettings) -> Iterator[str]:
    """What weights that are shared out to processes cannot have beside them."""
    if train.parallel != "fsdp":
        return
    given = [f"train.{name}" for name in _WHOLE_WEIGHTS if getattr(train, name)]
    if train.lora and train.lora.quantization:
        given.append("train.lora.quantization")
    if train.optimizer != "adamw":
        given.append("train.optimizer: adamw_8bit")
    for name in given:
        yield f"{name} cannot stand beside train.parallel: fsdp; remove one"


def _rounded(settings: JobSettings) -> Iterator[str]:
    """What cannot stand beside the rounding of int8 in training."""
    train = settings.train
    if not train.quantization_aware:
        return
    if "int8" not in settings.export.variants:
        yield _useless("train.quantization_aware", "export.variants does not make int8")
    for name, given in (("lora", train.lora), ("compile: true", train.compile is True)):
        if given:
            yield f"train.{name} cannot stand beside train.quantization_aware; remove one"
    if train.quantization_aware != "auto":
        return
    if "int8" not in settings.gate.max_drop:
        yield (
            "train.quantization_aware: auto needs to know what int8 may lose: give gate.max_drop.int8, or set it to "
            "true"
        )
    if train.minutes is not None:
        yield "train.minutes is the time of one training, and train.quantization_aware: auto may add one; remove one"
    for name in ("imbalance", "pseudo_labels"):
        if getattr(train, name):
            yield (
                f"train.quantization_aware: auto cannot stand beside train.{name}, which learns several times; remove "
                "one"
            )


def _searched(settings: JobSettings) -> Iterator[str]:
    if settings.search:
        yield "search is for `tunewright tune`, which writes a file without it; give that file, or remove search"


def _held_out(settings: JobSettings, share: float) -> Iterator[str]:
    """Settings that need rows to validate on, where the settings leave none; `share`: what is split off for them."""
    train = settings.train
    if settings.data.validation is not None or share:
        return
    if settings.adapt is not None:
        yield (
            "adapt needs validation rows to tell what it bought: give data.validation or a data.validation_fraction "
            "over 0"
        )
    for name in ("imbalance", "threshold", "pseudo_labels"):
        if getattr(train, name):
            yield f"train.{name} needs validation rows: give data.validation or a data.validation_fraction over 0"
    if train.quantization_aware == "auto":
        yield (
            "train.quantization_aware: auto needs validation rows: give data.validation or a data.validation_fraction "
            "over 0"
        )
    if settings.export.abstain is not None:
        yield "export.abstain needs validation rows: give data.validation or a data.validation_fraction over 0"
    untaught = train.few_shot is not None and train.layers == "head"
    for name in ("patience", "metric", "average", "evaluate") if not untaught else ():
        if name in train.model_fields_set and getattr(train, name) is not None:
            yield _useless(f"train.{name}", "no rows are held out for validation (data.validation_fraction)")


def _adapted_text(settings: JobSettings) -> Iterator[str]:
    """Settings of the text of `adapt` that finding words in it has no use for."""
    if settings.adapt is not None and settings.train.minutes is not None:
        yield "train.minutes is the time of one training, and adapt has three; remove one of the two"
    text = settings.adapt.data if settings.adapt else None
    if text is None:
        return
    if "gate" in text.model_fields_set:
        yield _useless("adapt.data.gate", "the doctor looks at the rows of data")
    for name in ("test", "test_fraction"):
        if name in text.model_fields_set:
            yield _useless(f"adapt.data.{name}", "adaptation is measured on validation")
    for name in _given(text, "data"):
        if name not in used(TASKS["masked-language-modelling"]):
            yield _useless(f"adapt.{name}", "the text of adapt has no labels")


def _few_shot(settings: JobSettings, task: Task, problem: str) -> Iterator[str]:
    train = settings.train
    if train.few_shot is None or "train.few_shot" not in used(task):
        return
    if problem != "single_label":
        yield "train.few_shot is for one label a row, not for several; remove it"
    if train.pooling == "native":
        yield "train.few_shot takes the mean over the tokens of a text: remove train.pooling: native"
    reason = "train.few_shot teaches the encoder with pairs and fits the head by itself"
    yield from _set(train, _OF_FINE_TUNING, reason)
    if train.layers == "head":
        yield from _set(train, _OF_ENCODERS, "with train.few_shot and train.layers: head the encoder is not taught")
        for name in sorted(train.few_shot.model_fields_set - {"head_c"}):
            yield _useless(f"train.few_shot.{name}", "with train.layers: head the encoder is not taught")


def _set(train: TrainSettings, names: Collection[str], reason: str) -> Iterator[str]:
    return (_useless(f"train.{name}", reason) for name in names if name in train.model_fields_set)


def _unmeasured(settings: JobSettings, measured: Collection[str]) -> Iterator[str]:
    """Metrics that will not be measured."""
    decides = [settings.train.metric] if settings.train.metric else []
    for setting, names in {
        "gate.min": settings.gate.min,
        "gate.max": settings.gate.max,
        "train.metric": decides,
    }.items():
        for name in names:
            if name not in measured:
                yield f"{setting} names {name!r}; this task measures {', '.join(measured)}"


def _more_metrics(settings: JobSettings, problem: str) -> Iterator[str]:
    """Metrics that no plug-in has, or that say nothing about this problem."""
    for name in settings.metrics:
        known = [one for one in METRICS if one not in METRICS.built_in]
        if name in METRICS.built_in:
            yield f"metrics names {name!r}, which is measured without being named where it means something; remove it"
        elif name not in METRICS:
            yield f"metrics names {name!r}; the installed plug-ins have {listed(known) or 'no metric'}"
        elif problem not in METRICS[name].of:
            what = listed(METRICS[name].of) or "no problem"
            yield f"metrics names {name!r}, which measures {what}, not {problem}; remove it"
        elif settings.train.metric == name and problem not in AFTER_EPOCHS:
            yield f"train.metric is {name!r}, which is measured once, on the exported files; remove it"


def _loss(train: TrainSettings, problem: str) -> Iterator[str]:
    """A loss that no plug-in has, or that is for another problem; what belongs to other losses."""
    if train.loss is None:
        return
    if train.loss not in LOSSES:
        yield f"train.loss is {train.loss!r}; expected {listed(map(repr, LOSSES), 20)}"
        return
    loss = LOSSES[train.loss]
    if problem not in loss.problems:
        yield f"train.loss is {train.loss!r}, which is for {listed(loss.problems)}, not {problem}; remove it"
    useless = [name for name in _OF_LOSSES if name not in loss.uses]
    yield from _set(train, useless, f"the loss {train.loss} does not use it")


def _bounds(gate: GateSettings) -> Iterator[str]:
    """Floors of errors, and ceilings of what is the better the higher."""
    for name, floor in gate.min.items():
        if lower_is_better(name):
            yield f"gate.min names {name!r}, which is an error and has no floor; say gate.max.{name}"
        elif floor > 1 and (name not in METRICS or METRICS[name].is_share):
            yield f"gate.min.{name} is {floor:g}, but {name} is at most 1; 80 % is written 0.8"
    for name in gate.max:
        if not lower_is_better(name):
            yield f"gate.max names {name!r}, which is the better the higher; say gate.min.{name}"


def _flips(settings: JobSettings, task: Task, problem: str) -> Iterator[str]:
    """Bounds for what no text is changed in, or what may rightly change an answer."""
    bounds = settings.gate.max_flip
    if bounds and not is_altered(task, problem):
        yield _useless("gate.max_flip", "texts are written otherwise where their labels are told")
        return
    for kind in bounds:
        if kind == NEGATION:
            yield (
                f"gate.max_flip names {kind!r}, after which another answer may be the right one: the report shows it, "
                f"and nothing is held against it; remove it"
            )
        elif kind not in HARMLESS:
            yield f"gate.max_flip names {kind!r}; it may name {', '.join(HARMLESS)}"


def _variants(settings: JobSettings) -> Iterator[str]:
    """Variants that will not be made."""
    # fp32 is what the others are compared with. The default for int8 is no mistake where int8 is not asked for.
    droppable = [name for name in dict.fromkeys(settings.export.variants) if name != "fp32"]
    for name in settings.gate.max_drop if "max_drop" in settings.gate.model_fields_set else ():
        if name == "int8" and name not in droppable:
            yield _useless(f"gate.max_drop.{name}", "export.variants does not make that variant")
        elif name not in droppable:
            yield f"gate.max_drop names {name!r}; it may name {', '.join(droppable) or 'none of export.variants'}"

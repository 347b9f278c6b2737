"""A setting is used or refused, before any data is read, with everything else that is wrong."""

import sys

import pytest

from tunewright.job.errors import SettingsError
from tunewright.job.settings.data import DataSettings
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.train import TrainSettings
from tunewright.job.steps.contradictions import EVERY_TASK, check_settings, contradictions, used
from tunewright.job.tasks import TASKS

NOISE = "--label_noise"
VALUES = {
    "data.train": "y.csv",
    "data.validation": "v.csv",
    "data.test": "t.csv",
    "data.unlabelled": "u.csv",
    "data.out_of_scope": "o.csv",
    "data.columns": {},
    "data.format": "csv",
    "data.label_names": {"0": "bad"},
    "data.skip_labels": ["bad"],
    "data.unknown_labels": "wrong",
    "data.cleaning": {"html": True},
    "data.gate": {"repeats": 0.5},
    "train.seed": 3,
    "train.preset": "best",
    "train.layers": 1,
    "train.keep_layers": [0],
    "train.unfreeze": 1,
    "train.freeze": ["embeddings"],
    "train.lora": {},
    "train.few_shot": {},
    "train.checkpoint": {"steps": 9},
    "train.pooling": "mean",
    "train.schedule": "cosine",
    "train.class_weights": "balanced",
    "train.sampling": "over",
    "train.augment": {"typos": 0.1},
    "train.distill": {"teacher": "x@best"},
    "train.pseudo_labels": {},
    "train.imbalance": "auto",
    "train.threshold": {"label": "bad", "recall": 0.9},
    "train.precision": "fp32",
    "train.max_tokens": 512,
    "train.compile": True,
    "train.parallel": "fsdp",
    "train.optimizer": "adamw_8bit",
    "train.on_non_finite": "skip",
    "adapt": {},
}
"""A value of each setting that is no number, text or flag."""
BESIDE = {"data.label_separator": {"columns": {"labels": "labels"}}, "data.unknown_labels": {"test": "t.csv"}}
"""What the data needs beside a setting for it to mean something."""
GIVEN = [f"data.{name}" for name in DataSettings.model_fields] + [
    f"train.{name}" for name in TrainSettings.model_fields
]
GIVEN.append("adapt")


def faults(**changes):
    """The sentences about the settings of a job."""
    settings = JobSettings(model_name="x", **({"data": {"train": "nowhere.csv"}} | changes))
    try:
        check_settings(settings)
    except SettingsError as error:
        return str(error).splitlines()
    return []


def value_of(setting):
    """A value that is not the default one."""
    if setting in VALUES:
        return VALUES[setting]
    room, _, name = setting.partition(".")
    default = {"data": DataSettings, "train": TrainSettings}[room].model_fields[name].default
    if isinstance(default, bool):
        return not default
    if name == "metric":
        return None
    texts = {"comment": "#", "delimiter": ";", "quote": "'", "encoding": "latin-1", "sample_by": "document"}
    texts |= {"quoting": False, "label_separator": ";"}
    if name in texts:
        return texts[name]
    return (
        9
        if name in ("max_length", "epochs", "batch_size", "accumulation", "patience", "limit", "average", "evaluate")
        else 0.25
    )


def job_with(task, setting):
    """The settings of a job that has this one."""
    room, _, name = setting.partition(".")
    changes = {"task": task, "data": {"train": "nowhere.csv"}}
    if room == "adapt":
        return changes | {"adapt": VALUES["adapt"]}
    value = 30.0 if name == "max_expansion" else value_of(setting)
    if setting == "train.metric":
        value = TASKS[task].target.metric_names(problem_of(task))[0]
    changes.setdefault(room, {})
    changes[room] = changes[room] | BESIDE.get(setting, {}) | {name: value}
    return changes


def problem_of(task):
    target = TASKS[task].target
    return target.problem(TASKS[task].forms[0].target, TASKS[task].options())


@pytest.mark.parametrize("setting", GIVEN)
@pytest.mark.parametrize("task", TASKS)
def test_every_setting_of_every_task_is_used_or_refused(task, setting):
    unused = [one for one in faults(**job_with(task, setting)) if one.startswith(f"{setting} would have no effect")]
    if setting in used(TASKS[task]):
        # What nothing is trained for may still be refused, with that reason.
        assert not [one for one in unused if "does not use it" in one]
    else:
        (sentence,) = unused
        assert sentence.startswith(f"{setting} would have no effect: {task} does not use it (it is for ")


def test_every_setting_belongs_to_a_task():
    assert set(GIVEN) >= EVERY_TASK
    assert set(GIVEN) == set().union(*(used(task) for task in TASKS.values()))


def test_what_is_wrong_is_told_at_once():
    said = faults(
        data={"train": "nowhere.csv", "validation": "v.csv", "validation_fraction": 0.2, "columns": {"txt": "a"}},
        train={"huber_delta": 1, "layers": "head", "lora": {}},
        options={"stride": 3},
    )
    assert said == [
        "train.huber_delta would have no effect: text-classification does not use it (it is for audio-regression, "
        "image-regression, text-regression); remove it",
        "options.stride is not a setting of text-classification; it knows: none",
        "data.columns has a role 'txt'; this task knows text, text_pair, label, labels",
        "data.validation_fraction would have no effect: data.validation is given; remove it",
        "train.lora teaches adapters in the layers: remove train.layers: head and train.unfreeze",
    ]


FEW = {"few_shot": {}}
SEVERAL = {"train": "nowhere.csv", "columns": {"labels": "labels"}}
NONE_HELD = {"train": "nowhere.csv", "validation_fraction": 0}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"data": {"train": "a.csv", "label_separator": ";"}},
            "data.label_separator would have no effect: it divides the role labels, which data.columns does not have; "
            "remove it",
        ),
        (
            {"train": {"augment": {"flip": True}}},
            "train.augment.flip would have no effect: the rows of text-classification cannot take it; it knows "
            "back_translate, delete, swap, synonyms, typos; remove it",
        ),
        (
            {"task": "token-classification", "train": {"augment": {"back_translate": {"there": "a", "back": "b"}}}},
            "train.augment.back_translate would have no effect: the rows of token-classification cannot take it; it "
            "knows delete, swap, synonyms, typos; remove it",
        ),
        (
            {
                "task": "token-classification",
                "train": {"augment": {"swap": 0.1}, "distill": {"teacher": "x@best"}},
            },
            "train.augment moves the words of a sentence, which train.distill has asked about; remove one of the two",
        ),
        (
            {"train": {"minutes": 1, "augment": {"back_translate": {"there": "a", "back": "b"}}}},
            "train.minutes may leave out training rows, which train.augment.back_translate has translated; remove one "
            "of the two",
        ),
        (
            {
                "data": {"train": "t.csv", "unlabelled": "u.csv"},
                "train": {"pseudo_labels": {}, "augment": {"back_translate": {"there": "a", "back": "b"}}},
            },
            "train.augment.back_translate cannot stand beside train.pseudo_labels, which adds rows that nobody has "
            "translated; remove one",
        ),
        (
            {"task": "image-classification", "train": {"augment": {}}},
            "train.augment would have no effect: it names nothing; image-classification knows colour, crop, flip, "
            "rand_augment; remove it",
        ),
        (
            {"train": {"quantization_aware": True}, "export": {"variants": ["fp32"]}},
            "train.quantization_aware would have no effect: export.variants does not make int8; remove it",
        ),
        (
            {"train": {"quantization_aware": "auto"}, "gate": {"max_drop": {}}},
            "train.quantization_aware: auto needs to know what int8 may lose: give gate.max_drop.int8, or set it to "
            "true",
        ),
        (
            {"train": {"quantization_aware": "auto", "minutes": 5}},
            "train.minutes is the time of one training, and train.quantization_aware: auto may add one; remove one",
        ),
        (
            {"train": {"quantization_aware": "auto", "imbalance": "auto"}},
            "train.quantization_aware: auto cannot stand beside train.imbalance, which learns several times; remove "
            "one",
        ),
        (
            {"data": NONE_HELD, "train": {"quantization_aware": "auto"}},
            "train.quantization_aware: auto needs validation rows: give data.validation or a data.validation_fraction "
            "over 0",
        ),
        (
            {"train": {"quantization_aware": True, "lora": {}}},
            "train.lora cannot stand beside train.quantization_aware; remove one",
        ),
        (
            {"train": {"quantization_aware": True, "compile": True}},
            "train.compile: true cannot stand beside train.quantization_aware; remove one",
        ),
        (
            {"train": {"parallel": "fsdp", "ema": 0.9}},
            "train.ema cannot stand beside train.parallel: fsdp; remove one",
        ),
        (
            {"train": {"parallel": "fsdp", "lora": {"quantization": "nf4"}}},
            "train.lora.quantization cannot stand beside train.parallel: fsdp; remove one",
        ),
        (
            {"train": {"parallel": "fsdp", "optimizer": "adamw_8bit"}},
            "train.optimizer: adamw_8bit cannot stand beside train.parallel: fsdp; remove one",
        ),
        (
            {"train": {"r_drop": 1, "mixup": 1}},
            "train.mixup cannot stand beside train.r_drop; remove one",
        ),
        (
            {"train": {"r_drop": 1, "dropout": 0}},
            "train.r_drop would have no effect: without dropout two passes agree; remove it",
        ),
        (
            {"data": NONE_HELD, "train": {"average": 3}},
            "train.average would have no effect: no rows are held out for validation (data.validation_fraction); "
            "remove it",
        ),
        (
            {"data": SEVERAL, "train": {"threshold": {"label": "a", "recall": 1}}},
            "train.threshold is for one label a row: of several labels each has a threshold of its own; remove it",
        ),
        (
            {"data": {**SEVERAL, "out_of_scope": "o.csv"}},
            "data.out_of_scope is for one label a row: a row that has none of several is a test row; remove it",
        ),
        (
            {"data": SEVERAL, "export": {"abstain": 0.05}},
            "export.abstain would have no effect: it is for one label a row, and of several labels each has a "
            "threshold; remove it",
        ),
        (
            {"data": NONE_HELD, "export": {"abstain": 0.05}},
            "export.abstain needs validation rows: give data.validation or a data.validation_fraction over 0",
        ),
        (
            {"task": "masked-language-modelling", "report": {"slices": ["source"]}},
            "report.slices would have no effect: masked-language-modelling tells no answer for a single row; remove it",
        ),
        (
            {"report": {"slices": ["source", "label"]}},
            "report.slices names 'label', what is to be learned: the report is cut by it anyway; remove it",
        ),
        (
            {"report": {"slices": ["source", "source"]}},
            "report.slices names 'source' twice; name it once",
        ),
        (
            {"data": SEVERAL, "train": {"logit_adjustment": 1}},
            "train.logit_adjustment works with one label a row, not with several; remove it",
        ),
        (
            {"data": SEVERAL, "train": {"sampling": "under"}},
            "train.sampling: under is for one label a row; set it to over",
        ),
        (
            {"train": {"imbalance": "auto", "focal_gamma": 2}},
            "train.focal_gamma cannot stand beside train.imbalance: auto, which tries what is best; remove one",
        ),
        (
            {"data": NONE_HELD, "train": {"imbalance": "auto"}},
            "train.imbalance needs validation rows: give data.validation or a data.validation_fraction over 0",
        ),
        (
            {"data": NONE_HELD, "train": {"threshold": {"label": "a", "precision": 0.9}}},
            "train.threshold needs validation rows: give data.validation or a data.validation_fraction over 0",
        ),
        (
            {"data": {"train": "a.csv", "quoting": False, "quote": "'"}},
            "data.quote would have no effect: data.quoting is false; remove it",
        ),
        (
            {"data": {"train": "a.csv", "test_fraction": 0.9}},
            "data.validation_fraction 0.1 and data.test_fraction 0.9 leave no rows to learn from; let their sum be "
            "below 1",
        ),
        (
            {"data": {"train": "a.csv", "test": "b.csv", "test_fraction": 0.2}},
            "data.test_fraction would have no effect: data.test is given; remove it",
        ),
        (
            {"data": {"train": "a.csv", "unknown_labels": "wrong"}},
            "data.unknown_labels would have no effect: it is for data.validation and data.test, and neither is given; "
            "remove it",
        ),
        (
            {"data": SEVERAL, "train": {"label_smoothing": 0.1}},
            "train.label_smoothing works with one label a row, not with several; set it to 0",
        ),
        (
            {"task": "text-regression", "train": FEW},
            "train.few_shot would have no effect: text-regression does not use it (it is for text-classification); "
            "remove it",
        ),
        ({"data": SEVERAL, "train": FEW}, "train.few_shot is for one label a row, not for several; remove it"),
        (
            {"train": FEW | {"pooling": "native"}},
            "train.few_shot takes the mean over the tokens of a text: remove train.pooling: native",
        ),
        (
            {"train": FEW | {"class_weights": "balanced"}},
            "train.class_weights would have no effect: train.few_shot teaches the encoder with pairs and fits the head "
            "by itself; remove it",
        ),
        (
            {"train": FEW | {"loss": "cross_entropy"}},
            "train.loss would have no effect: train.few_shot teaches the encoder with pairs and fits the head by "
            "itself; remove it",
        ),
        (
            {"train": FEW | {"layers": "head", "epochs": 3}},
            "train.epochs would have no effect: with train.few_shot and train.layers: head the encoder is not taught; "
            "remove it",
        ),
        (
            {"train": {"few_shot": {"pairs": 2}, "layers": "head"}},
            "train.few_shot.pairs would have no effect: with train.layers: head the encoder is not taught; remove it",
        ),
        (
            {"train": {"lora": {}, "unfreeze": 1}},
            "train.lora teaches adapters in the layers: remove train.layers: head and train.unfreeze",
        ),
        (
            {"train": {"unfreeze": 1, "layers": 1}},
            "train.unfreeze unfreezes all layers one after the other; remove it, or set train.layers to all",
        ),
        (
            {"train": {"layers": "head", "layer_decay": 0.9}},
            "train.layer_decay would have no effect: with train.layers: head no layer learns; remove it",
        ),
        (
            {"train": {"lora": {}, "freeze": ["embeddings"]}},
            "train.freeze would have no effect: with train.lora nothing but the adapters and the head learns; "
            "remove it",
        ),
        (
            {"train": {"layers": "head", "freeze": ["embeddings"]}},
            "train.freeze would have no effect: with train.layers: head no layer learns; remove it",
        ),
        (
            {"data": NONE_HELD, "train": {"patience": 2}},
            "train.patience would have no effect: no rows are held out for validation (data.validation_fraction); "
            "remove it",
        ),
        (
            {"train": FEW | {"minutes": 5}},
            "train.minutes would have no effect: train.few_shot has no epochs that could be left out; remove it",
        ),
        (
            {"train": {"imbalance": "auto", "minutes": 5}},
            "train.minutes is the time of one training, and train.imbalance: auto has several; remove one of the two",
        ),
        (
            {"adapt": {}, "train": {"minutes": 5}},
            "train.minutes is the time of one training, and adapt has three; remove one of the two",
        ),
        (
            {"search": {"train.epochs": [1, 2]}},
            "search is for `tunewright tune`, which writes a file without it; give that file, or remove search",
        ),
        (
            {"data": NONE_HELD, "adapt": {}},
            "adapt needs validation rows to tell what it bought: give data.validation or a data.validation_fraction "
            "over 0",
        ),
        (
            {"adapt": {"data": {"train": "t.txt", "skip_labels": ["a"]}}},
            "adapt.data.skip_labels would have no effect: the text of adapt has no labels; remove it",
        ),
        ({"gate": {"min": {"bleu": 0.3}}}, "gate.min names 'bleu'; this task measures accuracy, macro_f1, mcc"),
        ({"train": {"metric": "bleu"}}, "train.metric names 'bleu'; this task measures accuracy, macro_f1, mcc"),
        (
            {"task": "text-regression", "gate": {"min": {"rmse": 0.3}}},
            "gate.min names 'rmse', which is an error and has no floor; say gate.max.rmse",
        ),
        (
            {"gate": {"max": {"accuracy": 0.3}}},
            "gate.max names 'accuracy', which is the better the higher; say gate.min.accuracy",
        ),
        (
            {"gate": {"min": {"accuracy": 80}}},
            "gate.min.accuracy is 80, but accuracy is at most 1; 80 % is written 0.8",
        ),
        ({"gate": {"max_drop": {"fp16": 0.1}}}, "gate.max_drop names 'fp16'; it may name int8"),
        ({"gate": {"max_drop": {"fp32": 0.1}}}, "gate.max_drop names 'fp32'; it may name int8"),
        (
            {"export": {"variants": ["fp32"]}, "gate": {"max_drop": {"int8": 0.1}}},
            "gate.max_drop.int8 would have no effect: export.variants does not make that variant; remove it",
        ),
        (
            {"task": "feature-extraction", "train": {"epochs": 2}},
            "train.epochs would have no effect: without a column of scores nothing is trained; remove it",
        ),
        (
            {"task": "translation", "train": {"metric": "bleu"}},
            "train.metric is 'bleu', which is measured once, on the exported files; after each epoch the perplexity "
            "is known: remove it",
        ),
        (
            {"task": "text-generation", "gate": {"min": {"rougeL": 0.1}}},
            "gate.min names 'rougeL', which plain texts do not have: they hold no answers",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, sentence):
    assert faults(**changes) == [sentence]


def test_the_default_for_int8_is_no_mistake_where_int8_is_not_made():
    assert faults(export={"variants": ["fp32"]}, gate={"min": {"accuracy": 0.5}}) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"task": "token-classification", "gate": {"max_flip": {"typos": 0.1}}},
            "gate.max_flip would have no effect: texts are written otherwise where their labels are told; remove it",
        ),
        (
            {"gate": {"max_flip": {"negation": 0.1}}},
            "gate.max_flip names 'negation', after which another answer may be the right one: the report shows it, and "
            "nothing is held against it; remove it",
        ),
        (
            {"gate": {"max_flip": {"case": 0.1}}},
            "gate.max_flip names 'case'; it may name typos, lower_case, upper_case, punctuation, names, numbers",
        ),
    ],
)
def test_bounds_of_answers_that_change_are_for_what_should_change_none(changes, sentence):
    assert sentence in faults(**changes)


def test_wrong_labels_are_looked_for_in_texts_with_one_label_each(monkeypatch):
    kinds = "repeats, overlap, contradictions, spellings"
    sentence = f"would have no effect: image-classification is not looked at for it, but for {kinds}; remove it"
    images = JobSettings(model_name="x", task="image-classification", data={"train": "x", "gate": {"label_noise": 0.1}})
    assert contradictions(images, noise=True) == [f"{name} {sentence}" for name in ("data.gate.label_noise", NOISE)]
    # None in place of a module is how Python says that it is not there.
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    texts = JobSettings(model_name="x", data={"train": "x.csv", "gate": {"label_noise": 0.1}})
    missing = "needs more packages: pip install 'tunewright[doctor]'"
    assert contradictions(texts, noise=True) == [f"{name} {missing}" for name in ("data.gate.label_noise", NOISE)]
    labels = JobSettings(model_name="x", data={"train": "x.csv", "columns": {"text": "text", "labels": "labels"}})
    (said,) = contradictions(labels, noise=True)
    assert said.startswith(
        f"{NOISE} would have no effect: text-classification is not looked at for it, but for repeats"
    )


def test_rows_to_explain_are_refused_where_no_answer_is_explained():
    sentence = "export.explained_rows would have no effect: answers of translation are not explained; remove it"
    assert sentence in faults(task="translation", export={"explained_rows": 8})
    assert sentence not in faults(task="translation", export={"explained_rows": 0})
    assert sentence not in faults(task="translation")


def test_rows_that_no_answer_is_compared_with_are_refused():
    (sentence,) = [one for one in faults(task="token-classification", export={"neighbours": 8}) if "neighbours" in one]
    assert sentence == (
        "export.neighbours would have no effect: nearest rows are for text-classification, text-regression, "
        "image-classification, image-regression; remove it"
    )

"""The settings of the job: three sources, one tree, every mistake at once."""

from pathlib import Path

import pytest

from tunewright.job.errors import SettingsError
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.load import load_settings
from tunewright.registry.variables import leaves
from tunewright.serving.tasks import TASKS

LEAST = ["--model_name", "reviews", "--data.train", "train.csv"]


def load(*arguments):
    return load_settings([*LEAST, *arguments], "tunewright train")


def mistakes(*arguments):
    with pytest.raises(SettingsError) as caught:
        load_settings(arguments, "tunewright train")
    return str(caught.value).splitlines()


@pytest.fixture
def config(write):
    """The path of a settings file with this content."""
    return lambda text: str(write("job.yaml", text.encode()))


def test_a_name_and_data_are_enough():
    settings = load()
    assert (settings.task, settings.train.epochs, settings.alias) == ("text-classification", 3, None)


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file(config, monkeypatch):
    path = config("train: {epochs: 3, batch_size: 8, seed: 5}\n")
    monkeypatch.setenv("JOB_TRAIN__EPOCHS", "4")
    monkeypatch.setenv("JOB_TRAIN__BATCH_SIZE", "16")
    train = load("--config", path, "--train.epochs", "5").train
    assert (train.epochs, train.batch_size, train.seed) == (5, 16, 5)


def test_columns_can_be_given_from_all_three_sides(config, monkeypatch):
    path = config("data: {columns: {text: review}}\n")
    assert load("--config", path).data.columns == {"text": "review"}
    monkeypatch.setenv("JOB_DATA__COLUMNS__LABEL", "stars")
    assert load("--config", path).data.columns == {"text": "review", "label": "stars"}
    assert load("--data.columns", "text=a,label=b").data.columns == {"text": "a", "label": "b"}


def test_options_of_a_task_can_be_given_from_all_three_sides(config, monkeypatch):
    path = config("options: {stride: 3, words: [a, b]}\n")
    assert load("--config", path).options == {"stride": 3, "words": ["a", "b"]}
    monkeypatch.setenv("JOB_OPTIONS__STRIDE", "4")
    assert load("--config", path).options == {"stride": 4, "words": ["a", "b"]}
    assert load("--options", "stride=5").options == {"stride": "5"}
    assert load("--options", '{"stride": 6, "words": ["c"]}').options == {"stride": 6, "words": ["c"]}


def test_positions_stay_numbers(config):
    assert load("--config", config("data: {columns: {text: 1, label: 0}}\n")).data.columns == {"text": 1, "label": 0}


def test_several_files_can_be_named():
    assert load("--data.test", "a.csv", "--data.test", "b.csv").data.test == ["a.csv", "b.csv"]


def test_labels_that_yaml_reads_as_numbers_are_names(config):
    settings = load("--config", config("data: {label_names: {0: bad, 1: good}}\ntrain: {class_weights: {0: 2}}\n"))
    assert settings.data.label_names == {"0": "bad", "1": "good"}
    assert settings.train.class_weights == {"0": 2.0}


def test_a_number_of_layers_is_a_number(monkeypatch):
    monkeypatch.setenv("JOB_TRAIN__LAYERS", "2")
    assert load().train.layers == 2


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("JOB_ALIAS", "")
    monkeypatch.setenv("JOB_TRAIN__EPOCHS", "")
    assert (load().alias, load().train.epochs) == (None, 3)


def test_the_variable_of_an_indexed_job_is_no_setting(monkeypatch):
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "3")
    assert load().model_name == "reviews"


def test_all_mistakes_are_named_at_once(config, monkeypatch):
    monkeypatch.setenv("JOB_TRAIN__EPCHS", "3")
    monkeypatch.setenv("JOB_EXPORT", '{"variant": []}')
    path = config("data: {train: a.csv}\nepochs: 3\ntrain: {epochs: 0, seed: .nan}\n")
    assert sorted(mistakes("--config", path, "--task", "text-clasification")) == [
        "epochs is not a setting; did you mean train.epochs?",
        "export.variant is not a setting; did you mean export.variants?",
        "model_name must be set",
        f"task is 'text-clasification': expected {', '.join(map(repr, TASKS))}",
        "the variable JOB_TRAIN__EPCHS is not known; did you mean JOB_TRAIN__EPOCHS?",
        "train.epochs is 0: input should be greater than or equal to 1",
        "train.seed is nan: input should be a finite number",
    ]


def test_the_source_of_a_wrong_value_is_named(monkeypatch):
    monkeypatch.setenv("JOB_TRAIN__EPOCHS", "3")
    assert mistakes(*LEAST, "--train.epochs", "many") == [
        "train.epochs is 'many': input should be a valid integer, unable to parse string as an integer"
    ]
    monkeypatch.setenv("JOB_TRAIN__EPOCHS", "few")
    assert mistakes(*LEAST) == [
        "JOB_TRAIN__EPOCHS is 'few': input should be a valid integer, unable to parse string as an integer"
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--train.epoch", "3"],
            "unrecognized arguments: --train.epoch 3; did you mean --train.epochs? (tunewright train --help lists all)",
        ),
        (["zzz"], "unrecognized arguments: zzz (tunewright train --help lists all)"),
        (["--alias"], "argument --alias: expected one argument (tunewright train --help lists all)"),
        (
            ["--alias", "Prod!"],
            "alias is 'Prod!': expected 1 to 64 lower-case letters, digits, '.', '_' or '-', "
            "with a letter or digit at both ends",
        ),
        (
            ["--alias", "latest"],
            "alias is 'latest': expected a name other than 'latest', which always means the highest version",
        ),
        (
            ["--train.lora", "yes"],
            "train.lora is 'yes': expected a mapping of rank, alpha, dropout, targets, quantization",
        ),
        (
            ["--data.validation", ""],
            "data.validation is ['']: expected a file, glob, folder or a list of these, none of them empty",
        ),
        (
            ["--data.delimiter", ", "],
            "data.delimiter is ', ': expected one character other than a double quote or a line break",
        ),
        (["--data.validation_fraction", "1"], "data.validation_fraction is '1': input should be less than 1"),
        (["--export.variants", "fp16"], "export.variants is 'fp16': input should be 'fp32' or 'int8'"),
    ],
)
def test_a_wrong_flag_is_answered_with_what_is_legal(arguments, said):
    assert mistakes(*LEAST, *arguments) == [said]


def test_a_list_in_a_variable_is_json(monkeypatch):
    monkeypatch.setenv("JOB_EXPORT__VARIANTS", "fp32,int8")
    assert mistakes(*LEAST) == [
        """JOB_EXPORT__VARIANTS is 'fp32,int8', which is not JSON; expected something like ["a", "b"]"""
    ]


def test_help_tells_every_setting_and_its_meaning(capsys):
    with pytest.raises(SystemExit) as ended:
        load("--help")
    said = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert all(f"--{'.'.join(leaf)} " in said for leaf in leaves(JobSettings))
    assert "Peak learning rate of AdamW." in said
    assert "REGISTRY_URI" in said


DATA = """train validation test unlabelled out_of_scope columns header format delimiter quoting quote encoding
label_separator label_names cleaning.html cleaning.nfc cleaning.control cleaning.whitespace drop_empty
validation_fraction test_fraction limit max_expansion comment sample_by skip_labels unknown_labels gate""".split()


def test_the_names_of_the_settings_are_frozen():
    data = {f"{place}.{name}" for place in ("data", "adapt.data") for name in DATA}
    assert {".".join(leaf) for leaf in leaves(JobSettings)} == data | set(
        """task options base_model model_name alias output keep_bundle wait_minutes run_id search
        searched.study searched.settings searched.trials searched.looks searched.metric searched.value
        track.tensorboard.folder track.mlflow.uri track.mlflow.experiment
        track.wandb.project track.wandb.entity track.wandb.mode track.wandb.folder
        train.preset train.minutes
        train.epochs train.learning_rate train.batch_size train.accumulation train.seed train.layers train.pooling
        train.keep_layers train.parallel
        train.max_length train.weight_decay train.warmup train.schedule train.clip train.dropout
        train.label_smoothing train.class_weights train.focal_gamma train.huber_delta train.precision train.patience
        train.metric train.layer_decay train.unfreeze train.freeze train.loss metrics
        train.compile train.max_tokens train.gradient_checkpointing train.optimizer
        train.quantization_aware
        train.layer_drop train.l1 train.r_drop train.mixup train.ema train.average train.evaluate train.on_non_finite
        train.augment.swap train.augment.delete train.augment.typos train.augment.synonyms train.augment.crop
        train.augment.flip train.augment.colour train.augment.gain train.augment.noise train.augment.shift
        train.augment.spec train.augment.rand_augment train.augment.back_translate.there
        train.augment.back_translate.back train.augment.back_translate.share
        train.pseudo_labels.floor train.pseudo_labels.rounds train.pseudo_labels.share
        train.distill.teacher train.distill.weight train.distill.temperature
        train.sampling train.logit_adjustment train.imbalance
        train.threshold.label train.threshold.recall train.threshold.precision
        train.lora.rank train.lora.alpha train.lora.dropout train.lora.targets train.lora.quantization
        train.checkpoint.minutes train.checkpoint.steps train.checkpoint.keep
        train.few_shot.pairs train.few_shot.temperature train.few_shot.head_c
        adapt.epochs adapt.learning_rate adapt.batch_size adapt.mask adapt.whole_words adapt.max_length
        export.variants export.parity_tolerance export.abstain export.explained_rows export.neighbours
        report.slices
        gate.min gate.max gate.max_mib gate.max_ms_per_text gate.max_flip gate.beat_baseline gate.max_drop""".split()
    )


@pytest.mark.parametrize("output", ["gs://bucket/runs", "file:///tmp/runs", "hf://a/b"])
def test_an_output_that_is_neither_a_folder_nor_a_bucket_is_refused(output):
    with pytest.raises(SettingsError) as caught:
        load_settings(["--model_name", "x", "--data.train", "t.csv", "--output", output], "test")
    assert str(caught.value) == (
        f"output is {output!r}: expected a folder of this machine or s3://bucket/prefix, and "
        f"{output.partition('//')[0]}// is neither"
    )


@pytest.mark.parametrize("output", ["s3://", "s3://key:secret@bucket/runs", "s3://bucket/my runs"])
def test_an_output_that_is_no_place_in_a_bucket_is_refused(output):
    with pytest.raises(SettingsError, match="expected s3://bucket/prefix, without blanks or credentials"):
        load_settings(["--model_name", "x", "--data.train", "t.csv", "--output", output], "test")


def test_an_output_is_a_folder_or_a_place_in_a_bucket():
    assert load("--output", "s3://bucket/runs").output == "s3://bucket/runs"
    assert load("--output", "var/runs").output == Path("var/runs")

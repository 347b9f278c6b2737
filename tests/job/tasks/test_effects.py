"""Every setting of every task changes what comes of a job, or is refused with its reason.

What tasks share is tried once: each learner and each target with the first task that has it.
`test_reading_effects.py` tries the settings of `data`, for every task.
"""

import hashlib
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tunewright.job.errors import JobError
from tunewright.job.recipe import prepare_all
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.train import TrainSettings
from tunewright.job.steps.contradictions import check_settings, used
from tunewright.job.steps.release import release
from tunewright.job.steps.teach import teach
from tunewright.job.tasks import TASKS
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.variables import leaves
from tunewright.serving.text.cleaning import Cleaning

PLAIN = {"epochs": 2, "learning_rate": 5e-3, "batch_size": 8, "precision": "fp32", "pooling": "mean"}
OF_MODELS = {
    "seed": 9,
    "layers": 1,
    "keep_layers": 1,
    "layer_decay": 0.5,
    "unfreeze": 1,
    "freeze": ["embeddings"],
    "lora": {"rank": 2},
    "pooling": "native",
    "max_length": 8,
    "dropout": 0.5,
    "label_smoothing": 0.4,
    "class_weights": "effective",
    "sampling": "over",
    "logit_adjustment": 1.0,
    "threshold": {"label": "with", "recall": 1},
    "augment": {"delete": 0.5},
    "focal_gamma": 3,
    "layer_drop": 0.5,
    "r_drop": 4.0,
    "mixup": 1.0,
    "huber_delta": 0.01,
}
"""A value of each setting that a learner or a target uses in a way of its own, other than those above."""
OF_THE_LOOP = {
    "preset": "best",
    "epochs": 3,
    "quantization_aware": True,
    "learning_rate": 1e-3,
    "batch_size": 5,
    "accumulation": 2,
    "weight_decay": 0.9,
    "warmup": 0.9,
    "schedule": "cosine",
    "clip": 1e-3,
    "l1": 0.5,
    "ema": 0.9,
    "evaluate": 1,
    "precision": "bf16",
    "optimizer": "adamw_8bit",
    "few_shot": {"pairs": 2},
}
"""One of each setting of what is the same for all."""
BESIDE = {
    "few_shot.pairs": ({"few_shot": {}}, {"few_shot": {"pairs": 2}}),
    "few_shot.temperature": ({"few_shot": {}}, {"few_shot": {"temperature": 1.0}}),
    "few_shot.head_c": ({"few_shot": {}}, {"few_shot": {"head_c": 0.01}}),
    "lora.rank": ({"lora": {}}, {"lora": {"rank": 2}}),
    "lora.alpha": ({"lora": {}}, {"lora": {"alpha": 99}}),
    "lora.dropout": ({"lora": {}}, {"lora": {"dropout": 0.5}}),
    "lora.targets": ({"lora": {}}, {"lora": {"targets": ["query"]}}),
    "lora.quantization": ({"lora": {}}, {"lora": {"quantization": "nf4"}}),
    "metric": ({}, {"metric": "mcc"}),
    "augment.swap": ({}, {"augment": {"swap": 0.5}}),
    "augment.delete": ({}, {"augment": {"delete": 0.5}}),
    "augment.typos": ({}, {"augment": {"typos": 0.5}}),
    "augment.synonyms": ({}, {"augment": {"synonyms": 0.5}}),
    # Nothing is learned, so that no epoch is better than the first.
    "patience": ({"epochs": 5, "learning_rate": 1e-9}, {"epochs": 5, "learning_rate": 1e-9, "patience": 1}),
}
"""Settings that mean something beside others: without and with them."""
OF_FILES = {
    "crop": ("image-classification", 0.5),
    "flip": ("image-regression", True),
    "colour": ("image-text-classification", 0.5),
    "rand_augment": ("image-classification", 9),
    "gain": ("audio-classification", 12),
    "noise": ("audio-regression", 0.5),
    "shift": ("audio-classification", 0.5),
    "spec": ("audio-classification", 0.5),
}
"""What `train.augment` changes in files: a task whose rows have them, and a value."""
ADAPT = {
    "data": None,
    "epochs": 5,
    "learning_rate": 1e-3,
    "batch_size": 5,
    "mask": 0.4,
    "whole_words": True,
    "max_length": 8,
}
OPTIONS = {
    ("feature-extraction", "pooling"): "cls",
    ("feature-extraction", "normalize"): False,
    ("feature-extraction", "learn"): False,
    ("masked-language-modelling", "mask"): 0.4,
    ("masked-language-modelling", "whole_words"): True,
    ("masked-language-modelling", "pack"): True,
    ("question-answering", "drop_wrong"): True,
    ("summarization", "generation"): {"num_beams": 2},
    ("summarization", "max_target_length"): 4,
    ("summarization", "source_lang"): "en_XX",
    ("summarization", "source_prefix"): "say: ",
    ("summarization", "target_lang"): "de_DE",
    ("text-generation", "chat_template"): "{% for one in messages %}{{ one['content'] }}{% endfor %}",
    ("text-generation", "generation"): {"max_new_tokens": 8},
    ("token-classification", "scheme"): "plain",
    ("token-classification", "repair"): True,
}
"""A value of each setting that one task has; those of translation are those of summarization."""
SHOWN = {
    "train.on_non_finite": ("job/train/test_loop.py", "test_a_step_that_is_not_finite_is_left_out_when_asked"),
    "train.average": ("job/train/test_course.py", "test_the_mean_of_the_best_is_kept_where_it_is_no_worse"),
    "train.imbalance": (
        "job/steps/remedies/test_imbalance.py",
        "test_the_best_remedy_is_kept_with_all_that_were_tried",
    ),
    "train.threshold.label": ("job/steps/remedies/test_imbalance.py", "test_a_threshold_of_no_label_is_refused"),
    "train.threshold.recall": (
        "job/steps/remedies/test_imbalance.py",
        "test_the_served_file_decides_by_the_moved_threshold",
    ),
    "train.threshold.precision": ("job/train/test_decision.py", "test_a_precision_is_reached_with_the_most_recall"),
    "task": ("job/steps/test_contradictions.py", "test_every_setting_of_every_task_is_used_or_refused"),
    "base_model": ("job/test_recipe.py", "test_a_registered_version_is_the_base_of_the_next"),
    "model_name": ("job/test_recipe.py", "test_a_registered_version_is_the_base_of_the_next"),
    "alias": ("job/test_recipe.py", "test_the_alias_points_at_the_new_version"),
    "export.abstain": ("job/kinds/test_temperature.py", "test_what_the_job_says_of_abstaining_the_server_does"),
    "export.explained_rows": (
        "job/report/test_card.py",
        "test_the_card_and_the_figures_tell_whether_explanations_are_true",
    ),
    "report.slices": ("job/report/test_parts.py", "test_slices_by_columns_of_the_settings_stand_beside_them"),
    "gate.max_flip": ("job/steps/test_gate.py", "test_answers_that_change_too_often_do_not_pass"),
    "export.neighbours": ("job/measure/test_neighbours.py", "test_a_version_carries_as_many_rows_as_asked"),
    "output": ("job/test_recipe.py", "test_nothing_but_the_bundle_and_the_rows_is_left_of_a_run"),
    "keep_bundle": ("job/steps/run/test_after.py", "test_the_rows_alone_stay"),
    **{
        f"track.{name}": ("job/steps/run/test_track.py", "test_each_tracker_is_begun_as_it_is_asked_for")
        for name in (
            *("tensorboard.folder", "mlflow.uri", "mlflow.experiment"),
            *("wandb.project", "wandb.entity", "wandb.mode", "wandb.folder"),
        )
    },
    "wait_minutes": ("registry/stores/test_patience.py", "test_an_outage_ends_the_waiting_after_its_time"),
    "run_id": ("job/test_recipe.py", "test_a_run_that_is_tried_again_publishes_once"),
    "gate.beat_baseline": ("job/test_recipe.py", "test_an_alias_does_not_follow_a_model_that_is_no_better_than_none"),
    "metrics": ("job/test_plugins.py", "test_one_of_each_is_trained_with_named_in_the_lineage_and_served"),
    "train.loss": ("job/test_plugins.py", "test_one_of_each_is_trained_with_named_in_the_lineage_and_served"),
    "train.compile": ("job/train/device/test_layers.py", "test_compiled_layers_learn_the_same"),
    "train.gradient_checkpointing": (
        "job/train/device/test_layers.py",
        "test_what_is_computed_again_gives_the_same_bits_and_keeps_less",
    ),
    **{
        f"train.pseudo_labels.{name}": ("job/steps/teachers/test_pseudo_labels.py", f"test_{test}")
        for name, test in {
            "floor": "what_a_model_is_sure_of_is_added",
            "share": "of_each_label_the_surest_are_added",
            "rounds": "rounds_go_on_until_validation_gets_worse",
        }.items()
    },
    "train.parallel": ("job/train/device/test_shards.py", "test_one_process_holds_all_weights_and_says_so"),
    "train.max_tokens": (
        "job/tasks/test_gradient.py",
        "test_a_batch_that_goes_through_in_parts_gives_the_gradient_of_the_whole",
    ),
    "train.checkpoint.minutes": ("job/checkpoints/test_keeper.py", "test_it_is_due_by_steps_and_by_time"),
    "train.checkpoint.steps": ("job/checkpoints/test_keeper.py", "test_it_is_due_by_steps_and_by_time"),
    "train.checkpoint.keep": ("job/checkpoints/test_keeper.py", "test_as_many_are_kept_as_asked"),
    **{
        f"train.distill.{name}": ("job/steps/teachers/test_distill.py", f"test_{test}")
        for name, test in {
            "teacher": "a_student_learns_what_its_teacher_answers",
            "weight": "labels_count_for_what_the_teacher_leaves",
            "temperature": "a_temperature_shows_more_of_what_is_unlikely",
        }.items()
    },
    **{
        f"train.augment.back_translate.{name}": ("job/tasks/test_back_translation.py", f"test_{test}")
        for name, test in {
            "there": "texts_go_there_and_back_once",
            "back": "texts_go_there_and_back_once",
            "share": "a_share_of_the_rows_is_read_as_it_came_back_and_others_in_every_epoch",
        }.items()
    },
    "train.minutes": ("job/test_budget.py", "test_one_epoch_of_fewer_rows_where_there_is_next_to_none"),
    "search": ("job/commands/test_tune.py", "test_the_file_is_trained_as_its_trial_was"),
    **{
        f"searched.{name}": ("job/report/test_card.py", "test_the_card_tells_how_the_settings_were_found")
        for name in ("study", "settings", "trials", "looks", "metric", "value")
    },
    "options.generated_rows": ("job/tasks/test_text_generation.py", "test_so_many_rows_are_answered_as_asked"),
}
"""What takes a whole job, or a plug-in: the test that shows it."""
RELEASE = {
    "export.variants": {"export": {"variants": ["fp32"]}},
    "export.parity_tolerance": {"export": {"parity_tolerance": 1e-12}},
    "gate.min": {"gate": {"min": {"spearman": 1.0}}},
    "gate.max": {"gate": {"max": {"rmse": 1e-6}}},
    "gate.max_mib": {"gate": {"max_mib": 1e-3}},
    "gate.max_ms_per_text": {"gate": {"max_ms_per_text": 1e-6}},
    "gate.max_drop": {"gate": {"max_drop": {"int8": 0}}},
}
"""One of each setting of what is made of a trained model, whatever the task."""


def first_of(part):
    """The first task that has each of these parts, one of texts where there is one."""
    names = sorted(TASKS.built_in, key=lambda name: not name.startswith("text-"))
    return {id(part(TASKS[name])): name for name in reversed(names)}.values()


TARGETS = first_of(lambda task: type(task.target))
LEARNERS = first_of(lambda task: task.learner)


def digest(*things):
    made = hashlib.sha256()
    for thing in things:
        made.update(thing.tobytes() if hasattr(thing, "tobytes") else repr(thing).encode())
    return made.hexdigest()


def encoded(plan, sides):
    """The first batches."""
    rows = [side.batch(range(min(8, len(side)))) for side in sides]
    return digest(*(batch[name].numpy() for batch in rows for name in sorted(batch)))


def seen(plan, sides):
    """What is known of a job before it learns: its first batches, its description, what decides."""
    said = [plan.prepared.labels, plan.prepared.problem, plan.prepared.task.inputs.described(plan)]
    objective = plan.prepared.task.objective(plan)
    adapted = seen(plan.adaptation.plan, plan.adaptation.sides) if plan.adaptation else ""
    how = plan.settings.train.model_dump() if plan.settings.task == "masked-language-modelling" else ""
    return digest(*said, objective.metric, objective.idle, encoded(plan, sides), adapted, how)


def learned(plan, sides):
    """The weights that were learned, and how."""
    taught = teach(plan, sides)
    weights = [weight.detach().numpy() for _, weight in sorted(taught.model.state_dict().items())]
    return digest(taught.trained.history, plan.prepared.task.objective(plan).metric, *weights)


@pytest.fixture(scope="module")
def job(base_of, rows_of, tmp_path_factory):
    """job(task, rows=None, **changes): the settings of a job of that task."""
    folder = tmp_path_factory.mktemp("jobs")

    def make(task, rows=None, **changes):
        made, named = rows_of(task)
        path = named / f"{task}.jsonl" if rows is None else folder / f"{len(list(folder.iterdir()))}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows or made))
        columns = {name: name for name in (rows or made)[0] if name != "spare"}
        train = {name: value for name, value in PLAIN.items() if f"train.{name}" in used(TASKS[task])}
        common = {"task": task, "base_model": str(base_of(task)), "model_name": "x"}
        data = changes.pop("data", {}) | {"train": str(path), "columns": columns}
        common |= {"data": data, "train": train | changes.pop("train", {})}
        return JobSettings(**(common | changes))

    return make


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """outcome(settings, learned): a digest of what comes of a job, or the sentence of its refusal; known ones at
    once."""
    registry = RegistrySettings(uri=str(tmp_path_factory.mktemp("r")), cache=tmp_path_factory.mktemp("cache"))

    @cache
    def known(text, of):
        settings = JobSettings.model_validate_json(text)
        try:
            return of(*prepare_all(settings, registry, tmp_path_factory.mktemp("work")))
        except JobError as error:
            return f"{type(error).__name__}: {error}"

    # Which settings were given counts, and is not told by their values.
    return lambda settings, of: known(settings.model_dump_json(exclude_unset=True), of)


def is_digest(said):
    return len(said) == 64


def check_change(plain, changed):
    assert is_digest(plain), plain
    # A model without a head, or of another kind, says so.
    assert changed != plain
    assert is_digest(changed) or changed.startswith(("SettingsError: ", "BaseModelError: "))


def check_training(job, outcome, task, name, value):
    changed = outcome(job(task, train={name: value}), learned)
    if f"train.{name}" in used(TASKS[task]):
        check_change(outcome(job(task), learned), changed)
    else:
        assert changed.startswith(f"SettingsError: train.{name} would have no effect: {task} does not use it")


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_MODELS)
@pytest.mark.parametrize("task", sorted({*TARGETS, *LEARNERS}))
def test_a_setting_of_models_changes_what_is_learned_or_is_refused(job, outcome, task, name):
    # A prompt alone has as many tokens as a row of others.
    value = 60 if (task, name) == ("text-generation", "max_length") else OF_MODELS[name]
    check_training(job, outcome, task, name, value)


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_THE_LOOP)
@pytest.mark.parametrize("task", ["image-classification", "text-classification", "text-generation"])
def test_a_setting_of_the_loop_changes_what_is_learned_or_is_refused(job, outcome, task, name):
    check_training(job, outcome, task, name, OF_THE_LOOP[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", BESIDE)
def test_a_setting_beside_others_changes_what_is_learned(job, outcome, name):
    without, beside = (job("text-classification", train=train) for train in BESIDE[name])
    check_change(outcome(without, learned), outcome(beside, learned))


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_FILES)
def test_what_is_changed_in_files_changes_what_is_learned(job, outcome, name):
    task, value = OF_FILES[name]
    check_change(outcome(job(task), learned), outcome(job(task, train={"augment": {name: value}}), learned))


@pytest.mark.parametrize("name", ADAPT)
def test_a_setting_of_adaptation_changes_what_is_read_or_how(job, outcome, name, write):
    text = "".join(f"text number {number}\n" for number in range(30))
    value = ADAPT[name] or {"train": str(write("text.txt", text.encode()))}
    plain, changed = (job("text-classification", adapt=adapt) for adapt in ({}, {name: value}))
    check_change(outcome(plain, seen), outcome(changed, seen))


@pytest.mark.parametrize("task", [name for name, task in TASKS.built_in.items() if "adapt" in used(task)])
def test_adaptation_reads_the_text_of_every_task_that_has_it(job, outcome, task):
    check_change(outcome(job(task), seen), outcome(job(task, adapt={}), seen))


@pytest.mark.parametrize("name", Cleaning.model_fields)
def test_questions_and_contexts_are_cleaned_when_they_are_encoded(job, outcome, rows_of, name):
    rows, _ = rows_of("question-answering")
    rows = [row | {"question": "what is cafe\u0301 &amp;  tea\u0007?"} for row in rows]
    cleaning = {name: not Cleaning.model_fields[name].default}
    plain, changed = (job("question-answering", rows, data={"cleaning": one}) for one in ({}, cleaning))
    # The tokenizer of this base does some of it too: what is left is what the server is told.
    check_change(outcome(plain, seen), outcome(changed, seen))


SPOILT = {
    ("question-answering", "drop_wrong"): {"answers": {"text": ["nowhere"], "answer_start": [0]}},
    ("token-classification", "repair"): {"tokens": ["a", "b"], "tags": ["O", "I-T"]},
}


@pytest.mark.parametrize("place", OPTIONS, ids=".".join)
def test_an_option_changes_what_a_job_is_or_is_refused(job, outcome, rows_of, place):
    task, name = place
    rows, _ = rows_of(task)
    if name == "chat_template":
        roles = ("user", "prompt"), ("assistant", "response")
        rows = [{"messages": [{"role": role, "content": row[key]} for role, key in roles]} for row in rows]
    spoilt = [*rows, rows[0] | SPOILT[place]] if place in SPOILT else rows
    # The pooling of vectors is a part of the model.
    of = learned if name == "pooling" else seen
    plain, changed = (outcome(job(task, spoilt, options=options), of) for options in ({}, {name: OPTIONS[place]}))
    if place in SPOILT:
        assert plain.startswith("DataError: ")
        assert is_digest(changed), changed
    else:
        check_change(plain, changed)


@pytest.mark.parametrize("name", sorted({name for task in TASKS.values() for name in task.options.model_fields}))
@pytest.mark.parametrize("task", TASKS)
def test_an_option_of_another_task_is_refused(task, name):
    if name in TASKS[task].options.model_fields:
        return
    settings = JobSettings(task=task, model_name="x", data={"train": "nowhere.csv"}, options={name: 1})
    with pytest.raises(JobError, match=f"options.{name} is not a setting of {task}; it knows: "):
        check_settings(settings)


@pytest.fixture(scope="module")
def released(job, tmp_path_factory):
    """released(**changes): what a model of numbers is released as, or the sentence of its refusal. It learns once."""
    folder = tmp_path_factory.mktemp("released")
    registry = RegistrySettings(uri=str(folder / "registry"), cache=folder / "cache")
    plan, sides = prepare_all(job("text-regression"), registry, folder / "work")
    model, objective = teach(plan, sides).model, plan.prepared.task.objective(plan)
    # Huge numbers that cancel each other out leave eight bits nothing for what tells words apart.
    weights = {name.split(".")[-2]: weight.data for name, weight in model.named_parameters()}
    weights["word_embeddings"][:, 0] += 300
    weights["position_embeddings"][:, 0] -= 300

    @cache
    def make(changes):
        asked = job("text-regression", **json.loads(changes))
        try:
            made = release(model, replace(plan, settings=asked), objective, folder / "bundle")
        except JobError as error:
            return f"{type(error).__name__}: {error}"
        return sorted(made.model.variants)

    return lambda **changes: make(json.dumps(changes))


@pytest.mark.slow
@pytest.mark.parametrize("name", RELEASE)
def test_a_setting_of_the_release_changes_what_is_released(released, name):
    plain, changed = released(gate={"max_drop": {"int8": 9}}), released(**RELEASE[name])
    assert plain == ["fp32", "int8"]
    assert changed == ["fp32"] if name in ("export.variants", "gate.max_drop") else isinstance(changed, str)


def test_every_setting_is_tried_or_shown_elsewhere():
    tried = {f"train.{name}" for name in (*OF_MODELS, *OF_THE_LOOP, *BESIDE)} | {f"adapt.{name}" for name in ADAPT}
    tried |= {f"train.augment.{name}" for name in OF_FILES}
    tried |= {f"options.{name}" for _, name in OPTIONS} | set(RELEASE) | set(SHOWN)
    there = {".".join(path) for path in leaves(JobSettings)} - {"options"}
    there |= {f"options.{name}" for task in TASKS.values() for name in task.options.model_fields}
    # What reads the rows of a job reads the text of its adaptation.
    there = {"adapt.data" if name.startswith("adapt.data.") else name for name in there}
    there = {name for name in there if not name.startswith("data.")}
    assert there - tried == set()
    assert tried - there == {"train.lora", "train.few_shot", "train.threshold", "train.augment"}
    assert set(TrainSettings.model_fields) - {"checkpoint", "distill", "pseudo_labels"} <= {
        name.removeprefix("train.") for name in tried
    }
    for file, test in SHOWN.values():
        assert f"def {test}(" in (Path(__file__).parents[2] / file).read_text()
    assert {name for task, name in OPTIONS if task == "summarization"} == set(TASKS["translation"].options.model_fields)

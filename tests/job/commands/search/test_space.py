"""What may be searched, held against the settings before anything runs."""

import pytest

from tunewright.job.commands.search.space import all_faults, as_set, is_whole, plain, tree_of, with_values
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.search import Range


def job(search, **changes):
    columns = {"text": "text", "label": "label"}
    common = {"model_name": "x", "data": {"train": "nowhere.csv", "columns": columns}}
    return JobSettings(**(common | changes), search=search)


def test_a_space_of_good_settings():
    space = {
        "train.learning_rate": {"low": 1e-5, "high": 1e-4, "log": True},
        "train.epochs": {"low": 1, "high": 5},
        "train.layers": ["all", "head", 2],
        "train.class_weights": [None, "balanced"],
        "train.lora.rank": [4, 8],
    }
    assert all_faults(job(space)) == []


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({}, "search must be set: what tune may vary, such as {train.epochs: [2, 3, 4]}"),
        (
            {"train.learning_rat": [1e-5, 1e-4]},
            "search names 'train.learning_rat', which is not a setting; did you mean train.learning_rate?",
        ),
        ({"learning_rate": [1e-5, 1e-4]}, "search names 'learning_rate', which is not a setting; did you mean "),
        ({"base_model": ["a", "b"]}, "search names 'base_model'; it may name settings of train, such as "),
        ({"train.lora": [1, 2]}, "search names 'train.lora', a group of settings; name them one by one, such as "),
        (
            {"train.seed": [1, 2]},
            "search names train.seed, which cannot be varied: it deals the rows to train and validation, which are the "
            "same for all trials",
        ),
        (
            {"train.few_shot.pairs": [1, 2]},
            "search names train.few_shot.pairs, but train.few_shot is not set; set it ({} takes its defaults)",
        ),
        ({"train.epochs": [0, 2]}, "search: train.epochs is 0: input should be greater than or equal to 1"),
        (
            {"train.epochs": {"low": 1.5, "high": 3}},
            "search: train.epochs is 1.5: input should be a valid integer, got a number with a fractional part",
        ),
        (
            {"train.epochs": {"low": 1, "high": 9, "step": 1.5}},
            "search: train.epochs takes whole numbers, and step is 1.5",
        ),
        ({"train.warmup": {"low": 0, "high": 1}}, "search: train.warmup is 1: input should be less than 1"),
        (
            {"train.schedule": ["linear", "square"]},
            "search: train.schedule is 'square': input should be 'linear', 'cosine' or 'constant'",
        ),
        (
            {"train.loss": {"low": 1, "high": 2}},
            "search: train.loss takes no numbers; give a list of values instead of a range",
        ),
        (
            {"train.huber_delta": [1, 2]},
            "search: train.huber_delta would have no effect: text-classification does not use it (it is for ",
        ),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(space, said):
    (fault,) = all_faults(job(space))
    assert fault.startswith(said)


def test_what_is_wrong_with_the_job_is_said_beside_it():
    faults = all_faults(job({"train.clip": [0, 1]}, train={"huber_delta": 1}, adapt={}))
    assert faults[0].startswith("train.huber_delta would have no effect: ")
    assert faults[1].startswith("adapt would run anew in each trial; ")


def test_values_find_their_places():
    assert tree_of({"train.epochs": 2, "train.lora.rank": 4, "train.clip": 1.0}) == {
        "train": {"epochs": 2, "lora": {"rank": 4}, "clip": 1.0}
    }
    settings = with_values(job({"train.epochs": [2, 3]}, train={"epochs": 5, "clip": 2.0}), {"train.epochs": 3})
    assert (settings.train.epochs, settings.train.clip, settings.search) == (3, 2.0, {})
    assert plain(settings) == settings


def test_whole_numbers_are_told_from_others():
    settings = job({"train.epochs": [2, 3]})
    assert is_whole(settings, "train.epochs", Range(low=1, high=3))
    assert is_whole(settings, "train.layers", Range(low=1, high=3))
    assert not is_whole(settings, "train.clip", Range(low=1, high=3))


def test_what_is_set_is_in_the_space_or_not():
    space = {
        "train.epochs": [3, 4],
        "train.batch_size": [1, 2],
        "train.clip": Range(low=0.5, high=1),
        "train.learning_rate": Range(low=1e-6, high=1e-5),
    }
    assert as_set(job({}), space) == {"train.epochs": 3, "train.clip": 1.0}


def test_remedies_are_not_tried_in_each_trial():
    (fault,) = all_faults(job({"train.epochs": [1, 2]}, train={"imbalance": "auto"}))
    assert (
        fault == "train.imbalance: auto would try all remedies in each trial; remove it, and search train.class_weights"
    )


def test_a_time_is_not_measured_in_each_trial():
    assert all_faults(job({"train.epochs": [1, 2]}, train={"minutes": 5})) == [
        "train.minutes would be measured anew in each trial; remove it, and put it into the file that tune writes"
    ]

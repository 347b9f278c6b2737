"""A space that can be read, and one that cannot: a sentence each, whatever else is wrong."""

import pytest

from tunewright.job.errors import SettingsError
from tunewright.job.settings.load import load_settings
from tunewright.job.settings.search import Range

LEAST = ["--model_name", "reviews", "--data.train", "train.csv"]


@pytest.fixture
def read(write):
    """read("{...}"): the space of a file that says so, or the mistakes."""

    def load(text, *flags):
        path = str(write("job.yaml", f"search: {text}\n".encode()))
        try:
            return load_settings([*LEAST, "--config", path, *flags], "tunewright tune").search
        except SettingsError as error:
            return str(error).splitlines()

    return load


def test_ranges_and_lists(read):
    space = read("{train.learning_rate: {low: 1e-5, high: 1e-4, log: true}, train.layers: [all, head, 2]}")
    assert space == {
        "train.learning_rate": Range(low=1e-5, high=1e-4, log=True),
        "train.layers": ["all", "head", 2],
    }


def test_a_flag_says_it_as_json(read):
    space = read(
        "{train.epochs: [1, 2]}", "--search.train.epochs", "[2, 3]", "--search.train.clip", '{"low": 1, "high": 2}'
    )
    assert space == {"train.epochs": [2, 3], "train.clip": Range(low=1, high=2)}


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("{low: 3, high: 3}", "the range is empty: low (3) must be below high (3)"),
        ("{low: 1e-3, high: 1e-5}", "the range is empty: low (0.001) must be below high (1e-05)"),
        ("{low: 0, high: 1, log: true}", "a range with log: true begins above 0, and low is 0"),
        ("{low: 1, high: 9, log: true, step: 2}", "step and log: true contradict each other; remove one of them"),
        ("{low: 1, high: 9, step: 0}", "input should be greater than 0"),
        ("[]", "list should have at least 2 items after validation, not 0"),
        ("[2]", "list should have at least 2 items after validation, not 1"),
        ("2", "input should be a valid list"),
    ],
)
def test_what_is_no_choice_is_one_sentence(read, space, said):
    (mistake,) = read(f"{{train.epochs: {space}}}")
    assert mistake.startswith("search.train.epochs is ")
    assert mistake.endswith(f": {said}")

"""Which file is for what, told from names alone."""

import pytest

from tunewright.job.commands.guess.sides import divide, side_of
from tunewright.job.errors import SettingsError


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("train.csv", "train"),
        ("stsb-en-dev.csv", "validation"),
        ("wnut17train.conll", "train"),
        ("SICK_test_annotated.txt", "test"),
        ("test_2016.en.gz", "test"),
        ("val/a.csv", "validation"),
        ("train/test_images.csv", "test"),
        ("latest.csv", None),
        ("contest_values.csv", None),
        ("trainer.csv", None),
    ],
)
def test_the_side_of_a_name(name, side):
    assert side_of(name) == side


def of(*names, **sizes):
    """The sides of a folder `d` with these files of one byte, or of the bytes that `sizes` gives in order."""
    return divide({f"d/{name}": sizes.get(name.partition(".")[0], 1) for name in names}, "d")


def test_files_go_to_the_side_they_are_named_after():
    sides = of("train.csv", "dev.csv", "test.csv", "categories.json", "README.md")
    assert (sides.train, sides.validation, sides.test) == (["d/train.csv"], ["d/dev.csv"], ["d/test.csv"])
    assert sides.notes == ("the sides are told by the names of the files", "not read: categories.json, README.md")


def test_a_file_of_no_side_is_for_training():
    sides = of("reviews.csv", "test.csv")
    assert (sides.train, sides.test) == (["d/reviews.csv"], ["d/test.csv"])
    assert sides.notes == ("no name says train: reviews.csv is taken for it",)


def test_without_a_file_for_training_the_one_for_validation_is_taken_and_test_stays_test():
    sides = of("dev.json", "test.json", dev=1, test=9)
    assert (sides.train, sides.validation, sides.test) == (["d/dev.json"], [], ["d/test.json"])


def test_files_of_no_side_are_read_together_where_they_are_alike():
    sides = of("a.json", "b.json", "names.csv", a=5, b=5, names=1)
    assert sides.train == ["d/a.json", "d/b.json"]


def test_plain_text_beside_tables_is_no_data():
    assert of("train.tsv", "labels.txt").train == ["d/train.tsv"]
    assert of("poems.txt", "plays.txt").train == ["d/poems.txt", "d/plays.txt"]


def test_a_file_of_an_unknown_name_counts_where_its_side_has_no_other():
    sides = of("train.conll", "test.annotated", "notes.bak")
    assert (sides.train, sides.test) == (["d/train.conll"], ["d/test.annotated"])


def test_a_folder_of_images_is_a_side_or_holds_them():
    assert (of("cat/1.png", "dog/2.JPG").media, of("cat/1.png", "dog/2.JPG").train) == ("imagefolder", ["d"])
    sides = of("train/cat/1.wav", "test/cat/2.wav", "README.md")
    assert (sides.media, sides.train, sides.test) == ("audiofolder", ["d/train"], ["d/test"])


def test_a_folder_without_data_says_what_data_is():
    with pytest.raises(SettingsError) as caught:
        of("README.md", "run.sh")
    assert str(caught.value) == (
        "d holds no data file (README.md, run.sh); data files are tables, JSON, Parquet, plain text, CoNLL columns, or "
        "folders of images or recordings"
    )

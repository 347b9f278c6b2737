"""Which files of a data set of the hub an address means."""

import pytest

from tunewright.job.data.sources.hub_files import choose, hub_address
from tunewright.job.errors import DataError, SettingsError

GLUE = [f"{config}/{split}-00000-of-00001.parquet" for config in ("cola", "sst2") for split in ("test", "train")]
IMDB = [f"plain_text/{split}-00000-of-00001.parquet" for split in ("test", "train", "unsupervised")]
CONVERTED = [
    f"{config}/{split}/000{part}.parquet" for config in ("de", "en") for split in ("train",) for part in (0, 1)
]
WHOLE = [f"data/train-{part:05}-of-00003-0a1b2c3d4e5f.parquet" for part in range(3)]


def chosen(names, source="hf://org/set", **more):
    return choose(["README.md", ".gitattributes", *names], hub_address(source), **more)


def refusal(names, source="hf://org/set"):
    with pytest.raises(DataError) as caught:
        chosen(names, source)
    return str(caught.value).removeprefix(f"data source {source!r} ")


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("hf://org/set", ("org/set", "", "", "")),
        ("hf://org/my.set-1@v1.0", ("org/my.set-1", "v1.0", "", "")),
        ("hf://org/set:sst2/train", ("org/set", "", "sst2", "train")),
        ("hf://org/set@refs/convert/parquet:en/test", ("org/set", "refs/convert/parquet", "en", "test")),
        ("hf://org/set@refs/pr/12/train", ("org/set", "refs/pr/12", "", "train")),
        ("hf://org/set@v1/data/train:1.csv", ("org/set", "v1", "", "data/train:1.csv")),
    ],
)
def test_an_address_has_a_name_a_revision_a_configuration_and_a_split(source, parts):
    address = hub_address(source)
    assert (address.name, address.revision, address.config, address.inside) == parts


@pytest.mark.parametrize(
    "source", ["hf://", "hf://imdb", "hf://org/set@", "hf://org/set:", "hf://datasets/org/set", "hf://org/set?x=1"]
)
def test_another_form_is_refused(source):
    with pytest.raises(SettingsError) as caught:
        hub_address(source)
    assert "is not in the form hf://org/name[@revision][:config][/split]" in str(caught.value)


def test_a_password_is_not_shown():
    with pytest.raises(SettingsError) as caught:
        hub_address("hf://user:secret@org/name")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "inside", "found"),
    [
        (["train.csv"], "", ["train.csv"]),
        (["rows.jsonl"], "", ["rows.jsonl"]),
        (["a/0000.parquet", "a/0001.parquet"], "", ["a/0000.parquet", "a/0001.parquet"]),
        (["train.csv", "test.csv"], "/test", ["test.csv"]),
        (["train.csv", "dev.csv"], "/validation", ["dev.csv"]),
        (["train.csv", "dev.csv"], "/dev.csv", ["dev.csv"]),
        (["train.csv", "test_matched.csv", "test_mismatched.csv"], "/test_matched", ["test_matched.csv"]),
        (WHOLE, "", WHOLE),
        (IMDB, "/unsupervised", IMDB[2:]),
        (GLUE, ":sst2/train", GLUE[3:]),
        (GLUE, ":SST2/test", GLUE[2:3]),
        (CONVERTED, ":en", CONVERTED[2:]),
        (["train/one.csv", "train/two.csv", "test/one.csv"], "/train", ["train/one.csv", "train/two.csv"]),
        (["a.csv", "b/a.csv"], ":default", ["a.csv"]),
        (["train.csv.gz", "train.py"], "", ["train.csv.gz"]),
        (["data/part-00000-1f2e.jsonl", "data/part-00001-1f2e.jsonl"], "", None),
    ],
)
def test_names_tell_configuration_and_split(names, inside, found):
    assert chosen(names, f"hf://org/set{inside}") == (names if found is None else found)


def test_every_split_of_one_configuration_can_be_asked_for():
    assert chosen(IMDB, every_split=True) == IMDB
    with pytest.raises(DataError):
        chosen(GLUE, every_split=True)


@pytest.mark.parametrize(
    ("names", "inside", "said"),
    [
        ([], "", "has no file that is read from the hub (*.parquet, *.csv, *.tsv, *.json, *.jsonl, *.ndjson); it holds "
         ".gitattributes, README.md"),
        (["data.zip", "weights.pt"], "", "has no file that is read from the hub (*.parquet, *.csv, *.tsv, *.json, "
         "*.jsonl, *.ndjson); it holds .gitattributes, README.md, data.zip, weights.pt"),
        (["set.py"], "", "has its rows only by a script (set.py), which is never run; its files converted to Parquet "
         "are often at hf://org/set@refs/convert/parquet"),
        (GLUE, "", "has several configurations (cola, sst2); name one, such as hf://org/set:cola"),
        (GLUE, "/train", "has several configurations (cola, sst2); name one, such as hf://org/set:cola/train"),
        (GLUE, ":mnli/train", "has no configuration 'mnli' in the names of its folders; it has cola, sst2"),
        (GLUE, ":cola", "has several splits (test, train); name one, such as hf://org/set:cola/test"),
        (IMDB, "@v2/dev", "has no split 'dev' in the names of its files; it has test, train, unsupervised"),
        (["test_a.csv", "test_b.csv", "train.csv"], "@v2/test", "has several splits (test_a, test_b); name one, such "
         "as hf://org/set@v2/test_a"),
        (["train.csv", "train.parquet"], "", "has train in several forms (train.csv, train.parquet); name the files, "
         "such as hf://org/set/train.csv"),
        (WHOLE[1:], "", "has 2 of the 3 parts of train; take another revision, or name its files one by one"),
        ([f"{topic}.csv" for topic in map(str.lower, map(chr, range(65, 91)))], "", "has several splits (a, b, c, d, "
         "e, f, g, h, i, j, ...); name one, such as hf://org/set/a"),
    ],
)  # fmt: skip
def test_what_can_be_meant_in_several_ways_is_refused_with_the_choices(names, inside, said):
    assert refusal(names, f"hf://org/set{inside}") == said

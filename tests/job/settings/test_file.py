"""The YAML settings file: what it may hold, and where a fault stands."""

import boto3
import pytest

from tunewright.job.errors import SettingsError
from tunewright.job.settings.file import read_config
from tunewright.registry.errors import NotFound


@pytest.fixture
def config(write):
    """The path of a settings file with this content."""
    return lambda data: str(write("job.yaml", data))


def test_a_mapping_is_read(config):
    assert read_config(config(b"model_name: x\ntrain: {epochs: 3}\n")) == {"model_name": "x", "train": {"epochs": 3}}


def test_a_key_without_a_value_counts_as_not_set(config):
    assert read_config(config(b"alias:\ntrain:\n  epochs:\n  seed: 2\ngate:\n")) == {"train": {"seed": 2}}


def test_an_empty_file_sets_nothing(config):
    assert read_config(config(b"# all defaults\n")) == {}


def test_a_file_in_a_bucket_is_read(bucket):
    boto3.client("s3").put_object(Bucket=bucket, Key="jobs/job.yaml", Body=b"model_name: x\n")
    assert read_config(f"s3://{bucket}/jobs/job.yaml") == {"model_name": "x"}


def test_a_file_that_is_not_in_the_bucket_is_named(bucket):
    with pytest.raises(NotFound, match=f"there is no s3://{bucket}/job.yaml"):
        read_config(f"s3://{bucket}/job.yaml")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a: 1\nb: 2\na: 3\n", ", line 3: the key 'a' stands twice"),
        (b"a: &x 1\nb: *x\n", ", line 2: alias *x is not allowed"),
        (b"a: 1\nb: c: d\n", ", line 2: mapping values are not allowed here"),
        (b"? [a, b]\n: 1\n", ", line 1: found unhashable key"),
        (b"a: !!python/object/apply:os.getcwd []\n", ", line 1: could not determine a constructor for the tag"),
        (b"- 1\n", " holds a list; settings are a mapping, such as 'task: ...'"),
        (b"a: \x00\n", " is not YAML text: unacceptable character #x0000: special characters are not allowed"),
        (b"a: \xe9\n", " is not YAML text: 'utf-8' codec can't decode byte 0xe9 in position 3"),
        (b"[" * 5000, " is nested too deeply; settings have two levels"),
    ],
)
def test_a_fault_is_named_with_its_line(config, data, said):
    address = config(data)
    with pytest.raises(SettingsError) as caught:
        read_config(address)
    assert str(caught.value).startswith(address + said)
    assert "\n" not in str(caught.value)


def test_aliases_cannot_make_a_small_file_huge(config):
    bomb = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (97 + i, 97 + i, b", ".join([b"*%c" % (96 + i)] * 9)) for i in range(1, 9)
    )
    with pytest.raises(SettingsError, match=r"line 2: alias \*a is not allowed"):
        read_config(config(bomb))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match=f"--config {tmp_path}/no.yaml: No such file or directory"):
        read_config(f"{tmp_path}/no.yaml")


def test_a_bucket_alone_is_no_file():
    with pytest.raises(SettingsError, match=r"^--config s3://bucket names a bucket; expected s3://bucket/file\.yaml"):
        read_config("s3://bucket")

"""Bad settings and bad data, as a user meets them: an exit code, one clear sentence a fault, nothing registered."""

import gzip
import json
import os
import signal

import boto3
import pytest

from tunewright.job.program import main
from tunewright.serving.tasks import TASKS

GOOD = "text,label\n" + "".join(f"text {row},{'good' if row % 2 else 'bad'}\n" for row in range(60))


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """run("check", "--data.train", ...): the exit code and the lines on stderr. Nothing may be registered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REGISTRY_URI", "registry")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def go(*arguments):
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        go.out = said.out
        assert "Traceback" not in said.err
        return code, said.err.splitlines()

    yield go
    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert not (tmp_path / "registry" / "models").exists()


@pytest.fixture
def refused(run, write):
    """refused(content, ...): the one sentence about a training file, or about the settings beside it."""

    def go(data, *arguments, name="train.csv", code=3, command="check"):
        write(name, data if isinstance(data, bytes) else data.encode())
        ended, said = run(command, "--model_name", "x", "--data.train", name, *arguments)
        assert ended == code
        (line,) = said
        return line.removeprefix("error: ")

    return go


@pytest.fixture
def accepted(run, write, tiny_base):
    """accepted(content): the messages of a check that finds nothing wrong."""

    def go(data, *arguments):
        write("train.csv", data if isinstance(data, bytes) else data.encode())
        columns = ("--model_name", "x", "--data.train", "train.csv", "--base_model", str(tiny_base))
        assert run("check", *columns, *arguments) == (0, [])
        events = [line for line in run.out.splitlines() if line.startswith("{")]
        return [json.loads(event)["message"] for event in events]

    return go


def test_an_unknown_setting(refused, monkeypatch):
    assert refused(GOOD, "--train.epoch", "3", code=2) == (
        "unrecognized arguments: --train.epoch 3; did you mean --train.epochs? (tunewright check --help lists all)"
    )
    monkeypatch.setenv("JOB_TRAIN__EPOCH", "3")
    assert refused(GOOD, code=2) == "the variable JOB_TRAIN__EPOCH is not known; did you mean JOB_TRAIN__EPOCHS?"


def test_a_misspelt_key_of_the_file(refused, write):
    write("job.yaml", b"train: {epoch: 3}\n")
    assert refused(GOOD, "--config", "job.yaml", code=2, command="train") == (
        "train.epoch is not a setting; did you mean train.epochs?"
    )


def test_a_misspelt_task(refused):
    assert refused(GOOD, "--task", "text-clasification", code=2, command="train") == (
        f"task is 'text-clasification': expected {', '.join(map(repr, TASKS))}"
    )


def test_an_option_the_task_does_not_have(refused):
    assert refused(GOOD, "--options", "stride=64", code=2) == (
        "options.stride is not a setting of text-classification; it knows: none"
    )


def test_every_mistake_of_the_settings_is_a_line_of_its_own(run):
    code, said = run("train", "--task", "x", "--train.epochs", "0")
    assert code == 2
    assert [line.split(" ")[1] for line in said] == ["task", "model_name", "data.train", "train.epochs"]


def test_a_missing_bucket(run, s3):
    code, said = run("train", "--model_name", "x", "--data.train", "s3://no-such-bucket/train.csv")
    assert (code, said) == (2, [f"error: there is no bucket 'no-such-bucket' at {s3}; check the name and the endpoint"])


def test_a_missing_key(run, bucket):
    boto3.client("s3").put_object(Bucket=bucket, Key="data/train.csv", Body=GOOD.encode())
    code, said = run("train", "--model_name", "x", "--data.train", f"s3://{bucket}/data/trian.csv")
    assert code == 3
    assert said == [
        f"error: data source 's3://{bucket}/data/trian.csv': no such object, and no data file below that name; "
        f"s3://{bucket}/data holds data/train.csv"
    ]


def test_a_server_that_does_not_answer(run, s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    code, said = run("check", "--model_name", "x", "--data.train", "s3://bucket/train.csv")
    assert code == 1
    assert said == ["error: nothing answers at http://127.0.0.1:1; check AWS_ENDPOINT_URL_S3 and the network"]


def test_no_credentials(run, s3, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    code, said = run("check", "--model_name", "x", "--data.train", "s3://bucket/train.csv")
    assert code == 2
    assert said == [
        f"error: no complete credentials for {s3} were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
        "or use another source of the AWS default chain"
    ]


@pytest.mark.ceph
@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("AWS_ACCESS_KEY_ID", "the access key is not known there; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("AWS_SECRET_ACCESS_KEY", "the secret key is not the one of the access key; check AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_wrong_credentials(run, ceph_http_bucket, monkeypatch, variable, hint):
    boto3.client("s3").put_object(Bucket=ceph_http_bucket, Key="train.csv", Body=GOOD.encode())
    monkeypatch.setenv(variable, "canary-of-a-secret")
    code, (said,) = run("check", "--model_name", "x", "--data.train", f"s3://{ceph_http_bucket}/train.csv")
    assert code == 2
    assert said.endswith(hint) or "access denied (403)" in said
    assert "canary" not in said


def test_an_empty_file(refused):
    assert refused("") == "train.csv: no rows"
    assert refused(b"", name="train.parquet").startswith("train.parquet is not a whole Parquet file: ")


def test_a_file_that_is_not_there(run):
    code, said = run("check", "--model_name", "x", "--data.train", "trian.csv")
    assert (code, said) == (3, ["error: data source 'trian.csv': no such file; . holds nothing"])


def test_a_column_that_is_not_there(refused):
    assert refused(GOOD, "--data.columns", "text=sentence") == (
        "train.csv, line 2: has no column 'sentence'; the columns are 'text', 'label'; set data.columns, or "
        "data.header to false where the first line is data already (59 more rows share this fault)"
    )


def test_a_role_the_task_does_not_have(refused):
    assert refused(GOOD, "--data.columns", "score=label", code=2) == (
        "data.columns has a role 'score'; this task knows text, text_pair, label, labels"
    )


def test_a_ragged_row(refused):
    assert refused(GOOD + "so, so,good\n") == (
        "train.csv, line 62: has 3 values where there are 2 columns (text, label)"
    )


def test_an_unbalanced_quote(refused):
    assert refused(GOOD + '"open,good\nfine,bad\n') == (
        "train.csv, the row that starts in line 62: a double quote is opened and never closed; double it inside "
        "a quoted value, or set data.quoting to false where quotes are plain text"
    )


def test_bytes_that_are_not_utf8(refused):
    assert refused(GOOD.encode() + "café,good\n".encode("latin-1")) == (
        f"train.csv, line 62: byte 0xe9 at offset {len(GOOD) + 3} of the file is not UTF-8; "
        "as windows-1252 it reads 'café,good': if that is right, add `encoding: windows-1252` under data:"
    )


@pytest.mark.parametrize("data", ["\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), GOOD.rstrip("\n")])
def test_a_byte_order_mark_crlf_and_a_missing_last_line_end_are_accepted(accepted, data):
    messages = accepted(data)
    assert "train: 60 rows from train.csv" in messages
    assert "2 labels: bad 24, good 24" in messages


def test_empty_texts(refused, accepted):
    data = GOOD + ",good\n   ,bad\n"
    assert refused(data) == (
        "train.csv, line 62: column 'text' is empty; fill it, remove the row or set data.drop_empty "
        "(1 more row shares this fault)"
    )
    assert "train: 60 rows from train.csv, 2 without text left out" in accepted(data, "--data.drop_empty", "true")


def test_a_label_in_test_that_was_never_seen_in_train(refused, write):
    write("test.csv", b"text,label\nfine,good\nso so,neutral\n")
    assert refused(GOOD, "--data.test", "test.csv") == (
        "test.csv, line 3: value 'neutral': column 'label' holds a label that no row of data.train has; "
        "the training labels are bad, good; correct it, or set data.unknown_labels"
    )


def test_a_single_class(refused):
    assert refused(GOOD.replace("bad", "good")) == ("the training rows hold 1 label ('good'); at least 2 are needed")


def test_one_example_of_a_class(refused):
    assert refused(GOOD + "so so,neutral\n").startswith("label 'neutral' has only one training row; ")


def test_texts_longer_than_the_limit_are_counted_and_cut(accepted):
    long = "".join(f"text {row} {'very ' * 100}long,good\n" for row in range(10))
    messages = accepted(GOOD + long, "--train.max_length", "32", "--data.validation_fraction", "0.01")
    assert any(message.endswith("rows are longer than 32 tokens and are cut") for message in messages)


def test_a_gzip_bomb(refused):
    assert refused(gzip.compress(b"text,label\n" + (b"a" * 2**20 + b",b\n") * 80), name="train.csv.gz") == (
        "train.csv.gz unpacks to more than 2,097,152 bytes; "
        "if that is right, raise data.max_expansion or unpack it first"
    )


def test_a_pickle_is_not_data(refused):
    assert refused(b"\x80\x04K\x01.", name="train.pkl") == (
        "train.pkl is a Python pickle, which is never read; write it as Parquet or CSV"
    )
    assert refused(b"\x80\x04K\x01.", "--data.format", "csv", name="train.pkl").startswith(
        "train.pkl is a Python pickle, which is never read; write it as Parquet or CSV"
    )


def test_a_data_file_that_must_not_be_read(run, write):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    write("train.csv", GOOD.encode()).chmod(0)
    code, said = run("check", "--model_name", "x", "--data.train", "train.csv")
    assert (code, said) == (
        3,
        ["error: data source 'train.csv': train.csv cannot be read: Permission denied"],
    )

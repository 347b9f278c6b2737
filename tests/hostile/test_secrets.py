"""A canary in every place where a secret may stand, through the real commands: it comes out nowhere.

Also the settings that once ended in a traceback or in advice that led astray.
"""

import json
import os
from pathlib import Path

import forked
import pytest

ROOT = Path(__file__).parents[2]
CANARY = "CANARY"
SIGNED = f"https://u:{CANARY}@h.invalid/a.csv?X-Amz-Signature={CANARY}#{CANARY}"
CHECK = ["check"]
LIST = ["list"]
SERVE = ["serve"]


@pytest.fixture
def run(tmp_path):
    """run(["check"], NAME="value") is (exit code, everything that was said)."""
    (tmp_path / "train.csv").write_text("text,label\n" + "good,yes\nbad,no\n" * 20)

    def call(command, **variables):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT / "src"),
            "REGISTRY_URI": str(tmp_path / "registry"),
            "JOB_TASK": "text-classification",
            "JOB_MODEL_NAME": "x",
            "JOB_BASE_MODEL": "nowhere",
            "JOB_DATA__TRAIN": str(tmp_path / "train.csv"),
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        environment |= variables
        if command[0] not in ("check", "train"):
            environment = {name: value for name, value in environment.items() if not name.startswith("JOB_")}
        code, said = forked.run(command, environment, tmp_path)
        assert "Traceback" not in said, said
        assert "No module" not in said, said
        return code, said

    return call


@pytest.mark.parametrize(
    ("command", "variables"),
    [
        (CHECK, {"JOB_DATA__TRAIN": SIGNED}),
        (CHECK, {"JOB_DATA__TRAIN": f"s3://u:{CANARY}@bucket/a.csv"}),
        (CHECK, {"JOB_DATA__TRAIN": f"s3://u:CANARY/{CANARY}@bucket/a.csv"}),
        (CHECK, {"JOB_BASE_MODEL": SIGNED}),
        (CHECK, {"JOB_BASE_MODEL": f"s3://u:{CANARY}@bucket/a"}),
        (["train"], {"REGISTRY_URI": f"file://u:{CANARY}@h/x?{CANARY}"}),
        (["train"], {"REGISTRY_URI": SIGNED}),
        ([*CHECK, "--config", SIGNED], {}),
        ([*CHECK, "--config", f"s3://u:{CANARY}@bucket"], {}),
        (LIST, {"REGISTRY_URI": f"file://u:{CANARY}@h/x?{CANARY}"}),
        (LIST, {"REGISTRY_URI": SIGNED}),
        (LIST, {"REGISTRY_URI": f"s3://u:{CANARY}@bucket"}),
        (["show", SIGNED], {}),
        (LIST, {"REGISTRY_URI": "s3://bucket", "AWS_ENDPOINT_URL_S3": f"http://u:{CANARY}@127.0.0.1:1"}),
        (LIST, {"REGISTRY_URI": "s3://bucket", "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:1?X-Amz-Signature={CANARY}"}),
        (LIST, {"REGISTRY_URI": "s3://bucket", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", "HTTP_PROXY": SIGNED}),
        (SERVE, {"SERVING_MODEL": SIGNED}),
        (SERVE, {"SERVING_MODEL": "x", "REGISTRY_URI": f"file://u:{CANARY}@h/x?{CANARY}"}),
    ],
)
def test_no_secret_of_an_address_is_said(run, command, variables):
    code, said = run(command, **variables)
    assert code != 0
    assert CANARY not in said


def test_no_password_of_an_endpoint_in_the_aws_configuration_is_said(run, tmp_path):
    (tmp_path / "config").write_text(f"[default]\nendpoint_url = http://u:{CANARY}@ho st:9\n")
    code, said = run(LIST, REGISTRY_URI="s3://bucket", AWS_CONFIG_FILE=str(tmp_path / "config"))
    assert code != 0
    assert CANARY not in said


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:99999"},
            "is not the address of an S3 server; expected http(s)://host:port",
        ),
        ({"AWS_ENDPOINT_URL_S3": "http://[::1"}, "is not the address of an S3 server"),
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1/bucket"}, "nothing answers at http://127.0.0.1:1/bucket"),
        (
            {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:2"},
            "the proxy on the way to http://127.0.0.1:1 does not answer; check HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
        ),
        ({"AWS_ACCESS_KEY_ID": "key\n"}, "AWS_ACCESS_KEY_ID holds a blank, a line break"),
        ({"AWS_SECRET_ACCESS_KEY": "sec\nret"}, "AWS_SECRET_ACCESS_KEY holds a blank, a line break"),
        ({"AWS_SESSION_TOKEN": "token "}, "AWS_SESSION_TOKEN holds a blank, a line break"),
    ],
)
def test_what_is_wrong_on_the_way_to_a_bucket_is_named(run, variables, sentence):
    code, said = run(LIST, REGISTRY_URI="s3://bucket", **variables)
    assert code in (1, 2)
    assert sentence in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("train: {epochs: " + "9" * 5000 + "}", "holds a number or a date that cannot be read"),
        ("train: {epochs: 2026-99-99}", "holds a number or a date that cannot be read"),
        ("train: " + "[" * 3000, "is nested too deeply"),
        ('model_name: "\\ud83d"', "line 1: a text holds half of a character"),
        ("#" * 2_000_000, "holds more than 1,048,576 bytes"),
    ],
)
def test_a_settings_file_that_cannot_be_read_is_a_sentence(run, tmp_path, text, sentence):
    (tmp_path / "job.yaml").write_text(text)
    code, said = run([*CHECK, "--config", "job.yaml"])
    assert code == 2
    assert sentence in said
    assert len(said) < 1000


def test_settings_written_by_json_keep_their_characters(run, tmp_path):
    (tmp_path / "job.yaml").write_text(json.dumps({"model_name": "\U0001f600"}))
    code, said = run([*CHECK, "--config", "job.yaml"], JOB_MODEL_NAME="")
    assert code == 2
    assert "\U0001f600" in said


def test_a_variable_of_brackets_is_a_sentence(run):
    code, said = run(CHECK, JOB_TRAIN="[" * 3000)
    assert code == 2
    assert "JOB_TRAIN is '[[[" in said
    assert "which is not JSON" in said
    assert len(said) < 1000

"""The settings of the server."""

import pytest

from tunewright.serving.errors import SettingsError
from tunewright.serving.settings import ServingSettings, read_settings, reference


@pytest.fixture
def mistakes(monkeypatch):
    """What is said of these variables."""

    def read(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SettingsError) as caught:
            read_settings()
        return str(caught.value)

    return read


def test_one_variable_is_enough(monkeypatch):
    monkeypatch.setenv("SERVING_MODEL", "reviews@production")
    settings = read_settings()
    assert (settings.model, settings.port, settings.limits.inputs) == ("reviews@production", 8080, 256)


def test_nested_settings_are_read(monkeypatch):
    monkeypatch.setenv("SERVING_MODEL", "reviews")
    monkeypatch.setenv("SERVING_LIMITS__INPUTS", "7")
    monkeypatch.setenv("SERVING_DRAIN_SECONDS", "0.5")
    assert (read_settings().limits.inputs, read_settings().drain_seconds) == (7, 0.5)


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("SERVING_MODEL", "reviews")
    monkeypatch.setenv("SERVING_VARIANT", "")
    assert read_settings().variant is None


def test_a_missing_model_is_named_as_its_variable(mistakes):
    assert mistakes() == "SERVING_MODEL must be set"


def test_all_mistakes_are_named_at_once(mistakes):
    said = mistakes(SERVING_MODLE="a", SERVING_PORT="abc", SERVING_LIMITS__INPUTS="0", SERVING_LIMITS__FOO="1")
    assert said == (
        "the variable SERVING_LIMITS__FOO is not known; did you mean SERVING_LIMITS__CONNECTIONS?; "
        "the variable SERVING_MODLE is not known; did you mean SERVING_MODEL?; "
        "SERVING_MODEL must be set; "
        "SERVING_PORT is 'abc': input should be a valid integer, unable to parse string as an integer; "
        "SERVING_LIMITS__INPUTS is '0': input should be greater than or equal to 1"
    )


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SERVING_PORT", "70000", "SERVING_PORT is '70000': input should be less than or equal to 65535"),
        ("SERVING_DRAIN_SECONDS", "nan", "SERVING_DRAIN_SECONDS is 'nan': input should be a finite number"),
        ("SERVING_DRAIN_SECONDS", "-1", "SERVING_DRAIN_SECONDS is '-1': input should be greater than or equal to 0"),
        ("SERVING_LIMITS__DEADLINE_SECONDS", "inf", "SERVING_LIMITS__DEADLINE_SECONDS is 'inf': input should be "),
        ("SERVING_LIMITS", "{", "SERVING_LIMITS is '{', which is not JSON; expected something like {"),
        ("SERVING_LIMITS", '{"inptus": 1}', "limits.inptus is not a setting; did you mean limits.inputs?"),
        ("SERVING_LIMITS", "[1]", "limits is [1]: expected a mapping of body_bytes, "),
    ],
)
def test_an_impossible_value_is_shown_with_what_is_legal(mistakes, variable, value, said):
    assert mistakes(SERVING_MODEL="reviews", **{variable: value}).startswith(said)


def test_variables_that_kubernetes_makes_of_a_service_are_no_mistake(monkeypatch):
    monkeypatch.setenv("SERVING_MODEL", "reviews")
    monkeypatch.setenv("SERVING_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("SERVING_PORT_80_TCP_ADDR", "10.0.0.1")
    assert read_settings().port == 8080


def test_the_one_that_hides_the_port_is_explained(mistakes):
    assert mistakes(SERVING_MODEL="reviews", SERVING_PORT="tcp://10.0.0.1:80") == (
        "SERVING_PORT is 'tcp://10.0.0.1:80': kubernetes sets this for a Service called 'serving'; "
        "set enableServiceLinks: false in the pod, or rename the Service"
    )


def test_the_names_of_the_settings_are_frozen():
    assert [setting.variable.removeprefix("SERVING_") for setting in reference()] == [
        *("MODEL", "WAIT", "POLL_SECONDS", "MEMORY_BYTES", "CANARY", "SHADOW", "SHADOW_TEXTS"),
        *("STEP_BACK__REQUESTS", "STEP_BACK__ERRORS", "STEP_BACK__LATENCY", "STEP_BACK__DISAGREEMENT"),
        *("FEEDBACK__URI", "FEEDBACK__SHARE", "FEEDBACK__SECONDS", "FEEDBACK__REDACT"),
        *("VARIANT", "HOST", "PORT", "METRICS_PORT", "THREADS", "PROVIDER", "TOKENS_PER_RUN", "DRAIN_SECONDS"),
        *("REPORT", "ACCESS_LOG", "KEYS", "KEYS_FILE", "TLS_CERTIFICATE", "TLS_KEY", "ORIGINS", "COMPRESS"),
        *("LIMITS__BODY_BYTES", "LIMITS__BODY_SECONDS", "LIMITS__BODIES_BYTES", "LIMITS__CONNECTIONS"),
        *("LIMITS__INPUTS", "LIMITS__EXPLAIN_ROWS", "LIMITS__CHARACTERS", "LIMITS__MEDIA_BYTES"),
        *("LIMITS__REQUESTS", "LIMITS__QUEUE_SECONDS", "LIMITS__DEADLINE_SECONDS"),
    ]


def test_references_are_separated_by_blanks_and_may_have_a_percentage():
    settings = ServingSettings(model="reviews@production  spam", canary="reviews:8=2.5", shadow="spam:2 reviews:9=20")
    assert settings.references == ["reviews@production", "spam"]
    assert settings.canaries == [("reviews:8", 2.5)]
    assert settings.shadows == [("spam:2", 100.0), ("reviews:9", 20.0)]


def test_a_folder_that_is_there_is_taken_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("Ü d", "a  b c", "x"):
        (tmp_path / name).mkdir()
    settings = ServingSettings(model=f"spam ./Ü d  mine={tmp_path}/a  b c ./x ./not there", canary="./Ü d=10 spam:2=20")
    assert settings.references == ["spam", "./Ü d", f"mine={tmp_path}/a  b c", "./x", "./not", "there"]
    assert settings.canaries == [("./Ü d", 10.0), ("spam:2", 20.0)]
    assert ServingSettings(model=" ".join(["./" + "long" * 100] * 20)).references == ["./" + "long" * 100] * 20


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("SERVING_CANARY", value) for value in ("reviews:8", "reviews:8=", "reviews:8=ten", "reviews:8=101%")),
        *(("SERVING_SHADOW", value) for value in ("reviews:8=-1", "reviews:8=1000", "reviews:8=nan")),
    ],
)
def test_what_is_no_percentage_is_told(mistakes, variable, value):
    assert mistakes(SERVING_MODEL="reviews", **{variable: value}) == (
        f"{variable} is {value!r}: {value!r} is no reference with a percentage from 0 to 100, such as reviews:8=10"
    )


def test_every_setting_has_a_meaning():
    assert all(len(setting.meaning) > 20 for setting in reference())


def test_one_body_may_not_be_larger_than_all_together(mistakes):
    assert mistakes(SERVING_MODEL="reviews", SERVING_LIMITS__BODY_BYTES="300000000").endswith(
        "body_bytes is 300000000, over the 268435456 that all bodies share: raise bodies_bytes too"
    )


def test_the_metrics_have_another_port_or_none(mistakes):
    assert mistakes(SERVING_MODEL="reviews", SERVING_METRICS_PORT="8080").endswith(
        "metrics_port is 8080, which is port; choose another one, or leave it out"
    )
    assert mistakes(SERVING_MODEL="reviews", SERVING_METRICS_PORT="tcp://10.0.0.1:80").startswith(
        "SERVING_METRICS_PORT is 'tcp://10.0.0.1:80': kubernetes sets this for a Service called 'serving-metrics'; "
    )


def test_a_key_of_tls_needs_its_certificate_and_no_secret_is_told(mistakes):
    said = mistakes(SERVING_MODEL="reviews", SERVING_TLS_KEY="tls.key", SERVING_KEYS="app: s3cret-of-the-app-0123")
    assert said == "tls_key is set without tls_certificate; set both, or leave both out"


@pytest.mark.parametrize("origin", ["app.example.com", "https://app.example.com/page", "https://a.test,b.test"])
def test_what_is_no_origin_is_shown(mistakes, origin):
    wrong = origin.split(",")[-1]
    assert mistakes(SERVING_MODEL="reviews", SERVING_ORIGINS=origin) == (
        f"SERVING_ORIGINS is {origin!r}: {wrong!r} is no origin; write one like https://app.example.com, or *"
    )

"""Figures of several versions in one process."""

import re

import pytest

from tunewright.serving.watch.meters import Meters, Served, reason

OLD, NEW = (Served("reviews", number, "text-classification", "fp32") for number in ("3", "4"))


def serving(*versions):
    meters = Meters()
    for served in versions:
        meters.serves(served, digest=f"sha256:{served.version}")
    meters.process(in_flight=lambda: 2, bodies_bytes=lambda: 64, ready=lambda: False)
    return meters


def labels(served, **more):
    named = {**more, **served._asdict()}
    return "{" + ",".join(f'{name}="{value}"' for name, value in sorted(named.items())) + "}"


def test_each_version_has_its_own_count_on_one_page():
    meters = serving(OLD, NEW)
    meters.answered(OLD, 200, 0.1, protocol="huggingface")
    meters.answered(NEW, 200, 0.1, protocol="huggingface")
    meters.answered(NEW, 422, 0.1, protocol="openai")
    meters.computed(NEW, texts=5, truncated=1)
    page = meters.page().decode()
    assert f"tunewright_requests_total{labels(OLD, code=200, protocol='huggingface')} 1.0" in page
    assert f"tunewright_requests_total{labels(NEW, code=422, protocol='openai')} 1.0" in page
    assert f"tunewright_texts_total{labels(OLD)} 0.0" in page
    assert f"tunewright_texts_total{labels(NEW)} 5.0" in page
    assert f"tunewright_truncated_texts_total{labels(NEW)} 1.0" in page
    assert f"tunewright_model_info{labels(OLD, digest='sha256:3')} 1.0" in page
    assert "tunewright_requests_in_flight 2.0" in page
    assert "tunewright_bodies_bytes 64.0" in page
    assert "tunewright_ready 0.0" in page


def test_figures_are_there_before_the_first_request():
    page = serving(OLD).page().decode()
    for name in ("texts_total", "tokenize_seconds_count", "inference_seconds_count", "request_duration_seconds_count"):
        assert f"tunewright_{name}{labels(OLD)} 0.0" in page


def test_a_request_that_fails_took_its_time_too():
    meters = serving(OLD)
    try:
        with meters.tokenizing(OLD), meters.inferring(OLD):
            raise ValueError
    except ValueError:
        page = meters.page().decode()
    assert f"tunewright_tokenize_seconds_count{labels(OLD)} 1.0" in page
    assert f"tunewright_inference_seconds_count{labels(OLD)} 1.0" in page


def test_runs_say_how_full_they_were_and_how_much_of_them_was_padding():
    meters = serving(OLD)
    meters.queued(OLD, 0.03)
    meters.ran(OLD, rows=4, tokens=30, padded=40)
    meters.ran(OLD, rows=1, tokens=10, padded=10)
    page = meters.page().decode()
    assert f"tunewright_tokens_total{labels(OLD)} 40.0" in page
    assert f"tunewright_padded_tokens_total{labels(OLD)} 50.0" in page
    assert f"tunewright_run_rows_bucket{labels(OLD, le='1.0')} 1.0" in page
    assert f"tunewright_run_rows_bucket{labels(OLD, le='4.0')} 2.0" in page
    assert f"tunewright_queue_seconds_sum{labels(OLD)} 0.03" in page


def test_what_a_model_writes_is_counted_from_its_first_token():
    meters = serving(OLD)
    meters.first_token(OLD, 0.2)
    meters.wrote(OLD, 12)
    page = meters.page().decode()
    assert f"tunewright_first_token_seconds_sum{labels(OLD)} 0.2" in page
    assert f"tunewright_written_tokens_total{labels(OLD)} 12.0" in page


def test_swaps_refusals_and_the_answers_of_a_shadow_are_counted():
    meters = serving(OLD, NEW)
    meters.swapped("reviews", "golden_cases")
    meters.refused("requests")
    meters.shadowed(NEW, agrees=False)
    page = meters.page().decode()
    assert 'tunewright_swaps_total{model="reviews",outcome="golden_cases"} 1.0' in page
    assert 'tunewright_refusals_total{reason="requests"} 1.0' in page
    assert f"tunewright_shadow_answers_total{labels(NEW, agrees='false')} 1.0" in page


def test_a_version_that_is_gone_leaves_the_page():
    meters = serving(OLD, NEW)
    for served in (OLD, NEW):
        meters.answered(served, 200, 0.1)
        meters.shadowed(served, agrees=True)
    meters.retires(OLD)
    page = meters.page().decode()
    assert 'version="3"' not in page
    assert f"tunewright_requests_total{labels(NEW, code=200, protocol='')} 1.0" in page


def test_no_series_says_when_it_was_made():
    meters = serving(OLD)
    meters.answered(OLD, 200, 0.1)
    assert not re.search("_created", meters.page().decode())


@pytest.mark.parametrize(
    ("sentence", "kind", "expected"),
    [
        ("64 requests are in flight (SERVING_LIMITS__REQUESTS)", "Overloaded", "requests"),
        ("inputs is 'SERVING_LIMITS__X'", "InputError", "input_error"),
        ("a text 'SERVING_LIMITS__INPUTS' is too long (SERVING_LIMITS__CHARACTERS)", "TooLarge", "characters"),
        ("no model is loaded yet", "NotReady", "not_ready"),
    ],
)
def test_a_refusal_has_the_limit_that_it_names_as_its_reason(sentence, kind, expected):
    assert reason(sentence, kind) == expected

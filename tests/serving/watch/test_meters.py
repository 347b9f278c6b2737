"""Figures of several versions in one process."""

from tunewright.serving.watch.meters import Meters, Served

OLD, NEW = (Served("reviews", number, "text-classification", "fp32") for number in ("3", "4"))


def serving(*versions):
    meters = Meters()
    for served in versions:
        meters.serves(served, digest=f"sha256:{served.version}")
    meters.process(in_flight=lambda: 2, bodies_bytes=lambda: 64)
    return meters


def labels(served, **more):
    named = {**more, **served._asdict()}
    return "{" + ",".join(f'{name}="{value}"' for name, value in sorted(named.items())) + "}"


def test_each_version_has_its_own_count_on_one_page():
    meters = serving(OLD, NEW)
    meters.answered(OLD, 200, 0.1)
    meters.answered(NEW, 200, 0.1)
    meters.answered(NEW, 422, 0.1)
    meters.computed(NEW, texts=5, truncated=1)
    page = meters.page().decode()
    assert f"tunewright_requests_total{labels(OLD, code=200)} 1.0" in page
    assert f"tunewright_requests_total{labels(NEW, code=422)} 1.0" in page
    assert f"tunewright_texts_total{labels(OLD)} 0.0" in page
    assert f"tunewright_texts_total{labels(NEW)} 5.0" in page
    assert f"tunewright_truncated_texts_total{labels(NEW)} 1.0" in page
    assert f"tunewright_model_info{labels(OLD, digest='sha256:3')} 1.0" in page
    assert "tunewright_requests_in_flight 2.0" in page
    assert "tunewright_bodies_bytes 64.0" in page


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

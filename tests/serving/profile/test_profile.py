"""What is kept of rows and answers, and how far two profiles are apart."""

import random

import pytest

from tunewright.serving.profile.distance import drifts
from tunewright.serving.profile.observation import NO_LABEL, Observation, observe, read_unknown_id
from tunewright.serving.profile.profile import PROFILE_FILE, Profile, Tally, profile_of, read_profile
from tunewright.serving.profile.rows import observations


def rows_of(seed, rows, *, long=0.2, wrong=0.1):
    draw = random.Random(seed)
    for _ in range(rows):
        yield Observation(
            tokens=40 if draw.random() < long else 10,
            unknown=0.0,
            confidence=draw.betavariate(5, 2),
            labels=("bad" if draw.random() < wrong else "good",),
        )


def tallied(observations):
    tally = Tally()
    for one in observations:
        tally.add(one)
    return tally.profile()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rows", [20, 200, 5000])
def test_rows_of_the_same_kind_are_the_same_however_few(seed, rows):
    reference = profile_of(rows_of(1, 500))
    assert {one.verdict for one in drifts(reference, tallied(rows_of(100 + seed, rows)))} == {"same"}


def test_what_has_moved_is_named():
    reference = profile_of(rows_of(1, 500))
    found = {one.feature: one for one in drifts(reference, tallied(rows_of(2, 500, long=0.7)))}
    assert (found["tokens"].verdict, found["labels"].verdict, found["confidence"].verdict) == ("large", "same", "same")
    assert found["tokens"].moved.startswith("16: 79.7% -> 3")


def test_the_index_is_that_of_its_formula():
    before, now = (Profile(rows=100, counts={"labels": counts}) for counts in ({"a": 80, "b": 20}, {"a": 50, "b": 50}))
    [one] = drifts(before, now)
    # (0.8 - 0.5) ln(0.8 / 0.5) + (0.2 - 0.5) ln(0.2 / 0.5), but for the smoothing
    assert one.psi == pytest.approx(0.4159, rel=0.03)


def test_a_regression_is_seen_in_deciles_of_its_own_answers():
    reference = profile_of(Observation(number=float(value)) for value in range(100))
    assert set(reference.counts["number"].values()) == {10}
    tally = Tally(reference.edges)
    for value in range(100):
        tally.add(Observation(number=value + 50.0))
    assert drifts(reference, tally.profile())[0].verdict == "large"


@pytest.mark.parametrize(
    ("answer", "labels", "confidence"),
    [
        ([{"label": "good", "score": 0.9}, {"label": "bad", "score": 0.1}], ("good",), 0.9),
        ([{"label": "good", "score": 7.5}], ("good",), None),
        ([{"label": "a", "score": 0.4, "predicted": False}], (NO_LABEL,), 0.4),
        (
            [{"label": "a", "score": 0.8, "predicted": True}, {"label": "b", "score": 0.7, "predicted": True}],
            ("a", "b"),
            0.8,
        ),
        ([{"entity_group": "PER", "score": 0.5, "word": "Ada", "start": 0, "end": 3}], ("PER",), 0.5),
        ([], (NO_LABEL,), None),
        ({"score": 0.25, "answer": "42", "start": 1, "end": 3}, (), 0.25),
        ([0.1, 0.2], (), None),
        ([{"generated_text": "..."}], (), None),
    ],
)
def test_what_is_kept_of_an_answer(answer, labels, confidence):
    seen = observe(object(), answer, unknown_id=None, regression=False)
    assert (seen.labels, seen.confidence, seen.tokens) == (labels, confidence, None)


def test_a_predictor_is_observed_with_its_tokens(reviews, open_bundle):
    predictor = open_bundle(reviews)
    unknown = read_unknown_id(reviews)
    [seen, other] = observations(predictor, ["great", "☃ ☃ ☃"], unknown_id=unknown)
    assert (seen.tokens, seen.unknown, len(seen.labels)) == (3, 0.0, 1)
    assert 0 < seen.confidence <= 1
    assert other.unknown == pytest.approx(3 / 5)


def test_what_is_written_is_read_again(tmp_path):
    profile = profile_of(rows_of(3, 50))
    (tmp_path / PROFILE_FILE).write_text(profile.model_dump_json())
    assert read_profile(tmp_path) == profile
    assert read_profile(tmp_path / "nothing") is None


def test_labels_without_end_are_counted_together():
    counts = tallied(Observation(labels=(f"label {number}",)) for number in range(1500)).counts["labels"]
    assert (len(counts), counts["(other)"]) == (1001, 500)

"""Each gate, passed and missed, with the figures it tells; and what a version does not tell is missed."""

import pytest

from tunewright.registry.gates.judge import judge
from tunewright.registry.gates.policy import NotWorse, Policy, read_policy, set_policy
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.versions.alias import move


@pytest.fixture
def judged(store):
    """judged(version, policy) gives the verdict of `reviews@production`."""

    def verdict(version, policy):
        set_policy(store, "reviews", "production", policy)
        entry = read_policy(store, "reviews", "production")
        return judge(store, entry, version, cache=RegistrySettings().cache)

    return verdict


@pytest.fixture
def gate(judged):
    """gate(version, policy) gives whether its one gate is passed, and what that says."""

    def one(version, policy):
        (found,) = judged(version, policy).gates
        return found.passed, found.says

    return one


@pytest.mark.parametrize(
    ("policy", "passed", "says"),
    [
        (Policy(min={"accuracy": 0.9}), True, "0.9000, at least 0.9"),
        (Policy(min={"accuracy": 0.95}), False, "0.9000, at least 0.95"),
        (Policy(min={"f1": 0.5}), False, "reviews:1 tells no f1 in report/metrics.json; its metrics are accuracy, mcc"),
        (Policy(max={"mcc": 0.9}), True, "0.8000, at most 0.9"),
        (Policy(max={"mcc": 0.7}), False, "0.8000, at most 0.7"),
        (Policy(max_drop={"int8": 0.02}), True, "accuracy 0.9000, of fp32 0.9200, may lose 0.02"),
        (Policy(max_drop={"int8": 0.01}), False, "accuracy 0.9000, of fp32 0.9200, may lose 0.01"),
        (Policy(max_drop={"int4": 1}), False, "reviews:1 tells no headline metric of fp32 and of int4 in "
         "report/metrics.json"),
        (Policy(max_flip={"typos": 0.1}), True, "0.1000 of the answers to 40 rows change, at most 0.1"),
        (Policy(max_flip={"typos": 0.05}), False, "0.1000 of the answers to 40 rows change, at most 0.05"),
        (Policy(max_flip={"names": 0.5}), False, "reviews:1 tells of no test row that names changes"),
        (Policy(max_mib=2), True, "int8 has 2 MiB, at most 2"),
        (Policy(max_mib=1.5), False, "int8 has 2 MiB, at most 1.5"),
        (Policy(max_ms_per_text=3), True, "int8 takes 3 ms a text, at most 3"),
        (Policy(max_ms_per_text=2.5), False, "int8 takes 3 ms a text, at most 2.5"),
        (Policy(parity_tolerance=1e-5), True, "fp32 differs from torch by 2e-06, at most 1e-05"),
        (Policy(parity_tolerance=1e-6), False, "fp32 differs from torch by 2e-06, at most 1e-06"),
        (Policy(beat_baseline=True), True, "surely better than an answer without a model"),
        (Policy(max_overlap=0), True, "0 of 20 test rows stand among the training rows, at most 0"),
        (Policy(licence=("mit", "MIT-0")), False, "the base model is under apache-2.0, allowed are mit, MIT-0"),
        (Policy(licence=("Apache-2.0",)), True, "the base model is under apache-2.0, allowed are Apache-2.0"),
    ],
)  # fmt: skip
def test_a_gate_tells_the_figures_that_decided(make, rights, gate, policy, passed, says):
    assert gate(make(rights("+-" * 10)), policy) == (passed, says)


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (Policy(min={"accuracy": 0}), "tells no accuracy in report/metrics.json; its metrics are none"),
        (Policy(max_drop={"int8": 1}), "tells no headline metric of fp32 and of int8 in report/metrics.json"),
        (Policy(max_mib=9), "does not tell it in model.json"),
        (Policy(max_ms_per_text=9), "does not tell it in report/metrics.json"),
        (Policy(parity_tolerance=9), "does not tell it in report/metrics.json"),
        (Policy(beat_baseline=True), "tells of no answer without a model in report/metrics.json"),
        (Policy(max_overlap=9), "carries no report/outcomes.jsonl.gz"),
        (Policy(licence=("mit",)), "does not tell the licence of its base model"),
        (Policy(slices={"label": 0}), "keeps no scores of single rows in report/outcomes.jsonl.gz"),
    ],
)
def test_what_a_version_does_not_tell_is_missed(make, gate, policy, says):
    assert gate(make(metrics={}, model={"default_variant": "int8"}), policy) == (False, f"reviews:1 {says}")


def test_a_version_that_is_short_of_the_baseline_says_why(make, metrics_of, gate):
    short = metrics_of() | {"short_of_baseline": "accuracy 0.9 does not clear 0.88"}
    assert gate(make(metrics=short), Policy(beat_baseline=True)) == (False, "accuracy 0.9 does not clear 0.88")


def test_an_error_loses_by_a_share_and_what_is_left_out_loses_nothing(make, metrics_of, gate):
    error = metrics_of(accuracy=11.0, fp32=10.0) | {"lower_is_better": True}
    assert gate(make(metrics=error), Policy(max_drop={"int8": 0.11})) == (
        True,
        "accuracy 11.0000, of fp32 10.0000, may rise by 11.0%",
    )
    assert gate(make(metrics=error), Policy(max_drop={"int8": 0.05}))[0] is False
    untold = {name: value for name, value in metrics_of().items() if name != "lower_is_better"}
    said = "reviews:3 does not tell in report/metrics.json whether less of accuracy is better"
    assert gate(make(metrics=untold), Policy(max_drop={"int8": 1})) == (False, said)
    without = metrics_of() | {"left_out": {"int8": "it loses too much"}}
    assert gate(make(metrics=without), Policy(max_drop={"int8": 0.01})) == (True, "reviews:4 is without int8")


def test_the_worst_slice_is_told_and_small_ones_are_not_asked(make, outcomes_of, gate):
    rows = [(n, "good" if n % 2 else "bad", "good", n % 2, "en" if n < 20 else "de") for n in range(40)]
    rows += [(99, "rare", "good", 0, "fr")]
    version = make(outcomes_of(rows, columns=["language"]))
    assert gate(version, Policy(slices={"language": 0.5})) == (
        True,
        "the worst of 2 is 'en': 0.5000 of 20 rows, at least 0.5",
    )
    assert gate(version, Policy(slices={"language": 0.6})) == (
        False,
        "the worst of 2 is 'en': 0.5000 of 20 rows, at least 0.6; 2 are below",
    )
    assert gate(version, Policy(slices={"label": 0.1})) == (False, "the worst of 2 is 'bad': 0.0000 of 20 rows, at "
                                                            "least 0.1")  # fmt: skip
    said = "reviews:1 keeps no column 'source' of its test rows; it keeps label, language"
    assert gate(version, Policy(slices={"source": 0.1})) == (False, said)
    few = make(outcomes_of(rows[:9], columns=["language"]))
    said = "reviews:2 has no language with 10 test rows"
    assert gate(few, Policy(slices={"language": 0.1})) == (False, said)


def test_test_rows_that_were_taught_are_missed(make, rights, outcomes_of, gate):
    version = make(outcomes_of(rights("++++"), in_training=3))
    said = "3 of 4 test rows stand among the training rows, at most 2"
    assert gate(version, Policy(max_overlap=2)) == (False, said)
    unknown = make(outcomes_of(rights("++++"), in_training=None))
    said = "reviews:2 was imported, and nobody knows which rows it was taught"
    assert gate(unknown, Policy(max_overlap=2)) == (False, said)


def test_a_version_must_not_be_surely_worse_than_the_holder_on_the_same_rows(store, make, rights, gate):
    make(rights("+" * 80 + "-" * 20))
    worse, same = make(rights("+" * 70 + "-" * 30)), make(rights("+" * 79 + "-" * 20 + "+"))
    asked = Policy(not_worse=NotWorse())
    assert gate(worse, asked) == (True, "no other version holds reviews@production")
    move(store, "reviews", "production", 1)
    assert gate(worse, asked) == (
        False,
        "against reviews:1: of 100 rows 0 are right now and 10 wrong now (one-sided p 0.00098)",
    )
    assert gate(same, asked) == (
        True,
        "against reviews:1: of 100 rows 1 are right now and 1 wrong now (one-sided p 0.75)",
    )


def test_a_margin_asks_for_rows_enough_to_know(store, make, rights, gate):
    make(rights("+" * 20 + "-" * 20))
    same = make(rights("-" + "+" * 20 + "-" * 19))
    move(store, "reviews", "production", 1)
    assert gate(same, Policy(not_worse=NotWorse(margin=0.01))) == (
        False,
        "against reviews:1: of 40 rows 1 are right now and 1 wrong now (one-sided p 0.75); at worst -0.0783, may be "
        "-0.01",
    )
    assert gate(same, Policy(not_worse=NotWorse(margin=0.1)))[0] is True


def test_the_figures_of_a_gate_are_those_that_decided(store, make, rights, judged):
    make(rights("+" * 20 + "-" * 20))
    same, worse = make(rights("-" + "+" * 20 + "-" * 19)), make(rights("-" * 40))
    move(store, "reviews", "production", 1)

    def figures(version, margin):
        (found,) = judged(version, Policy(not_worse=NotWorse(margin=margin))).gates
        return found.passed, pytest.approx(found.found, abs=1e-4), found.asked

    assert figures(same, 0.01) == (False, -0.0783, -0.01)
    assert figures(same, 0.1) == (True, 0.75, 0.05)
    assert figures(worse, 0.01) == (False, 0.0, 0.05)


def test_too_few_rows_that_are_the_same_and_a_holder_without_outcomes_are_missed(store, make, rights, gate):
    make(rights("+" * 40))
    other = make([(n + 30, "good", "good", 1) for n in range(40)])
    bare = make()
    move(store, "reviews", "production", 1)
    asked = Policy(not_worse=NotWorse())
    said = "reviews:2 was measured on 10 rows of reviews:1 by the same figure, 30 are needed"
    assert gate(other, asked) == (False, said)
    assert gate(bare, asked) == (False, "reviews:3 carries no report/outcomes.jsonl.gz")
    move(store, "reviews", "production", 3)
    assert gate(other, asked) == (False, "reviews:3 carries no report/outcomes.jsonl.gz")


def test_how_often_the_test_rows_were_asked_is_counted_over_the_versions(store, make, judged):
    make(test_rows="aa")
    make(test_rows="bb")
    make(test_rows=None)
    verdict = judged(make(test_rows="aa"), Policy(max_mib=9))
    assert (verdict.test_rows, verdict.rows, verdict.decided) == ("aa", 872, 2)
    assert verdict.reuse == "these 872 test rows have measured 2 versions"
    assert judged(make(test_rows=None), Policy(max_mib=9)).reuse == ""

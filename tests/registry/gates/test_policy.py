"""What an alias asks, as a log that is only added to."""

import json
import re
from pathlib import Path

import pytest

from tunewright.registry.errors import BadReference, CorruptObject, NotFound
from tunewright.registry.gates.policy import NotWorse, Policy, policy_in, read_policy, set_policy
from tunewright.registry.versions.document import seal
from tunewright.registry.versions.layout import policy_key
from tunewright.registry.versions.record import model_names

POLICY = Policy(min={"accuracy": 0.9}, not_worse=NotWorse(margin=0.01), max_drop={"int8": 0.01}, max_mib=50)


def test_the_last_entry_holds_and_none_of_them_goes_away(store, make):
    make()
    assert read_policy(store, "reviews", "production") is None
    first = set_policy(store, "reviews", "production", POLICY, reason="as agreed")
    assert read_policy(store, "reviews", "production") == first
    assert (first.entry, first.reason, first.policy) == (1, "as agreed", POLICY)
    second = set_policy(store, "reviews", "production", Policy(beat_baseline=True))
    assert read_policy(store, "reviews", "production") == second
    assert second.policy.asks == {"beat_baseline": True}
    set_policy(store, "reviews", "production", Policy())
    assert read_policy(store, "reviews", "production") is None
    assert store.read(policy_key("reviews", "production", 1), limit=9999)
    assert read_policy(store, "reviews", "staging") is None
    # Where they lie is no stranger to a registry.
    faults = []
    assert model_names(store, on_fault=faults.append) == ["reviews"]
    assert faults == []


def test_a_model_that_is_not_there_asks_nothing(store):
    with pytest.raises(NotFound, match="there is no model 'other'"):
        set_policy(store, "other", "production", POLICY)


def test_a_gate_of_a_later_release_is_not_overlooked(store, make):
    make()
    entry = set_policy(store, "reviews", "production", POLICY)
    fields = json.loads(store.read(policy_key("reviews", "production", 1), limit=9999))
    del fields["sha256"]
    fields |= {"entry": 2, "policy": {"seen_by": "ada"}}
    store.create(policy_key("reviews", "production", 2), seal(fields))
    with pytest.raises(CorruptObject, match="seen_by: unexpected keyword argument"):
        read_policy(store, "reviews", "production")
    assert entry.entry == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("min: {accuracy: 0.9}\nnot_worse: {}\n", Policy(min={"accuracy": 0.9}, not_worse=NotWorse())),
        ('{"max": {"rmse": 3}, "max_overlap": 0}', Policy(max={"rmse": 3}, max_overlap=0)),
        ("slices: {language: 0.8}\nbeat_baseline: true", Policy(slices={"language": 0.8}, beat_baseline=True)),
    ],
)
def test_a_file_of_yaml_or_json_is_read(tmp_path, text, expected):
    path = tmp_path / "gates.yaml"
    path.write_text(text)
    assert policy_in(path) == expected


def test_the_example_of_the_guide_is_read(tmp_path):
    guide = (Path(__file__).parents[3] / "docs/guides/promote.md").read_text()
    path = tmp_path / "gates.yaml"
    path.write_text(re.search(r"^\$ cat gates.yaml\n(.*?)```", guide, re.DOTALL | re.MULTILINE)[1])
    assert set(policy_in(path).asks) == {"min", "not_worse", "slices", "max_drop", "max_overlap"}


KNOWN = (
    "known are min, max, not_worse, slices, max_drop, max_flip, max_mib, max_ms_per_text, parity_tolerance, "
    "beat_baseline, max_overlap, licence, signed_by"
)
KNOWN_THERE = "known in not_worse are alpha, margin, rows"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("min: {accuracy: much}", f"min.accuracy is 'much': input should be a valid number, unable to parse string as "
         f"a number; {KNOWN}"),
        ("least: {accuracy: 1}", f"least is not known; {KNOWN}"),
        ("not_worse: {alpha: 0.7}", f"not_worse.alpha is 0.7: input should be less than 0.5; {KNOWN_THERE}"),
        ("not_worse: {margn: 0.1}", f": not_worse.margn is not known; {KNOWN_THERE}"),
        ("not_worse: 0.1", ": not_worse is 0.1: it takes names with values, as in {margin: 0.02}, or {}"),
        ("max_mib: 9\nnot_worse:", ": not_worse has no value; give it one, or leave it out"),
        ("min: 3", ": min is 3: it takes names with values, as in {accuracy: 0.9}"),
        ("min: {accuracy: true}", f": min.accuracy is True: input should be a number; {KNOWN}"),
        ("max_mib: false", f": max_mib is False: input should be a number; {KNOWN}"),
        ("not_worse: {margin: true}", f": not_worse.margin is True: input should be a number; {KNOWN_THERE}"),
        ("slices: {label: 2}", f": slices.label is 2: input should be less than or equal to 1; {KNOWN}"),
        ("max_mib: .inf", f"max_mib is inf: input should be a finite number; {KNOWN}"),
        ("- min", f" holds no gates; {KNOWN}, as in 'min: {{accuracy: 0.9}}'"),
        ("min: {a: 1}\nmin: {b: 1}", "gates.yaml, line 2, is no YAML: the key 'min' stands twice"),
        ("max_mib: 1\nmin: {", "gates.yaml, line 2, is no YAML: while parsing a flow node, expected the node "
         "content, but found '<stream end>'"),
        ("max_mib: 1\nmin: \x00", "gates.yaml, line 2, is no YAML: special characters are not allowed"),
        ("max_mib: 2026-99-99", "gates.yaml holds a number or a date that cannot be read: month must be in 1..12"),
        ("[" * 9999, "gates.yaml is nested too deeply; gates have two levels"),
        ("min: {}", f" asks nothing; {KNOWN}, and --remove lets an alias ask nothing"),
        (json.dumps({"min": {f"m{n}": 0 for n in range(40)}}), " has 40 gates; at most 32 can be kept with each move"),
        ("#" * 40_000, " has over 32 KiB: it is no file of gates"),
    ],
)  # fmt: skip
def test_what_is_no_gate_is_told_with_what_is(tmp_path, text, said):
    path = tmp_path / "gates.yaml"
    path.write_text(text)
    with pytest.raises(BadReference) as caught:
        policy_in(path)
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(BadReference, match=r"cannot be read \(No such file or directory\); expected a file of YAML"):
        policy_in(tmp_path / "gates.yaml")

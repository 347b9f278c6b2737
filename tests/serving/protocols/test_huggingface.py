"""Requests in the task JSON of Hugging Face."""

import json

import pytest

from tunewright.serving.errors import InputError, Malformed
from tunewright.serving.protocols.huggingface import Envelope, read_envelope


def test_parameters_may_be_left_out_or_null():
    assert read_envelope(b'{"inputs": "a"}') == Envelope("a", {})
    assert read_envelope(b'{"inputs": "a", "parameters": null}') == Envelope("a", {})


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (
            b"{'inputs': 1}",
            "the body is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (ch",
        ),
        (b'{"inputs": NaN}', "the body is not JSON: NaN is not a JSON value"),
        (b'{"inputs": -Infinity}', "the body is not JSON: -Infinity is not a JSON value"),
        (b"[" * 100_000, "the body is not JSON that this server reads: it is nested too deeply"),
        (b'{"inputs": "\xff"}', "the body is not UTF-8: byte 12 cannot be read"),
        (b"9" * 5_000, "the body is not JSON: Exceeds the limit"),
        (b"[1]", 'the body is a list; send an object: {"inputs": ...}'),
        (b'"a"', 'the body is a string; send an object: {"inputs": ...}'),
        (b"null", 'the body is null; send an object: {"inputs": ...}'),
        (b"1e5", 'the body is a number; send an object: {"inputs": ...}'),
    ],
)
def test_a_body_that_is_no_json_object_is_malformed(body, sentence):
    with pytest.raises(Malformed) as caught:
        read_envelope(body)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("body", "inputs"),
    [
        (b'\xef\xbb\xbf{"inputs": "a"}', "a"),
        (b'{"inputs": "\\ud83d\\ude00"}', "\U0001f600"),
        (b'{"inputs": "\\ud83d"}', "\ufffd"),
        (b'{"inputs": "a", "inputs": "b"}', "b"),
        (b'{"inputs": ' + b"[" * 900 + b"]" * 900 + b"}", json.loads("[" * 900 + "]" * 900)),
    ],
    ids=["a byte order mark", "a pair of halves", "half a character", "a name twice", "nested deeply"],
)
def test_json_is_read_as_python_reads_it(body, inputs):
    assert read_envelope(body).inputs == inputs


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "'inputs' is missing: send {\"inputs\": ...}"),
        ({"inputs": "a", "input": 1}, "unknown key 'input'; a request has: inputs, parameters"),
        ({"inputs": "a", "parameters": [1]}, "'parameters' is [1]; send an object"),
        ({"inputs": "a", "parameters": False}, "'parameters' is false; send an object"),
        ({"inputs": "a", "parameters": ""}, "'parameters' is ''; send an object"),
        ({"inputs": "a", "parameters": []}, "'parameters' is []; send an object"),
    ],
)
def test_a_wrong_key_is_named(content, sentence):
    with pytest.raises(InputError) as caught:
        read_envelope(json.dumps(content).encode())
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "half", ["\\ud83d", "\\uDE00", "\\ud83d\\ud83d", "\\ude00\\ud83d"], ids=["high", "low", "two", "swapped"]
)
def test_half_a_character_anywhere_in_a_request_becomes_a_replacement_character(half):
    whole = "\ufffd" * half.count("\\")
    body = '{"inputs": [{"role": "HALF", "content": ["a HALF"]}], "parameters": {"HALF": ["HALF"]}}'
    assert read_envelope(body.replace("HALF", half).encode()) == Envelope(
        [{"role": whole, "content": [f"a {whole}"]}], {whole: [whole]}
    )


def test_two_halves_that_belong_together_stay_a_character():
    assert read_envelope(b'{"inputs": "\\ud83d\\ude00"}').inputs == "😀"


def test_half_a_character_in_bytes_is_not_utf_8():
    with pytest.raises(Malformed, match="the body is not UTF-8: byte 12 cannot be read"):
        read_envelope(b'{"inputs": "\xed\xa0\xbd"}')


def test_options_of_older_clients_are_accepted_without_effect():
    assert read_envelope(b'{"inputs": "a", "options": {"wait_for_model": true}}') == Envelope("a", {})
    assert read_envelope(b'{"inputs": "a", "options": null}') == Envelope("a", {})


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"options": 3}, "'options' is 3; send an object"),
        (
            {"options": {"raw": 1}},
            "unknown option 'raw'; accepted, without effect: use_cache, wait_for_model, use_gpu",
        ),
        ({"parameters": {"words": ["a"] * 1_001}}, "parameter 'words' has 1001 items; at most 1000"),
        ({"parameters": {"words": ["a" * 9_000] * 2}}, "parameter 'words' has 18002 characters; at most 16384"),
        ({"parameters": {"a": {"b": [["c" * 20_000]]}}}, "parameter 'a' has 20002 characters; at most 16384"),
        (
            {"small": 1, "parameters": {"small": 1}},
            "parameter 'small' stands beside 'inputs' and in 'parameters'",
        ),
        ({"large": 1}, "unknown key 'large'; a request has: inputs, parameters, small"),
    ],
)
def test_what_stands_beside_the_inputs_is_bounded_and_known(more, sentence):
    with pytest.raises(InputError) as caught:
        read_envelope(json.dumps({"inputs": "a", **more}).encode(), beside=("small",))
    assert str(caught.value).startswith(sentence)


def test_a_parameter_may_stand_beside_the_inputs_where_the_task_says_so():
    assert read_envelope(b'{"inputs": "a", "small": 1}', beside=("small",)) == Envelope("a", {"small": 1})

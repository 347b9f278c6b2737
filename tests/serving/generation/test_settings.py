"""What a caller may set, over what the bundle says."""

import pytest
import transformers

from tunewright.serving.errors import InputError
from tunewright.serving.generation.settings import CallerSettings, GenerationSettings, read_settings

SAMPLED = GenerationSettings(do_sample=True, temperature=0.7, max_new_tokens=40, eos_token_id=2)
SEARCHED = GenerationSettings(num_beams=4, max_new_tokens=60)


def test_the_names_and_defaults_are_those_of_transformers():
    theirs = transformers.GenerationConfig()
    ours = GenerationSettings()
    assert set(GenerationSettings.model_fields) - set(vars(theirs)) == {"seed"}
    # transformers 5 leaves them unset until it generates.
    late = getattr(transformers.GenerationConfig, "_get_default_generation_params", dict)()
    usual = vars(theirs) | late
    for name in ("do_sample", "num_beams", "early_stopping", "length_penalty", "temperature", "top_k", "top_p"):
        assert getattr(ours, name) == usual[name]
    assert (ours.repetition_penalty, ours.no_repeat_ngram_size) == (usual["repetition_penalty"], 0)


def test_a_request_changes_what_it_names():
    found = read_settings({"temperature": 1, "seed": 3}, SAMPLED, "text-generation")
    assert found == SAMPLED.model_copy(update={"temperature": 1.0, "seed": 3})


def test_a_request_may_turn_sampling_off_without_unsetting_its_defaults():
    found = read_settings({"do_sample": False}, SAMPLED, "text-generation")
    assert not found.do_sample


@pytest.mark.parametrize(("value", "expected"), [(None, ()), ("END", ("END",)), (["a", "b"], ("a", "b"))])
def test_stop_strings_come_as_one_or_several(value, expected):
    assert GenerationSettings(stop_strings=value).stops == expected


def test_end_tokens_come_as_one_or_several():
    assert GenerationSettings(eos_token_id=2).eos == (2,)
    assert GenerationSettings(eos_token_id=[2, 3]).eos == (2, 3)
    assert GenerationSettings().eos == GenerationSettings().forced_eos == ()


@pytest.mark.parametrize(
    ("parameters", "defaults", "message"),
    [
        (
            {"temperature": 0.5},
            SEARCHED,
            "parameter 'temperature' is 0.5, but counts only with 'do_sample': true",
        ),
        ({"seed": 5}, SEARCHED, "parameter 'seed' is 5, but counts only with 'do_sample': true"),
        ({"typical_p": 0.5}, SEARCHED, "parameter 'typical_p' is 0.5, but counts only with 'do_sample': true"),
        (
            {"length_penalty": 2},
            SAMPLED,
            "parameter 'length_penalty' is 2, but counts only with 'num_beams' over 1",
        ),
        ({"max_new_tokens": 0}, SAMPLED, "parameter 'max_new_tokens' is 0: Input should be greater than or equal to 1"),
        ({"num_beams": 33}, SEARCHED, "parameter 'num_beams' is 33: Input should be less than or equal to 32"),
        ({"do_sample": True}, SEARCHED, "parameter 'num_beams' is 4: do_sample is true, and sampling has one beam"),
        ({"min_new_tokens": 61}, SEARCHED, "parameter 'min_new_tokens' is 61: max_new_tokens is 60"),
        ({"min_new_tokens": 300}, GenerationSettings(), "parameter 'min_new_tokens' is 300: max_new_tokens is 256"),
        (
            {"stop_strings": ["a", ""]},
            SAMPLED,
            "parameter 'stop_strings' is ['a', '']: a stop string has 1 to 256 characters",
        ),
        (
            {"stop_strings": ["a"] * 17},
            SAMPLED,
            f"parameter 'stop_strings' is {str(['a'] * 17)[:57]}...: 17 stop strings; at most 16",
        ),
        (
            {"eos_token_id": [1] * 65},
            SAMPLED,
            f"parameter 'eos_token_id' is {str([1] * 65)[:57]}...: 65 end tokens; at most 64",
        ),
        ({"top_p": "0.5"}, SAMPLED, "parameter 'top_p' is '0.5': Input should be a valid number"),
    ],
)
def test_a_parameter_that_is_wrong_or_would_not_count_is_refused(parameters, defaults, message):
    with pytest.raises(InputError) as caught:
        read_settings(parameters, defaults, "text-generation")
    assert str(caught.value) == message


def test_an_unknown_parameter_is_answered_with_those_known():
    with pytest.raises(InputError) as caught:
        read_settings({"beams": 3}, SAMPLED, "text-generation")
    known = ", ".join(GenerationSettings.model_fields)
    assert str(caught.value) == f"unknown parameter 'beams'; text-generation knows: {known}"


GRAMMAR = {"type": "regex", "value": "a+"}


def test_a_grammar_is_read_as_clients_of_the_hub_send_it():
    found = read_settings(
        {"grammar": GRAMMAR, "typical_p": 1.0}, GenerationSettings(), "text-generation", CallerSettings
    )
    assert found.grammar.model_dump() == GRAMMAR


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"grammar": GRAMMAR | {"type": "xml"}}, "parameter 'grammar.type' is 'xml': Input should be 'json', 'json_"),
        (
            {"grammar": {"type": "regex", "value": {}}},
            "parameter 'grammar' is {'type': 'regex', 'value': {}}: the value",
        ),
        ({"grammar": {"type": "json"}}, "parameter 'grammar.value' is {'type': 'json'}: Field required"),
        (
            {"grammar": GRAMMAR, "num_beams": 2},
            "parameter 'grammar' is {'type': 'regex', 'value': 'a+'}: num_beams is 2, ",
        ),
    ],
)
def test_a_grammar_of_another_form_is_refused(parameters, message):
    with pytest.raises(InputError) as caught:
        read_settings(parameters, GenerationSettings(), "text-generation", CallerSettings)
    assert str(caught.value).startswith(message)

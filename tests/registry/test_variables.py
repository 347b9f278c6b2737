"""One tree of settings: what is known, and every mistake in the words the user typed."""

from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from tunewright.registry.variables import build_settings, leaves, unknown_variables


class Oven(BaseModel):
    model_config = ConfigDict(extra="forbid")

    degrees: int = Field(default=200, ge=50)
    mode: Literal["fan", "grill"] | int = "fan"


class Kitchen(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="KITCHEN_", env_nested_delimiter="__", extra="forbid")

    cook: str
    port: int = 80
    menu: list[str] = []
    prices: dict[str, float] = {}
    oven: Oven = Oven()


@pytest.fixture
def build(monkeypatch):
    """build(KITCHEN_COOK="Ann", file={...}): the settings, or the sentences."""

    def make(file=None, *, only_variables=False, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return build_settings(
            lambda: Kitchen(**(file or {})), Kitchen, "KITCHEN_", variables, only_variables=only_variables
        )

    return make


def test_every_setting_of_the_tree_has_a_path():
    assert list(leaves(Kitchen)) == [
        *(("cook",), ("port",), ("menu",), ("prices",)),
        *(("oven", "degrees"), ("oven", "mode")),
    ]


def test_what_has_no_mistake_is_built(build):
    kitchen = build(
        KITCHEN_COOK="Ann", KITCHEN_OVEN__DEGREES="180", KITCHEN_PRICES__SOUP="4.5", KITCHEN_MENU='["soup"]'
    )
    assert (kitchen.cook, kitchen.oven.degrees, kitchen.prices, kitchen.menu) == ("Ann", 180, {"soup": 4.5}, ["soup"])


def test_all_mistakes_are_named_at_once(build):
    assert build(KITCHEN_COK="Ann", KITCHEN_PORT="x", KITCHEN_OVEN__DEGREES="20", KITCHEN_OVEN__DEGRES="7") == [
        "the variable KITCHEN_COK is not known; did you mean KITCHEN_COOK?",
        "the variable KITCHEN_OVEN__DEGRES is not known; did you mean KITCHEN_OVEN__DEGREES?",
        "cook must be set",
        "KITCHEN_PORT is 'x': input should be a valid integer, unable to parse string as an integer",
        "KITCHEN_OVEN__DEGREES is '20': input should be greater than or equal to 50",
    ]


def test_a_variable_like_no_setting_is_told_all_settings():
    (sentence,) = unknown_variables(Kitchen, "KITCHEN_", {"KITCHEN_SIZE_OF_THE_SINK": "1"})
    assert sentence == (
        "the variable KITCHEN_SIZE_OF_THE_SINK is not known; known are KITCHEN_COOK, KITCHEN_MENU, "
        "KITCHEN_OVEN__DEGREES, KITCHEN_OVEN__MODE, KITCHEN_PORT, KITCHEN_PRICES"
    )


def test_only_a_mapping_takes_further_names():
    assert unknown_variables(Kitchen, "KITCHEN_", {"KITCHEN_PRICES__SOUP": "1", "KITCHEN_OVEN": "{}"}) == []
    assert unknown_variables(Kitchen, "KITCHEN_", {"KITCHEN_PORT__TO": "1"}) == [
        "the variable KITCHEN_PORT__TO is not known; did you mean KITCHEN_PORT?"
    ]


def test_variables_that_kubernetes_makes_of_a_service_are_no_mistake():
    made = {"KITCHEN_SERVICE_HOST": "10.0.0.1", "KITCHEN_PORT_80_TCP": "tcp://10.0.0.1:80", "OVEN_PORT": "tcp://x"}
    assert unknown_variables(Kitchen, "KITCHEN_", made) == []
    assert unknown_variables(Oven, "OVEN_", made) == []


def test_case_does_not_matter(build):
    assert build(kitchen_port="x", KITCHEN_COOK="Ann") == [
        "KITCHEN_PORT is 'x': input should be a valid integer, unable to parse string as an integer"
    ]


def test_a_misspelt_name_inside_a_group_is_named(build):
    assert build(KITCHEN_COOK="Ann", KITCHEN_OVEN='{"degres": 1}') == [
        "oven.degres is not a setting; did you mean oven.degrees?"
    ]


def test_a_name_like_none_beside_it_is_told_those(build):
    assert build({"cook": "Ann", "oven": {"zzz": 1}}) == ["oven.zzz is not a setting; known are degrees, mode"]
    assert build({"cook": "Ann", "zzz": 1}) == ["zzz is not a setting; known are cook, port, menu, prices, oven"]


def test_a_value_that_is_not_in_the_variable_is_named_by_its_path(build):
    assert build({"cook": "Ann", "oven": {"degrees": 20}}) == [
        "oven.degrees is 20: input should be greater than or equal to 50"
    ]


def test_where_variables_are_the_only_source_they_are_the_names(build):
    assert build(only_variables=True, KITCHEN_OVEN='{"degrees": 20}') == [
        "KITCHEN_COOK must be set",
        "KITCHEN_OVEN__DEGREES is 20: input should be greater than or equal to 50",
    ]


def test_the_choices_of_a_value_are_joined(build):
    assert build(KITCHEN_COOK="Ann", KITCHEN_OVEN__MODE="steam") == [
        "KITCHEN_OVEN__MODE is 'steam': input should be 'fan' or 'grill' "
        "or input should be a valid integer, unable to parse string as an integer"
    ]


@pytest.mark.parametrize(
    ("variable", "value", "example"),
    [
        ("KITCHEN_MENU", "soup,fish", '["a", "b"]'),
        ("KITCHEN_PRICES", "{soup: 4}", '{"name": "value"}'),
        ("KITCHEN_OVEN", "hot", '{"name": "value"}'),
    ],
)
def test_what_must_be_json_says_so(build, variable, value, example):
    assert build(KITCHEN_COOK="Ann", **{variable: value}) == [
        f"{variable} is {value!r}, which is not JSON; expected something like {example}"
    ]


def test_a_long_value_is_cut(build):
    (sentence,) = build(KITCHEN_COOK="Ann", KITCHEN_PORT="9" * 500 + "x")
    assert sentence.startswith("KITCHEN_PORT is '999")
    assert len(sentence) < 250

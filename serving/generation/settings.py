"""How an answer is written, token by token: the fields of transformers' GenerationConfig that this program knows."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tunewright.serving.errors import InputError, shown
from tunewright.serving.request.parameters import check_parameters

TokenId = int
_SAMPLING = ("temperature", "top_k", "top_p", "typical_p", "seed")
_NEUTRAL = {"typical_p": 1}
"""What says with every value but this one that tokens are drawn; clients of the hub send it in any case."""
_BEAMS = ("length_penalty", "early_stopping")
_LONGEST_STOP = 256
"""Characters of one stop string."""
_MOST_STOPS = 16
"""Stop strings of one answer: each is looked for after every token."""
_MOST_ENDS = 64
"""End tokens of one answer."""


class GenerationSettings(BaseModel):
    """Defaults of a bundle, and what a caller may set."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True, allow_inf_nan=False)

    max_new_tokens: int = Field(default=256, ge=1)
    """Most tokens an answer may have; fewer where the model's context ends."""
    min_new_tokens: int = Field(default=0, ge=0)
    """Tokens an answer has before it may end with an end token."""
    do_sample: bool = False
    """Draw each token from the distribution instead of taking the most likely one."""
    num_beams: int = Field(default=1, ge=1, le=32)
    """Beams of the beam search; 1: no search."""
    early_stopping: bool | Literal["never"] = False
    """Beam search ends when as many answers as beams are complete (true), when a better one is unlikely (false), or
    when a better one is impossible ("never")."""
    length_penalty: float = Field(default=1.0, ge=-5, le=5)
    """Beam search divides the log-probability of an answer by its length to this power: above 0 favours long ones."""
    temperature: float = Field(default=1.0, ge=0.001, le=1000)
    """Sampling: logits are divided by it, so below 1 is more and above 1 less certain."""
    top_k: int = Field(default=50, ge=0)
    """Sampling: only the so many most likely tokens are drawn from; 0: all."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Sampling: only the most likely tokens that together have this probability are drawn from."""
    typical_p: float = Field(default=1.0, gt=0, le=1)
    """Sampling: only the tokens that surprise about as much as is expected, and together have this probability."""
    seed: int | None = Field(default=None, ge=0)
    """Sampling: the same seed gives the same answer to the same prompt, alone or in a batch."""
    repetition_penalty: float = Field(default=1.0, ge=0.01, le=100)
    """Tokens already there become less likely above 1, more likely below."""
    no_repeat_ngram_size: int = Field(default=0, ge=0)
    """No sequence of so many tokens occurs twice; 0: no such rule."""
    stop_strings: str | list[str] | None = None
    """The answer ends with the token that completes one of these texts."""
    eos_token_id: TokenId | list[TokenId] | None = None
    """Token, or tokens, that end an answer."""
    decoder_start_token_id: TokenId | None = None
    """Encoder-decoder models: the token before the first one of the answer."""
    forced_bos_token_id: TokenId | None = None
    """The first token of the answer, such as the language code of a translation."""
    forced_eos_token_id: TokenId | list[TokenId] | None = None
    """The last token of an answer that reaches its limit of tokens."""

    @field_validator("min_new_tokens")
    @classmethod
    def _not_above_the_most(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("max_new_tokens", value):
            raise _fault("max_new_tokens is {most}", most=info.data["max_new_tokens"])
        return value

    @field_validator("num_beams")
    @classmethod
    def _one_where_tokens_are_drawn(cls, value: int, info: ValidationInfo) -> int:
        if value > 1 and info.data.get("do_sample"):
            raise _fault("do_sample is true, and sampling has one beam")
        return value

    @field_validator("stop_strings")
    @classmethod
    def _of_fair_length(cls, value: str | list[str] | None) -> str | list[str] | None:
        if isinstance(value, list) and len(value) > _MOST_STOPS:
            raise _fault("{count} stop strings; at most {most}", count=len(value), most=_MOST_STOPS)
        for text in [value] if isinstance(value, str) else value or []:
            if not 0 < len(text) <= _LONGEST_STOP:
                raise _fault("a stop string has 1 to {most} characters", most=_LONGEST_STOP)
        return value

    @field_validator("eos_token_id", "forced_eos_token_id")
    @classmethod
    def _of_fair_number(cls, value: TokenId | list[TokenId] | None) -> TokenId | list[TokenId] | None:
        if isinstance(value, list) and len(value) > _MOST_ENDS:
            raise _fault("{count} end tokens; at most {most}", count=len(value), most=_MOST_ENDS)
        return value

    @property
    def eos(self) -> tuple[int, ...]:
        """The tokens that end an answer."""
        return _ids(self.eos_token_id)

    @property
    def forced_eos(self) -> tuple[int, ...]:
        """The tokens allowed at the limit; none: any."""
        return _ids(self.forced_eos_token_id)

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop_strings,) if isinstance(self.stop_strings, str) else tuple(self.stop_strings or ())


class Grammar(BaseModel):
    """What an answer must look like, in the words of text-generation-inference."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    type: Literal["json", "json_schema", "regex"]
    value: dict[str, Any] | str

    @model_validator(mode="after")
    def _is_a_text(self) -> Self:
        if self.type == "regex" and not isinstance(self.value, str):
            raise _fault("the value of a regex is a text")
        return self


_GRAMMAR = {
    "type": "object",
    "nullable": True,
    "properties": {
        "type": {"type": "string", "enum": ["json", "json_schema", "regex"]},
        "value": {"anyOf": [{"type": "object"}, {"type": "string"}]},
    },
    "required": ["type", "value"],
    "additionalProperties": False,
}


class CallerSettings(GenerationSettings):
    """What only a caller may set."""

    grammar: Annotated[Grammar | None, WithJsonSchema(_GRAMMAR)] = None
    """What the answer must look like: `{"type": "json", "value": {schema}}` or `{"type": "regex", "value": "..."}`."""

    @field_validator("grammar")
    @classmethod
    def _of_one_beam(cls, value: Grammar | None, info: ValidationInfo) -> Grammar | None:
        if value is not None and info.data.get("num_beams", 1) > 1:
            raise _fault("num_beams is {beams}, and an answer held to a grammar has one", beams=info.data["num_beams"])
        return value


Settings = TypeVar("Settings", bound=GenerationSettings)


def read_settings(
    parameters: Mapping[str, object],
    defaults: GenerationSettings,
    task: str,
    kind: type[Settings] = GenerationSettings,  # type: ignore[assignment]
) -> Settings:
    """The settings of a request over those of the bundle; InputError for one that is wrong or would not count.

    `kind`: a class with more settings.
    """
    given = defaults.model_dump(exclude_unset=True) | dict(parameters)
    settings = check_parameters(kind, given, task)
    for name in parameters:
        if name in _SAMPLING and not settings.do_sample and _NEUTRAL.get(name) != parameters[name]:
            raise InputError(f"parameter {name!r} is {shown(parameters[name])}, but counts only with 'do_sample': true")
        if name in _BEAMS and settings.num_beams == 1:
            raise InputError(
                f"parameter {name!r} is {shown(parameters[name])}, but counts only with 'num_beams' over 1"
            )
    return settings


def _fault(sentence: str, **values: int) -> PydanticCustomError:
    """What pydantic reports as it stands; before a ValueError's words it puts its own."""
    return PydanticCustomError("settings", sentence, values)


def _ids(value: TokenId | list[TokenId] | None) -> tuple[int, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)

"""How a model writes when a caller says nothing: the base model's own tokens, and what the job asks for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

from tunewright.job.errors import BaseModelError
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.model.load import load_config
from tunewright.serving.generation.settings import GenerationSettings

FILE = "generation_config.json"
Tokens = dict[str, int | list[int]]
"""Ids of the tokens that begin and end an answer."""
_TOKENS = ("eos_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id")


def generation_tokens(base: BaseCheckpoint) -> Tokens:
    """The ids of the tokens that begin and end an answer; BaseModelError for a base without an end token."""
    config = load_config(base)
    # transformers 5 takes what says how a model writes out of a config.json that it has read.
    stated = base.config() | _stated(base.folder / FILE)
    found: dict[str, object] = {name: stated.get(name, getattr(config, name, None)) for name in _TOKENS}
    tokens: Tokens = {name: value for name, value in found.items() if _are_ids(value, config.vocab_size)}
    if "eos_token_id" not in tokens:
        raise BaseModelError(
            f"base model {base.address!r} names no end token (eos_token_id in config.json), so that no answer would end"
        )
    if config.is_encoder_decoder and "decoder_start_token_id" not in tokens:
        others = [config.bos_token_id, config.pad_token_id]
        start = next((value for value in others if _are_ids(value, config.vocab_size)), None)
        if start is None:
            raise BaseModelError(f"base model {base.address!r} names no decoder_start_token_id in config.json")
        tokens["decoder_start_token_id"] = start
    if not config.is_encoder_decoder:
        for name in _TOKENS[1:]:
            tokens.pop(name, None)
    return tokens


def merged(tokens: Tokens, usual: Mapping[str, int], asked: GenerationSettings) -> GenerationSettings:
    """What the job asks for, over what is usual, over the base's tokens."""
    return GenerationSettings.model_validate({**tokens, **usual, **asked.model_dump(exclude_unset=True)})


def write_generation_config(settings: GenerationSettings, padding: int, folder: Path) -> None:
    """The settings as transformers reads them, beside the weights; a seed is no part of its file."""
    folder.mkdir(parents=True, exist_ok=True)
    stated = settings.model_dump(exclude_unset=True, exclude={"seed"}, exclude_none=True)
    content = {"_from_model_config": False, "pad_token_id": padding, **stated}
    (folder / FILE).write_text(json.dumps(content, indent=2) + "\n")


def first_eos(tokens: Tokens) -> int:
    """The end token that is learned."""
    eos = tokens["eos_token_id"]
    return int(eos[0] if isinstance(eos, list) else eos)


def _stated(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _are_ids(value: object, vocabulary: int) -> TypeGuard[int | list[int]]:
    values = value if isinstance(value, list) and value else [value]
    return all(type(one) is int and 0 <= one < vocabulary for one in values)

"""The tokenizer file of a base model: whether it can be used with the model, and the limits it states."""

import json
import math
from pathlib import Path
from typing import cast

from tunewright.job.errors import BaseModelError
from tunewright.serving.errors import BundleError
from tunewright.serving.text.encoding import Padding, load_tokenizer
from tunewright.serving.trial.trials import try_tokenizer

_COUNTED_FROM_PADDING = """camembert data2vec-text esm ibert longformer mpnet roberta roberta-prelayernorm xlm-roberta
xlm-roberta-xl""".split()
_MOST_LENGTH = 256
"""Tokens of a row when the settings name no length: most texts are shorter, and cost grows with the square."""


_MOST_TYPES = 128
"""A row is kept with a byte for the type of each token."""


def check_tokenizer(path: Path, config: dict[str, object], address: str, cache: Path) -> None:
    """BaseModelError for a tokenizer that is not allowed or fails when it is tried (`serving/trial/`), or one that
    makes what the model has no row for."""
    try:
        made = try_tokenizer(path, cache=cache)
        vocabulary = load_tokenizer(path).get_vocab(with_added_tokens=True)
    except BundleError as error:
        raise BaseModelError(f"base model {address!r}: {error}") from error
    token, most = max(vocabulary.items(), key=lambda one: one[1], default=("", -1))
    _require_rows(f"gives {token!r} the id {most:,}", most, config, address)
    _require_rows(f"makes the id {made.largest_id:,} of a text", made.largest_id, config, address)
    _check_types(made.largest_type, config.get("type_vocab_size"), address)
    limit = length_limit(path.parent, config)
    if limit is not None and made.added >= limit:
        raise BaseModelError(
            f"base model {address!r}: tokenizer.json puts {made.added:,} special tokens around a text, but the model "
            f"reads {limit:,} tokens: they do not belong together"
        )


def _check_types(largest: int, known: object, address: str) -> None:
    """Of a model with one type it is not clear here whether it reads them, nor whether the data has pairs."""
    said = f"base model {address!r}: tokenizer.json gives the type {largest} to a text"
    if isinstance(known, int) and 1 < known <= largest:
        raise BaseModelError(
            f"{said}, but the model knows {known} types (config.json, type_vocab_size): they do not belong together"
        )
    if largest >= _MOST_TYPES:
        raise BaseModelError(f"{said}; at most {_MOST_TYPES} types are allowed")


def _require_rows(what: str, largest: int, config: dict[str, object], address: str) -> None:
    size = config.get("vocab_size")
    if isinstance(size, int) and largest >= size:
        raise BaseModelError(
            f"base model {address!r}: tokenizer.json {what}, but the model's vocabulary has {size:,} entries "
            "(config.json, vocab_size): they do not belong together"
        )


def padding_of(folder: Path, config: dict[str, object]) -> Padding:
    """The padding id the tokenizer names, else the configuration's, else 0 (padding is masked in any case)."""
    settings = _tokenizer_config(folder)
    token = settings.get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    found = load_tokenizer(folder / "tokenizer.json").token_to_id(token) if isinstance(token, str) else None
    stated = config.get("pad_token_id")
    if found is None and isinstance(stated, int) and 0 <= stated < cast(float, config.get("vocab_size", math.inf)):
        found = stated
    return Padding(id=found or 0)


def mask_token(folder: Path) -> str | None:
    """What the tokenizer calls the mask, where it has one."""
    token = _tokenizer_config(folder).get("mask_token")
    stated = token.get("content") if isinstance(token, dict) else token
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    for name in (stated, "[MASK]", "<mask>"):
        if isinstance(name, str) and tokenizer.token_to_id(name) is not None:
            return name
    return None


def cleans_up(folder: Path) -> bool:
    """Whether spaces before punctuation are taken out of a decoded text."""
    return bool(_tokenizer_config(folder).get("clean_up_tokenization_spaces", False))


def special_tokens(folder: Path) -> dict[str, str]:
    """What a chat template knows the special tokens by: bos_token, eos_token, pad_token, ..."""
    found = {}
    for name, token in _tokenizer_config(folder).items():
        text = token.get("content") if isinstance(token, dict) else token
        if name.endswith("_token") and isinstance(text, str):
            found[name] = text
    return found


def chat_template(folder: Path) -> str | None:
    """The template a base model was taught to chat with, where it has one."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8", errors="replace")
    stated = _tokenizer_config(folder).get("chat_template")
    # Several templates are a list, one of them called default.
    for named in stated if isinstance(stated, list) else []:
        if isinstance(named, dict) and named.get("name") == "default":
            stated = named.get("template")
    return stated if isinstance(stated, str) else None


def tokenizer_class(folder: Path) -> str:
    """What transformers calls the tokenizer; empty where it does not say."""
    return str(_tokenizer_config(folder).get("tokenizer_class", ""))


def length_limit(folder: Path, config: dict[str, object]) -> int | None:
    """Tokens the model can read at most, the smaller of what its tokenizer and its position table allow."""
    stated = _tokenizer_config(folder).get("model_max_length")
    positions = config.get("max_position_embeddings") or config.get("n_positions")
    reserved = _reserved(config)
    limits = [stated] if isinstance(stated, int) and 0 < stated < 10**6 else []
    limits += [positions - reserved] if isinstance(positions, int) and positions > 0 else []
    return min(limits, default=None)


def _reserved(config: dict[str, object]) -> int:
    """Rows of the position table that hold no token.

    RoBERTa and its kin count positions from the one after the padding id; MPNet from 2, whatever its padding id.
    """
    kind = str(config.get("model_type"))
    if kind not in _COUNTED_FROM_PADDING:
        return 0
    padding = 1 if kind == "mpnet" else config.get("pad_token_id", 1)
    return padding + 1 if type(padding) is int and padding >= 0 else 2


def choose_length(asked: int | None, limit: int | None, address: str) -> int:
    """The longest row: as asked where the model can, else the smaller of 256 and the model's limit."""
    if limit is not None and limit < 1:
        raise BaseModelError(
            f"base model {address!r} has no position left for a token: max_position_embeddings in config.json is not "
            "above the padding id; take the two from the same model"
        )
    if asked is None:
        return min(_MOST_LENGTH, limit or _MOST_LENGTH)
    if limit is not None and asked > limit:
        raise BaseModelError(f"train.max_length is {asked}, but base model {address!r} reads at most {limit} tokens")
    return asked


def _tokenizer_config(folder: Path) -> dict[str, object]:
    try:
        value = json.loads((folder / "tokenizer_config.json").read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}

"""The tokenizer file of a base model: a small program, so its parts are an allow-list; and the limits it states."""

import json
import math
from pathlib import Path
from typing import Any

from job.errors import BaseModelError
from serving.bundle import Padding
from serving.encoding import load_tokenizer
from serving.errors import BundleError
from serving.trial import try_tokenizer

_PARTS = {
    "normalizer": """BertNormalizer ByteLevel Lowercase NFC NFD NFKC NFKD Nmt Precompiled Prepend Replace Sequence Strip
    StripAccents""",
    "pre_tokenizer": """BertPreTokenizer ByteLevel CharDelimiterSplit Digits Metaspace Punctuation Sequence Split
    UnicodeScripts Whitespace WhitespaceSplit""",
    "post_processor": "BertProcessing ByteLevel RobertaProcessing Sequence TemplateProcessing",
    "model": "BPE Unigram WordLevel WordPiece",
    "decoder": "BPEDecoder ByteFallback ByteLevel CTC Fuse Metaspace Replace Sequence Strip WordPiece",
}
_MOST_BYTES = 64 * 2**20
_MOST_GROWTH = 16
"""How many times its length all Replace and Prepend rules together may make a text: three rules that each put 400
characters for one would make gigabytes of a sentence."""
_MOST_WORD = 1_000
"""Characters of a word that is looked up piece by piece, which takes the cube of it."""
_MOST_PADDING = 16_384
"""Tokens to which a tokenizer may pad every text."""
_COUNTED_FROM_PADDING = """camembert data2vec-text esm ibert longformer mpnet roberta roberta-prelayernorm xlm-roberta
xlm-roberta-xl""".split()
_MOST_LENGTH = 256
"""Tokens of a row when the settings name no length: most texts are shorter, and cost grows with the square."""


def check_tokenizer(path: Path, address: str) -> None:
    """BaseModelError for a tokenizer with a part that is not on the allow-list."""
    if path.stat().st_size > _MOST_BYTES:
        raise BaseModelError(f"base model {address!r}: tokenizer.json is over {_MOST_BYTES:,} bytes")
    try:
        parts = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BaseModelError(f"base model {address!r}: tokenizer.json is not JSON: {error}") from error
    if not isinstance(parts, dict):
        raise BaseModelError(f"base model {address!r}: tokenizer.json holds a {type(parts).__name__}, not an object")
    _check_model(parts.get("model"), address)
    growth = 1
    for name, allowed in _PARTS.items():
        for part in _flat(parts.get(name)):
            _check_kind(part, name, allowed.split(), address)
            growth *= _growth(part)
    if growth > _MOST_GROWTH:
        raise BaseModelError(
            f"base model {address!r}: the rules (Replace, Prepend) of tokenizer.json can make a text {growth:,} times "
            f"as long; at most {_MOST_GROWTH} times is allowed"
        )
    _check_padding(parts.get("padding"), address)


def _check_model(model: Any, address: str) -> None:
    """What makes one text other tokens each time, or one word a matter of minutes."""
    if not isinstance(model, dict):
        return
    if model.get("dropout"):
        raise BaseModelError(
            f"base model {address!r}: tokenizer.json has a dropout of {model['dropout']!r}, with which one text "
            "becomes other tokens each time; set it to null"
        )
    longest = model.get("max_input_chars_per_word")
    if isinstance(longest, int) and longest > _MOST_WORD:
        raise BaseModelError(
            f"base model {address!r}: tokenizer.json reads words of up to {longest:,} characters "
            f"(max_input_chars_per_word); at most {_MOST_WORD:,} are allowed"
        )


def _flat(part: Any) -> list[Any]:
    """A part and, where it is a sequence, the parts in it (a list of its own instead of recursion: depth is theirs)."""
    found, waiting = [], [part] if part is not None else []
    while waiting:
        found.append(waiting.pop())
        for inner in ("normalizers", "pretokenizers", "processors", "decoders"):
            parts = found[-1].get(inner, []) if isinstance(found[-1], dict) else []
            waiting += parts if isinstance(parts, list) else [parts]
    return found


def _check_kind(part: Any, name: str, allowed: list[str], address: str) -> None:
    # Files of some older tokenizers leave out the type of the model.
    kind = part.get("type", "BPE" if name == "model" else None) if isinstance(part, dict) else None
    if kind not in allowed:
        raise BaseModelError(
            f"base model {address!r}: tokenizer.json has the {name} {kind!r}; allowed: {', '.join(allowed)}"
        )


def _growth(part: dict[str, Any]) -> int:
    inserted = {"Replace": part.get("content"), "Prepend": part.get("prepend")}.get(str(part.get("type")))
    return max(len(inserted), 1) if isinstance(inserted, str) else 1


def _check_padding(padding: Any, address: str) -> None:
    strategy = padding.get("strategy") if isinstance(padding, dict) else None
    length = strategy.get("Fixed") if isinstance(strategy, dict) else None
    if isinstance(length, int) and length > _MOST_PADDING:
        raise BaseModelError(
            f"base model {address!r}: tokenizer.json pads every text to {length:,} tokens; "
            f"at most {_MOST_PADDING:,} are allowed"
        )


def check_vocabulary(path: Path, config: dict[str, Any], address: str) -> None:
    """BaseModelError for a file the tokenizer library cannot read, or one that makes ids the model has no row for."""
    try:
        largest_id, largest_type = try_tokenizer(path)
        vocabulary = load_tokenizer(path).get_vocab(with_added_tokens=True)
    except BundleError as error:
        raise BaseModelError(f"base model {address!r}: {error}") from error
    size = config.get("vocab_size")
    token, most = max(vocabulary.items(), key=lambda one: one[1], default=("", -1))
    if isinstance(size, int) and most >= size:
        raise BaseModelError(
            f"base model {address!r}: tokenizer.json gives {token!r} the id {most:,}, but the model's vocabulary has "
            f"{size:,} entries (config.json, vocab_size): they do not belong together"
        )
    if isinstance(size, int) and largest_id >= size:
        raise BaseModelError(
            f"base model {address!r}: tokenizer.json makes the id {largest_id:,} of a text, but the model's "
            f"vocabulary has {size:,} entries (config.json, vocab_size): they do not belong together"
        )
    types = config.get("type_vocab_size")
    if isinstance(types, int) and types > 1 and largest_type >= types:
        raise BaseModelError(
            f"base model {address!r}: tokenizer.json gives the type {largest_type} to a text, but the model knows "
            f"{types} types (config.json, type_vocab_size): they do not belong together"
        )


def padding_of(folder: Path, config: dict[str, Any]) -> Padding:
    """The padding id the tokenizer names, else the configuration's, else 0 (padding is masked in any case)."""
    settings = _tokenizer_config(folder)
    token = settings.get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    found = load_tokenizer(folder / "tokenizer.json").token_to_id(token) if isinstance(token, str) else None
    stated = config.get("pad_token_id")
    if found is None and isinstance(stated, int) and 0 <= stated < config.get("vocab_size", math.inf):
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


def length_limit(folder: Path, config: dict[str, Any]) -> int | None:
    """Tokens the model can read at most, the smaller of what its tokenizer and its position table allow."""
    stated = _tokenizer_config(folder).get("model_max_length")
    positions = config.get("max_position_embeddings") or config.get("n_positions")
    reserved = _reserved(config)
    limits = [stated] if isinstance(stated, int) and 0 < stated < 10**6 else []
    limits += [positions - reserved] if isinstance(positions, int) and positions > 0 else []
    return min(limits, default=None)


def _reserved(config: dict[str, Any]) -> int:
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


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    try:
        value = json.loads((folder / "tokenizer_config.json").read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}

"""What a `tokenizer.json` may hold: parts of an allow-list, and rules that make a text only so much longer.

It is a small program. Running it (`serving/trial/`) shows what it makes of some texts; what a rule would make of a
character that stands in none of them, only the rule itself tells.
"""

import base64
import binascii
import json
import re
from pathlib import Path

from tunewright.serving.errors import BundleError

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
"""How many times its length all rules together may make a text: three that each put 400 characters for one would make
gigabytes of a sentence."""
_UNICODE = 18
"""Characters that Unicode itself makes of one (U+FDFA): a table of characters that does no more is not counted."""
_MAY_BE_EMPTY = re.compile(r"[*?|^$(]|\\[^sSdDwWnrtpPux]|\{[,0]")
"""What lets a pattern match where no character is, or makes it hard to tell: then it puts something beside each."""
_MOST_WORD = 1_000
"""Characters of a word that is looked up piece by piece, which takes the cube of it."""
_MOST_PADDING = 16_384
"""Tokens to which a tokenizer may pad every text."""


def check_tokenizer_file(path: Path) -> None:
    """BundleError for a tokenizer with a part that is not on the allow-list, or rules that grow a text too much."""
    if path.stat().st_size > _MOST_BYTES:
        raise BundleError(f"tokenizer.json is over {_MOST_BYTES:,} bytes")
    try:
        parts = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BundleError(f"tokenizer.json is not JSON: {error}") from error
    if not isinstance(parts, dict):
        raise BundleError(f"tokenizer.json holds a {type(parts).__name__}, not an object")
    _check_model(parts.get("model"))
    growth = 1
    for name, allowed in _PARTS.items():
        for part in _flat(parts.get(name)):
            _check_kind(part, name, allowed.split())
            growth *= _growth(part, name)
    if growth > _MOST_GROWTH:
        raise BundleError(
            f"the rules of tokenizer.json (Replace, Prepend and the like) can make a text {_count(growth)} times as "
            f"long; at most {_MOST_GROWTH} times is allowed"
        )
    _check_padding(parts.get("padding"))


def _count(growth: int) -> str:
    return f"{growth:,}" if growth < 10**12 else "10^12 and more"


def _check_model(model: object) -> None:
    """What makes one text other tokens each time, or one word a matter of minutes."""
    if not isinstance(model, dict):
        return
    if model.get("dropout"):
        raise BundleError(
            f"tokenizer.json has a dropout of {model['dropout']!r}, with which one text becomes other tokens each "
            "time; set it to null"
        )
    longest = model.get("max_input_chars_per_word")
    if isinstance(longest, int) and longest > _MOST_WORD:
        raise BundleError(
            f"tokenizer.json reads words of up to {longest:,} characters (max_input_chars_per_word); at most "
            f"{_MOST_WORD:,} are allowed"
        )


def _flat(part: object) -> list[object]:
    """A part and, where it is a sequence, the parts in it (a list of its own instead of recursion: depth is theirs)."""
    found, waiting = [], [part] if part is not None else []
    while waiting:
        one = waiting.pop()
        found.append(one)
        for inner in ("normalizers", "pretokenizers", "processors", "decoders"):
            parts = one.get(inner, []) if isinstance(one, dict) else []
            waiting += parts if isinstance(parts, list) else [parts]
    return found


def _check_kind(part: object, name: str, allowed: list[str]) -> None:
    # Files of some older tokenizers leave out the type of the model.
    kind = part.get("type", "BPE" if name == "model" else None) if isinstance(part, dict) else None
    if kind not in allowed:
        raise BundleError(f"tokenizer.json has the {name} {kind!r}; allowed: {', '.join(allowed)}")


def _growth(part: object, name: str) -> int:
    """How many times its length this rule can make the worst of texts."""
    match part:
        case {"type": "Replace", "content": str(content), **rest}:
            return len(content) + 1 if _may_be_empty(rest.get("pattern")) else max(len(content), 1)
        case {"type": "Prepend", "prepend": str(content)}:
            return max(len(content), 1)
        case {"type": "Precompiled", "precompiled_charsmap": str(table)}:
            return -(-_longest(table) // _UNICODE)
        case {"type": "TemplateProcessing", **templates}:
            return max(_repeated(templates.get("single")), _repeated(templates.get("pair")))
        case {"type": "BertNormalizer"}:
            return 3  # a blank on both sides of each Chinese character
        case {"type": "ByteLevel"} if name in ("normalizer", "pre_tokenizer"):
            return 2  # bytes beyond ASCII become characters of two bytes
    return 1


def _may_be_empty(pattern: object) -> bool:
    if isinstance(pattern, dict) and isinstance(pattern.get("String"), str):
        return not pattern["String"]
    return not isinstance(pattern, dict) or bool(_MAY_BE_EMPTY.search(str(pattern.get("Regex", "*"))))


def _longest(table: str) -> int:
    """Characters of the longest text that a compiled table puts for something: behind its size and its index, ended by
    zeros."""
    try:
        content = base64.b64decode(table)
    except binascii.Error:
        return 1
    texts = content[4 + int.from_bytes(content[:4], "little") :].split(b"\0")
    return max(1, *(len(text.decode(errors="replace")) for text in texts))


def _repeated(template: object) -> int:
    """How often a template puts the same text."""
    pieces = template if isinstance(template, list) else []
    named = [str(piece["Sequence"]) for piece in pieces if isinstance(piece, dict) and "Sequence" in piece]
    return max((named.count(name) for name in named), default=1)


def _check_padding(padding: object) -> None:
    """Of the two ways to say it: a length, or a multiple to be filled."""
    if not isinstance(padding, dict):
        return
    strategy = padding.get("strategy")
    fixed = strategy.get("Fixed") if isinstance(strategy, dict) else None
    for length in (fixed, padding.get("pad_to_multiple_of")):
        if isinstance(length, int) and length > _MOST_PADDING:
            raise BundleError(
                f"tokenizer.json pads every text to {length:,} tokens; at most {_MOST_PADDING:,} are allowed"
            )

"""A tokenizer on trial: texts of many kinds and lengths are encoded, and what it makes of them decoded."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from tunewright.serving.text.encoding import load_tokenizer
from tunewright.serving.text.tokenizer_file import check_tokenizer_file
from tunewright.serving.trial.verdicts import Verdict

_WORDS = "the cat sat on a mat, 42 times; naïve Ünïcödé 东京都 สวัสดี नमस्ते 👩‍👩‍👧 [MASK] </s> don't a_b\tc\n"
_LENGTHS = (0, 1, 10, 1_000, 100_000)
_MOST_TOKENS_PER_CHARACTER = 8
"""A character is at most four bytes, and some tokenizers mark each byte; more is growth."""
_MOST_DECODED = 16
"""Characters of a decoded text for each of its tokens' own: what rules may make of them."""


def judge(path: str) -> Verdict:
    """The largest id and type it makes, and how many special tokens it adds."""
    check_tokenizer_file(Path(path))
    tokenizer = load_tokenizer(Path(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    made = [_encode(tokenizer, text) for length in _LENGTHS for text in _texts(length)]
    # A model may write what no text is encoded to.
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    _decode(tokenizer, sorted(vocabulary.values()), sum(map(len, vocabulary)))
    largest_id, largest_type = (max(numbers) for numbers in zip(*made, strict=True))
    added = max(tokenizer.num_special_tokens_to_add(pair) for pair in (False, True))
    return {"largest_id": largest_id, "largest_type": largest_type, "added": added}


def _texts(length: int) -> Sequence[str]:
    repeated = (_WORDS * (length // len(_WORDS) + 1))[:length]
    # Words of every length, and one that never ends.
    return repeated, "a" * length, "a " * (length // 2), "é" * length, "\U0001f600" * min(length, 10_000)


def _encode(tokenizer: Tokenizer, text: str) -> tuple[int, int]:
    """The largest id and the largest type in what is made of a text, alone and before another one."""
    largest = (-1, -1)
    for one in (tokenizer.encode(text), tokenizer.encode(text, "b")):
        if len(one) > _MOST_TOKENS_PER_CHARACTER * (len(text) + 1) + 1_000:
            raise ValueError(f"it makes {len(one):,} tokens of {len(text):,} characters")
        _decode(tokenizer, one.ids, sum(map(len, one.tokens)))
        largest = max([largest[0], *one.ids]), max([largest[1], *one.type_ids])
    return largest


def _decode(tokenizer: Tokenizer, ids: Sequence[int], characters: int) -> None:
    written = len(tokenizer.decode(ids, skip_special_tokens=False))
    if written > _MOST_DECODED * (characters + len(ids) + 1_000):
        raise ValueError(f"it makes {written:,} characters of {len(ids):,} tokens when it decodes them")

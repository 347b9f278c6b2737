"""Answers that fit a JSON schema or a regular expression: which tokens may come next.

llguidance reads the grammar and walks the vocabulary; it is imported when the first answer asks for it. It bounds what
callers send by counting its own steps, not by time, so that the same grammar is refused on every machine.

Axes: K rows, V tokens of the vocabulary.
"""

import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tunewright.serving.errors import InputError
from tunewright.serving.generation.settings import Grammar
from tunewright.serving.request.json_text import to_json
from tunewright.serving.runtime.session import Array

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

MOST_CHARACTERS = 1 << 16
"""Of one grammar: a longer one takes seconds to read."""
_MOST_STATES = 20_000
"""Of the automaton that reads the answer's characters, 1 to 2 KB each."""
_MOST_SYMBOLS = 100_000
_FUEL_TO_BEGIN, _FUEL_OF_A_STEP, _ITEMS_OF_A_STEP = 300_000, 100_000, 20_000
"""About 6, 7 and 1 milliseconds."""
_LONGEST_REASON = 200
_BEFORE = 0
"""A token before the one whose text is asked for."""
_SPACE = " ?"
"""Between the parts of JSON. Any amount would let a model write nothing but space."""


class Constraint:
    """One answer, held to its grammar."""

    def __init__(self, matcher: "LLMatcher") -> None:
        self._matcher = matcher

    def apply(self, scores_KV: Array) -> None:
        """Leave only tokens that may follow, in place; InputError where there is none, or it is too dear to know."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        allowed_V = np.zeros(scores_KV.shape[1], bool)
        known_V: NDArray[np.bool_] = np.unpackbits(bits, bitorder="little").astype(bool)[: len(allowed_V)]
        allowed_V[: len(known_V)] = known_V
        scores_KV[:, ~allowed_V] = -np.inf

    def accept(self, token: int) -> bool:
        """Go on with this token; whether the answer is whole and nothing may follow."""
        self._matcher.consume_token(token)
        self._check()
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise InputError(f"parameter 'grammar' cannot be kept to: {_said(self._matcher.get_error())}")


class Grammars:
    """The grammars of one tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        self._read: dict[tuple[int, ...], LLTokenizer] = {}

    def constraint(self, grammar: Grammar, eos: tuple[int, ...]) -> Constraint:
        """What holds an answer to the grammar; InputError for one that is wrong or too dear. `eos`: what may end it."""
        try:
            from llguidance import LLMatcher, LLParserLimits
        except ImportError as error:
            raise InputError("parameter 'grammar' needs the package llguidance, which this server lacks") from error
        limits = LLParserLimits(
            initial_lexer_fuel=_FUEL_TO_BEGIN,
            step_lexer_fuel=_FUEL_OF_A_STEP,
            step_max_items=_ITEMS_OF_A_STEP,
            max_lexer_states=_MOST_STATES,
            max_grammar_size=_MOST_SYMBOLS,
            verbose_errors=False,
        )
        matcher = LLMatcher(self._known(eos), _source(grammar), log_level=0, limits=limits)
        if matcher.is_error():
            raise InputError(
                f"parameter 'grammar' is no {grammar.type} that can be kept to: {_said(matcher.get_error())}"
            )
        return Constraint(matcher)

    def _known(self, eos: tuple[int, ...]) -> "LLTokenizer":
        from llguidance import LLTokenizer, TokenizerWrapper

        with self._lock:
            if eos not in self._read:
                # Those that end answers are nearly always the same.
                self._read.clear()
                ends = list(eos) or None
                try:
                    self._read[eos] = LLTokenizer(self._tokenizer.to_str(), eos_token=ends)
                except ValueError:
                    # It reads the files of tokenizers of bytes alone.
                    self._read[eos] = LLTokenizer(TokenizerWrapper(_Vocabulary(self._tokenizer)), eos_token=ends)
            return self._read[eos]


class _Vocabulary:
    """What any tokenizer's tokens are as bytes, as llguidance asks for them."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer) -> None:
        size = tokenizer.get_vocab_size(with_added_tokens=True)
        special = {id for id, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        # Behind another token, or some decoders would take the space of a first word away.
        before = len(tokenizer.decode([_BEFORE, _BEFORE], skip_special_tokens=False))
        texts = tokenizer.decode_batch([[_BEFORE, _BEFORE, id] for id in range(size)], skip_special_tokens=False)
        self.tokens = [b"" if id in special else text[before:].encode() for id, text in enumerate(texts)]
        self.special_token_ids = sorted(special)
        self.eos_token_id = self.special_token_ids[0] if special else 0
        self._ids = {token: id for id, token in reversed(list(enumerate(self.tokens))) if token}
        self._longest = max(map(len, self._ids))

    def __call__(self, text: bytes) -> list[int]:
        """The longest tokens one after another; the tokenizer itself would put a space before them."""
        ids: list[int] = []
        while text:
            sizes = range(min(self._longest, len(text)), 0, -1)
            size = next((size for size in sizes if text[:size] in self._ids), None)
            if size is None:
                return ids
            ids.append(self._ids[text[:size]])
            text = text[size:]
        return ids


def _source(grammar: Grammar) -> str:
    """The grammar in llguidance's own words; InputError for one that is too long or no JSON."""
    from llguidance import LLMatcher

    try:
        text = grammar.value if isinstance(grammar.value, str) else to_json(grammar.value).decode()
        made = (
            LLMatcher.grammar_from_regex(text)
            if grammar.type == "regex"
            else LLMatcher.grammar_from_json_schema(text, defaults={"whitespace_pattern": _SPACE})
        )
    except (ValueError, RecursionError) as error:
        kind = "regex" if grammar.type == "regex" else "JSON schema"
        raise InputError(f"parameter 'grammar' is no {kind}: {_said(str(error))}") from error
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"parameter 'grammar' has {len(text):,} characters; at most {MOST_CHARACTERS:,}")
    return made


def _said(sentence: str) -> str:
    """The first line of what llguidance says, within bounds."""
    line = next((line.strip() for line in sentence.splitlines() if line.strip()), "no reason was given")
    return line if len(line) <= _LONGEST_REASON else line[:_LONGEST_REASON] + "..."

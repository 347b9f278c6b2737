"""Token ids to text while they come: pieces that joined are the text of all ids at once.

Not by the library's own DecodeStream: where a byte token spoils the characters before it, as a model is free to write,
it raises "Invalid prefix encountered".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tokenizers import Tokenizer

if TYPE_CHECKING:  # protocols know pieces and tokens, too, where nothing is written
    from tunewright.serving.generation.writing import Likelihood

_REPLACEMENT = "\ufffd"
"""What a decoder writes where bytes are not, or not yet, a character."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an answer, as a caller is told of it."""

    id: int
    text: str
    logprob: float
    special: bool
    top: tuple["Token", ...] = ()
    """The likeliest tokens at its place."""


class Piece(str):
    """A text that an answer goes on with. To who wants more it also says which tokens are in it."""

    ids: tuple[int, ...]
    """The tokens since the last piece; none of them may have a text yet, and none is the text of the last piece."""
    tokens: tuple[Token, ...]
    """The same, where the request asked for details; not of a beam search."""

    def __new__(cls, text: str, ids: Sequence[int] = (), tokens: Sequence[Token] = ()) -> Self:
        piece = super().__new__(cls, text)
        piece.ids, piece.tokens = tuple(ids), tuple(tokens)
        return piece


class Words:
    """What each token says by itself."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._special = {id for id, token in tokenizer.get_added_tokens_decoder().items() if token.special}

    def tokens(self, ids: Sequence[int], likelihoods: "Sequence[Likelihood]", *, after: Sequence[int]) -> list[Token]:
        """Each with its likelihood. `after`: what stands before them, so that a first word keeps its space."""
        told, before = [], list(after[-1:])
        for id, likelihood in zip(ids, likelihoods, strict=True):
            top = tuple(self._token(one, logprob, before, ()) for one, logprob in likelihood.top)
            told.append(self._token(id, likelihood.logprob, before, top))
            before = [id]
        return told

    def _token(self, id: int, logprob: float, before: list[int], top: tuple[Token, ...]) -> Token:
        alone = len(self._tokenizer.decode(before, skip_special_tokens=False))
        text = self._tokenizer.decode([*before, id], skip_special_tokens=False)[alone:]
        return Token(id, text, logprob, id in self._special, top)


class Detokenizer:
    """One answer's text, piece by piece, without special tokens, the first stop string and all that follows that.

    A piece is held back while a later token could change it: half a character, bytes that stand for a character that
    is not in the vocabulary, what may be the beginning of a stop string.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = (), *, after: Sequence[int] = ()) -> None:
        """`after`: the ids that the answer goes on from, where it does: a first word then keeps its space."""
        self._tokenizer = tokenizer
        self._special = {id for id, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        self._bytes = {tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in range(256)}
        self._stops = tuple(stops)
        self._beginnings = frozenset(stop[:size] for stop in stops for size in range(1, len(stop)))
        self._longest = max(map(len, self._beginnings), default=0)
        self._shown = list(after)
        """The last ids whose text is known, so that the next ones do not stand at the beginning of a text."""
        self._waiting: list[int] = []
        """Ids after those."""
        self._held = ""
        """Text that may be the beginning of a stop string."""
        self._is_stopped = False

    def push(self, ids: Sequence[int]) -> str:
        """The text that is certain now and was not before."""
        return "".join(self._past_stops(self._push(id)) for id in ids if id not in self._special)

    def finish(self) -> str:
        """The text held back, after the last id."""
        piece = self._past_stops(self._text_of_waiting())
        held, self._held, self._waiting = self._held, "", []
        return piece + held

    def _push(self, id: int) -> str:
        self._waiting.append(id)
        # A run of byte tokens is read as a whole: one more may turn all of it into replacement characters.
        if id in self._bytes:
            return ""
        text = self._text_of_waiting()
        if not text or text.endswith(_REPLACEMENT):
            return ""
        self._shown, self._waiting = self._waiting, []
        return text

    def _text_of_waiting(self) -> str:
        before = self._tokenizer.decode(self._shown, skip_special_tokens=False)
        together: str = self._tokenizer.decode(self._shown + self._waiting, skip_special_tokens=False)
        return together[len(before) :]

    def _past_stops(self, piece: str) -> str:
        """What may be shown of a text that goes on with this piece."""
        if self._is_stopped:
            return ""
        text = self._held + piece
        at = first_stop(text, self._stops)
        if at is not None:
            self._is_stopped, self._held = True, ""
            return text[:at]
        sizes = range(min(self._longest, len(text)), 0, -1)
        keep = next((size for size in sizes if text[-size:] in self._beginnings), 0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the first stop string begins in a text; None when there is none."""
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return min(found, default=None)

"""One prompt's answer while it is written: scores of the next token come in, the token to go on with comes out.

Axes: K rows, V tokens of the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tunewright.serving.generation.rules import Rules, narrowed
from tunewright.serving.generation.sequences import Decode, Endings, Finish, Ids, Index, Sequences
from tunewright.serving.generation.settings import GenerationSettings
from tunewright.serving.runtime.runs import require_finite
from tunewright.serving.runtime.session import Array

_ONLY = np.zeros(1, np.intp)
"""The only row."""


@dataclass(frozen=True, slots=True)
class Generated:
    """The answer to one prompt."""

    ids: list[int]
    """Its tokens, the prompt's excluded, an end token included."""
    finish: Finish
    """`eos`: an end token. `stop`: a stop string, which the last tokens hold. `length`: no more tokens were allowed."""


@dataclass(frozen=True, slots=True)
class Following:
    """How an answer goes on."""

    rows_K: Index
    """Which of its rows so far each of its next rows continues."""
    tokens_K: Ids
    """The token that each is continued by."""


class Writing(Protocol):
    """One prompt's answer, by whatever rules. What it raises ends it alone."""

    def advance(self, logits_KV: Array) -> Following | Generated:
        """What follows where the model gave these logits, which may be changed; the answer once it is complete."""


class Line:
    """An answer of one row: each token is the most likely one, or drawn by the row's own generator."""

    def __init__(
        self, beginning: Sequence[int], most: int, settings: GenerationSettings, decode: Decode | None
    ) -> None:
        self._settings = settings
        self._sequences = Sequences(beginning, most)
        self._rules, self._endings = Rules(settings), Endings(settings, decode)
        # Of its own, or its draws would depend on its batch mates.
        self._generator = np.random.default_rng(settings.seed) if settings.do_sample else None

    def advance(self, logits_KV: Array) -> Following | Generated:
        """One more token."""
        require_finite(logits_KV.max(axis=1))
        [scores_V] = self._rules.apply(logits_KV, self._sequences)
        tokens_K = np.array([self._choice(scores_V)], np.int64)
        [finish] = self._endings.of(_ONLY, tokens_K, self._sequences)
        self._sequences.append(tokens_K)
        return Generated(self._sequences.answer(0), finish) if finish else Following(_ONLY, tokens_K)

    def _choice(self, scores_V: Array) -> int:
        if self._generator is None:
            return int(scores_V.argmax())
        scores_V = narrowed(scores_V, self._settings)
        tokens = np.flatnonzero(scores_V > -np.inf)
        weights = np.exp((scores_V[tokens] - scores_V.max()).astype(np.float64))
        upto = np.cumsum(weights)
        place = np.searchsorted(upto, self._generator.random() * upto[-1], side="right")
        return int(tokens[min(int(place), len(tokens) - 1)])

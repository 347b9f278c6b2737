"""One prompt's answer while it is written: scores of the next token come in, the token to go on with comes out.

Axes: K rows, V tokens of the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tunewright.serving.errors import InputError
from tunewright.serving.generation.grammar import Constraint
from tunewright.serving.generation.rules import Rules, highest, narrowed
from tunewright.serving.generation.sequences import Decode, Endings, Finish, Ids, Index, Sequences
from tunewright.serving.generation.settings import GenerationSettings
from tunewright.serving.runtime.runs import require_finite
from tunewright.serving.runtime.scores import log_softmax
from tunewright.serving.runtime.session import Array

_ONLY = np.zeros(1, np.intp)
"""The only row."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """What the model gave a token that was chosen, before any rule."""

    logprob: float
    top: tuple[tuple[int, float], ...]
    """The likeliest tokens at its place, with theirs."""


@dataclass(frozen=True, slots=True)
class Generated:
    """The answer to one prompt."""

    ids: list[int]
    """Its tokens, the prompt's excluded, an end token included."""
    finish: Finish
    """`eos`: an end token, or a grammar that allows no more. `stop`: a stop string, which the last tokens hold.
    `length`: no more tokens were allowed."""
    likelihoods: list[Likelihood] | None = None
    """Of each token, where they were asked for; not of a beam search."""


@dataclass(frozen=True, slots=True)
class Following:
    """How an answer goes on."""

    rows_K: Index
    """Which of its rows so far each of its next rows continues."""
    tokens_K: Ids
    """The token that each is continued by."""
    likelihood: Likelihood | None = None
    """Of the only one, where it was asked for."""


class Writing(Protocol):
    """One prompt's answer, by whatever rules. What it raises ends it alone."""

    def advance(self, logits_KV: Array) -> Following | Generated:
        """What follows where the model gave these logits, which may be changed; the answer once it is complete."""


class Line:
    """An answer of one row: each token is the most likely one, or drawn by the row's own generator."""

    def __init__(
        self,
        beginning: Sequence[int],
        most: int,
        settings: GenerationSettings,
        decode: Decode | None,
        *,
        constraint: Constraint | None = None,
        top: int | None = None,
    ) -> None:
        """`top`: how many of the likeliest tokens are told beside each that is chosen; None: not even that one's."""
        self._settings, self._constraint, self._top = settings, constraint, top
        self._likelihoods: list[Likelihood] = []
        self._sequences = Sequences(beginning, most)
        self._rules, self._endings = Rules(settings), Endings(settings, decode)
        # Of its own, or its draws would depend on its batch mates.
        self._generator = np.random.default_rng(settings.seed) if settings.do_sample else None

    def advance(self, logits_KV: Array) -> Following | Generated:
        """One more token."""
        require_finite(logits_KV.max(axis=1))
        log_V = None if self._top is None else log_softmax(logits_KV[0])
        token = self._choice(self._scores(logits_KV))
        tokens_K = np.array([token], np.int64)
        [finish] = self._endings.of(_ONLY, tokens_K, self._sequences)
        if self._constraint and self._constraint.accept(token):
            finish = finish or "eos"
        self._sequences.append(tokens_K)
        likelihood = None if log_V is None else self._likelihood(log_V, token)
        if finish:
            return Generated(self._sequences.answer(0), finish, None if log_V is None else self._likelihoods)
        return Following(_ONLY, tokens_K, likelihood)

    def _scores(self, logits_KV: Array) -> Array:
        """The logits after all rules."""
        if self._constraint:
            self._constraint.apply(logits_KV)
        scores_V: Array = self._rules.apply(logits_KV, self._sequences)[0]
        if self._constraint and scores_V.max() == -np.inf:
            raise InputError("parameter 'grammar' and the others together leave no token that could follow")
        return scores_V

    def _likelihood(self, log_V: Array, token: int) -> Likelihood:
        top = highest(log_V, self._top) if self._top else ()
        told = Likelihood(float(log_V[token]), tuple((int(one), float(log_V[one])) for one in top))
        self._likelihoods.append(told)
        return told

    def _choice(self, scores_V: Array) -> int:
        if self._generator is None:
            return int(scores_V.argmax())
        scores_V = narrowed(scores_V, self._settings)
        tokens = np.flatnonzero(scores_V > -np.inf)
        weights = np.exp((scores_V[tokens] - scores_V.max()).astype(np.float64))
        upto = np.cumsum(weights)
        place = np.searchsorted(upto, self._generator.random() * upto[-1], side="right")
        return int(tokens[min(int(place), len(tokens) - 1)])

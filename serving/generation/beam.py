"""Beam search as transformers defines it, for one prompt.

Axes: K beams, C candidates, V tokens of the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tunewright.serving.generation.rules import Rules, highest
from tunewright.serving.generation.sequences import Decode, Endings, Finish, Ids, Index, Sequences
from tunewright.serving.generation.settings import GenerationSettings
from tunewright.serving.generation.writing import Following, Generated
from tunewright.serving.runtime.runs import require_finite
from tunewright.serving.runtime.scores import log_softmax
from tunewright.serving.runtime.session import Array

_NEVER = np.float32(-1e9)
"""The log-probability of what is chosen only when there is nothing else."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A complete answer."""

    ids: list[int]
    score: float
    """Its log-probability, divided by its length to the power of the length penalty."""
    finish: Finish


@dataclass(slots=True)
class _Search:
    """What a search has found, and whether it is over."""

    most: int
    """Most tokens of the answer."""
    settings: GenerationSettings
    best: list[Hypothesis] = field(default_factory=list)
    """Complete answers, the best first; no more than beams."""

    def add(self, complete: Sequence[tuple[list[int], Finish, np.float32]]) -> None:
        """Keep those of a step's complete answers, given with their log-probabilities, that are among the best."""
        scored = [Hypothesis(ids, float(self._score(value, len(ids))), finish) for ids, finish, value in complete]
        self.best += [hypothesis for hypothesis in scored if hypothesis.score > _NEVER]
        self.best = sorted(self.best, key=lambda hypothesis: -hypothesis.score)[: self.settings.num_beams]

    def is_over(self, length: int, most_likely: np.float32) -> bool:
        """Whether no better answer is to be expected of rows of this length; `most_likely`: the best of them."""
        if most_likely <= _NEVER or (self._is_full and self.settings.early_stopping is True):
            return True
        far = self.settings.early_stopping == "never" and self.settings.length_penalty > 0
        return self._is_full and not self._score(most_likely, self.most if far else length) > self.best[-1].score

    @property
    def _is_full(self) -> bool:
        return len(self.best) == self.settings.num_beams

    def _score(self, log_probability: np.float32, length: int) -> np.float32:
        return log_probability / np.float32(length**self.settings.length_penalty)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The most likely continuations of the beams, the best first."""

    scores_C: Array
    """Log-probabilities of the whole answers."""
    rows_C: Index
    """The row that each continues."""
    tokens_C: Ids

    def at(self, places: Index) -> "_Candidates":
        """Some of them."""
        return _Candidates(self.scores_C[places], self.rows_C[places], self.tokens_C[places])


class Beams:
    """The best answer to one prompt, searched for: K rows from the first token on."""

    def __init__(
        self, beginning: Sequence[int], most: int, settings: GenerationSettings, decode: Decode | None
    ) -> None:
        self._settings = settings
        self._sequences = Sequences(beginning, most)
        self._rules, self._endings = Rules(settings), Endings(settings, decode)
        self._search = _Search(most, settings)
        self._running_K: Array = np.array([], np.float32)

    def advance(self, logits_KV: Array) -> Following | Generated:
        """Choose the beams that go on, until no better answer is to be expected. The first time there is one row."""
        require_finite(logits_KV.max(axis=1))
        beams, is_first = self._settings.num_beams, not self._running_K.size
        if is_first:
            # All beams begin alike, so that only the first of them counts.
            self._running_K = np.array([0, *[_NEVER] * (beams - 1)], np.float32)
            logits_KV = np.repeat(logits_KV, beams, axis=0)
            self._sequences.take(np.zeros(beams, np.intp))
        log_KV = self._rules.apply(log_softmax(logits_KV), self._sequences)
        count = max(2, 1 + len(self._settings.eos)) * beams
        following = self._following(_most_likely(log_KV + self._running_K[:, None], count))
        if self._search.is_over(self._sequences.new + 1, following.scores_C[0]):
            best = self._search.best[0]
            return Generated(best.ids, best.finish)
        self._running_K = following.scores_C
        self._sequences.take(following.rows_C)
        self._sequences.append(following.tokens_C)
        return Following(np.zeros_like(following.rows_C) if is_first else following.rows_C, following.tokens_C)

    def _following(self, candidates: _Candidates) -> _Candidates:
        """The K best candidates that are not complete; complete ones are left to the search."""
        finishes = self._endings.of(candidates.rows_C, candidates.tokens_C, self._sequences)
        # Of the complete ones only those among the K best count. The other candidates stand by for rows to go on.
        self._search.add(
            [
                (self._ids(candidates, place), finish, candidates.scores_C[place])
                for place, finish in enumerate(finishes[: self._settings.num_beams])
                if finish
            ]
        )
        is_complete_C = np.array([finish is not None for finish in finishes])
        scores_C = candidates.scores_C + np.where(is_complete_C, _NEVER, np.float32(0))
        best_K = np.argsort(-scores_C, kind="stable")[: self._settings.num_beams]
        return _Candidates(scores_C, candidates.rows_C, candidates.tokens_C).at(best_K)

    def _ids(self, candidates: _Candidates, place: int) -> list[int]:
        return [*self._sequences.answer(int(candidates.rows_C[place])), int(candidates.tokens_C[place])]


def _most_likely(log_KV: Array, count: int) -> _Candidates:
    places_C, scores_N = highest(log_KV.ravel(), count), log_KV.ravel()
    vocabulary = log_KV.shape[1]
    return _Candidates(scores_N[places_C], places_C // vocabulary, places_C % vocabulary)

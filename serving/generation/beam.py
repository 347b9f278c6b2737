"""Beam search as transformers defines it.

Axes: P prompts, K beams of each, N = P x K rows, C candidates a prompt, V tokens of the vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tunewright.serving.generation.graph import DecoderState
from tunewright.serving.generation.rules import Rules, highest
from tunewright.serving.generation.sequences import Endings, Finish, Ids, Index, Sequences
from tunewright.serving.generation.settings import GenerationSettings
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
    """The search for the answer to one prompt."""

    prompt: int
    """Its number."""
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
    """The most likely continuations of each prompt's beams, the best first."""

    scores_PC: Array
    """Log-probabilities of the whole answers."""
    rows_PC: Index
    """The row that each continues."""
    tokens_PC: Ids


def beam_search(
    logits_PV: Array,
    state: DecoderState,
    sequences: Sequences,
    rules: Rules,
    endings: Endings,
    settings: GenerationSettings,
) -> Iterator[tuple[int, Hypothesis]]:
    """The best answer to each prompt, with the prompt's number, as soon as its search is over.

    `logits_PV`, `state` and `sequences` come with one row a prompt.
    """
    beams, prompts = settings.num_beams, len(logits_PV)
    searches = [_Search(prompt, int(most), settings) for prompt, most in enumerate(sequences.most)]
    every = np.repeat(np.arange(prompts), beams)
    sequences.take(every)
    state.take(every)
    logits_NV = logits_PV[every]
    # All beams begin alike, so that only the first of them counts.
    running_PK = np.tile(np.array([0, *[_NEVER] * (beams - 1)], np.float32), (prompts, 1))
    while searches:
        require_finite(logits_NV.max(axis=1))
        log_PKV = rules.apply(log_softmax(logits_NV), sequences).reshape(len(searches), beams, -1)
        candidates = _most_likely(log_PKV + running_PK[:, :, None], max(2, 1 + len(settings.eos)) * beams)
        following = _following(searches, candidates, endings, sequences)
        open_ = []
        for place, search in enumerate(searches):
            if search.is_over(sequences.new + 1, following.scores_PC[place, 0]):
                yield search.prompt, search.best[0]
            else:
                open_.append(place)
        searches = [searches[place] for place in open_]
        if searches:
            running_PK = following.scores_PC[open_]
            logits_NV = _feed(state, sequences, following.rows_PC[open_].ravel(), following.tokens_PC[open_].ravel())


def _most_likely(log_PKV: Array, count: int) -> _Candidates:
    prompts, beams, vocabulary = log_PKV.shape
    places_PC = np.stack([highest(log_KV.ravel(), count) for log_KV in log_PKV])
    first_row_P1 = np.arange(prompts)[:, None] * beams
    scores_PC = np.take_along_axis(log_PKV.reshape(prompts, -1), places_PC, axis=1)
    return _Candidates(scores_PC, first_row_P1 + places_PC // vocabulary, places_PC % vocabulary)


def _following(
    searches: Sequence[_Search], candidates: _Candidates, endings: Endings, sequences: Sequences
) -> _Candidates:
    """The K best candidates of each prompt that are not complete; complete ones are left to the searches."""
    prompts, count = candidates.scores_PC.shape
    beams = searches[0].settings.num_beams
    finishes = endings.of(candidates.rows_PC.ravel(), candidates.tokens_PC.ravel(), sequences)
    for place, search in enumerate(searches):
        search.add(_complete(candidates, place, finishes[place * count :][:beams], sequences))
    is_complete_PC = np.array([finish is not None for finish in finishes]).reshape(prompts, count)
    scores_PC = candidates.scores_PC + np.where(is_complete_PC, _NEVER, np.float32(0))
    best_PK = _downwards(scores_PC)[:, :beams]
    return _Candidates(
        np.take_along_axis(scores_PC, best_PK, axis=1),
        np.take_along_axis(candidates.rows_PC, best_PK, axis=1),
        np.take_along_axis(candidates.tokens_PC, best_PK, axis=1),
    )


def _complete(
    candidates: _Candidates, place: int, finishes: Sequence[Finish | None], sequences: Sequences
) -> list[tuple[list[int], Finish, np.float32]]:
    """The complete ones of a prompt's K best candidates. The other candidates only stand by for rows to go on."""
    rows_C, tokens_C, scores_C = (candidates.rows_PC[place], candidates.tokens_PC[place], candidates.scores_PC[place])
    return [
        ([*sequences.answer(rows_C[index]), int(tokens_C[index])], finish, scores_C[index])
        for index, finish in enumerate(finishes)
        if finish
    ]


def _feed(state: DecoderState, sequences: Sequences, parents_N: Index, tokens_N: Ids) -> Array:
    """Let each row be continued by a token, and read that."""
    if not np.array_equal(parents_N, np.arange(len(sequences.most))):
        state.take(parents_N)
        sequences.take(parents_N)
    sequences.append(tokens_N)
    return state.step(tokens_N)


def _downwards(scores: Array) -> Index:
    """Places of the scores of each row, the highest first."""
    return np.argsort(-scores, axis=1, kind="stable")

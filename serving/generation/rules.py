"""What changes the scores of the next token, in the order in which transformers applies it.

Axes: K rows of one prompt, V tokens of the vocabulary.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tunewright.serving.errors import InputError
from tunewright.serving.generation.sequences import Index, Sequences
from tunewright.serving.generation.settings import GenerationSettings
from tunewright.serving.runtime.scores import log_softmax
from tunewright.serving.runtime.session import Array

_BLOCK = 64


class Rules:
    """The rules of a search; those of sampling are in `narrowed`."""

    def __init__(self, settings: GenerationSettings) -> None:
        self._settings = settings
        self._eos = list(settings.eos)

    def apply(self, scores_KV: Array, sequences: Sequences) -> Array:
        """The scores, changed in place; InputError when no token may follow a row."""
        settings = self._settings
        if settings.repetition_penalty != 1.0:
            self._penalise_repetition(scores_KV, sequences)
        if settings.no_repeat_ngram_size:
            self._ban_ngrams(scores_KV, sequences)
        if self._eos and sequences.new < settings.min_new_tokens:
            scores_KV[:, self._eos] = -np.inf
        if settings.forced_bos_token_id is not None and sequences.length == 1:
            _allow_only(scores_KV, [settings.forced_bos_token_id])
        if settings.forced_eos and sequences.most == sequences.new + 1:
            _allow_only(scores_KV, list(settings.forced_eos))
        if settings.no_repeat_ngram_size and (scores_KV.max(axis=1) == -np.inf).any():
            raise InputError(f"no_repeat_ngram_size {settings.no_repeat_ngram_size} leaves no token that could follow")
        return scores_KV

    def _penalise_repetition(self, scores_KV: Array, sequences: Sequences) -> None:
        penalty = self._settings.repetition_penalty
        for index, scores_V in enumerate(scores_KV):
            seen = sequences.row(index)
            values = scores_V[seen]
            scores_V[seen] = np.where(values < 0, values * penalty, values / penalty)

    def _ban_ngrams(self, scores_KV: Array, sequences: Sequences) -> None:
        size = self._settings.no_repeat_ngram_size
        for index, scores_V in enumerate(scores_KV):
            row = sequences.row(index)
            if len(row) >= size:
                ngrams = sliding_window_view(row, size)
                begun = (ngrams[:, :-1] == row[len(row) - size + 1 :]).all(axis=1)
                scores_V[ngrams[begun, -1]] = -np.inf


def check_tokens(settings: GenerationSettings, vocabulary: int) -> None:
    """InputError for a token id that the model does not have. `vocabulary`: V."""
    for name in ("eos_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id"):
        value = getattr(settings, name)
        for token in value if isinstance(value, list) else [value]:
            if token is not None and not 0 <= token < vocabulary:
                raise InputError(f"{name} is {token}, but the model's tokens are 0 to {vocabulary - 1}")


def narrowed(scores_V: Array, settings: GenerationSettings) -> Array:
    """One row's scores after temperature, top-k, top-p and typical-p; what may not be drawn is -inf."""
    if settings.temperature != 1.0:
        scores_V = scores_V / np.float32(settings.temperature)
    if 0 < settings.top_k < len(scores_V):
        least = scores_V[highest(scores_V, settings.top_k)[-1]]
        scores_V = np.where(scores_V < least, np.float32(-np.inf), scores_V)
    if settings.top_p < 1.0:
        scores_V = _within_top_p(scores_V, settings.top_p)
    if settings.typical_p < 1.0:
        scores_V = _within_typical_p(scores_V, settings.typical_p)
    return scores_V


def highest(scores: Array, count: int) -> Index:
    """Places of the highest `count` scores of one axis, the highest first; all places when there are not so many."""
    blocks = len(scores) // _BLOCK
    places = np.arange(len(scores))
    if count <= blocks:
        # Blocks whose highest scores are among the highest hold `count` scores of at least the least of those, and
        # partition is slow on so many numbers.
        tops = scores[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1)
        places = np.flatnonzero(scores >= np.partition(tops, -count)[-count])
    return places[np.argsort(-scores[places], kind="stable")][:count]


def _within_top_p(scores_V: Array, top_p: float) -> Array:
    open_ = np.flatnonzero(scores_V > -np.inf)
    upwards = open_[np.argsort(scores_V[open_], kind="stable")]
    weights = np.exp(scores_V[upwards] - scores_V[upwards[-1]])
    improbable = np.cumsum(weights / weights.sum()) <= 1 - top_p
    improbable[-1] = False
    kept = np.full_like(scores_V, -np.inf)
    kept[upwards[~improbable]] = scores_V[upwards[~improbable]]
    return kept


def _within_typical_p(scores_V: Array, typical_p: float) -> Array:
    """Locally typical sampling (https://arxiv.org/abs/2202.00666)."""
    open_ = np.flatnonzero(scores_V > -np.inf)
    log_p = log_softmax(scores_V[open_])
    surprise = np.abs(-log_p + (np.exp(log_p) * log_p).sum())
    upwards = np.argsort(surprise, kind="stable")
    upto = np.cumsum(np.exp(log_p[upwards]))
    last = min(int((upto < typical_p).sum()), len(open_) - 1)
    kept = np.full_like(scores_V, -np.inf)
    typical = open_[surprise <= surprise[upwards[last]]]
    kept[typical] = scores_V[typical]
    return kept


def _allow_only(scores_KV: Array, tokens: list[int]) -> None:
    scores_KV[:] = -np.inf
    scores_KV[:, tokens] = 0.0

"""Graphs that write one token after another: decoders and encoder-decoders. Rows come, share steps, and go.

Axes: N rows, T tokens fed at once, S tokens in the caches, V tokens of the vocabulary, H hidden size.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from tunewright.serving.errors import BundleError
from tunewright.serving.generation.caches import PRESENT, CacheLayout, Caches, Onnx, Tensor, part, stacked
from tunewright.serving.generation.prefixes import Known
from tunewright.serving.generation.sequences import Ids, Index, left_padded
from tunewright.serving.generation.settings import GenerationSettings
from tunewright.serving.runtime.capacity import Provider
from tunewright.serving.runtime.session import Array, TimeLimit

Prompts = Sequence[Sequence[int]]

_BRANCH = "use_cache_branch"
_DECODER = "decoder_model.onnx"
_OF_ENCODER = "encoder_hidden_states"
_MASK = "encoder_attention_mask"


class DecoderState(Protocol):
    """Answers in progress inside a graph."""

    @property
    def rows(self) -> int:
        """N."""

    def read(self, most: int, limit: TimeLimit | None) -> Array | None:
        """Read on in the prompts, `most` tokens of all rows together; at the end scores `[N, V]` of what follows."""

    def step(self, tokens_N: Ids, limit: TimeLimit | None) -> Array:
        """Feed the token chosen for each row; scores `[N, V]` of the next one."""

    def take(self, rows: Index) -> None:
        """Reorder, repeat or drop rows."""

    def padding(self, other: Self) -> int | None:
        """Tokens of padding in the caches of both once they are joined; None where they cannot share steps."""

    def ahead(self, other: Self) -> int:
        """Steps that the other has to take before both can share them; 0 where that makes no difference."""

    def join(self, other: Self) -> None:
        """Take the rows of another over, behind the own ones."""

    def caches(self, row: int, tokens: int) -> Caches:
        """A copy of those of a row's first tokens."""


class DecoderGraph(Protocol):
    """A loaded model that continues rows of tokens; used by several threads at once."""

    context: int | None
    """Most tokens of a row, its beginning included; None: no bound."""
    vocabulary: int
    """V."""
    bytes_per_token: int
    """What one token takes in the caches."""

    def beginnings(self, prompts: Prompts, settings: GenerationSettings) -> Prompts:
        """What the decoder's rows begin with: the prompts themselves, or one start token each."""

    shares_prefixes: bool
    """Whether a row may go on from what another one read."""

    def start(self, prompts: Prompts, beginnings: Prompts, known: Sequence[Known | None] | None = None) -> DecoderState:
        """Rows of which nothing is read yet but what is known of them."""


class CausalGraph:
    """`model.onnx` of a variant's folder: a decoder that continues the prompt itself."""

    shares_prefixes = True

    def __init__(
        self, folder: Path, *, context: int | None = None, threads: int = 1, provider: Provider = "cpu"
    ) -> None:
        """`context`: most tokens the model's positions reach. `threads`: of one run."""
        self.context = context
        self._onnx = Onnx(folder, "model.onnx", threads, provider)
        self._caches = CacheLayout(self._onnx, first=self._onnx, given=self._onnx)
        self.vocabulary, self.bytes_per_token = self._onnx.vocabulary(), self._caches.bytes_per_token
        self._onnx.check_inputs(["input_ids", "attention_mask", "position_ids"])

    def beginnings(self, prompts: Prompts, settings: GenerationSettings) -> Prompts:
        """The prompts."""
        return prompts

    def start(self, prompts: Prompts, beginnings: Prompts, known: Sequence[Known | None] | None = None) -> DecoderState:
        """The prompts, padded on the left."""
        return _CausalState(self._onnx, self._caches, prompts, known or [None] * len(prompts))

    def scores(self, row: Sequence[int]) -> Array:
        """Scores `[T, V]` of what follows each token of one row, all at once."""
        ids, ones = np.array([row], np.int64), np.ones((1, len(row)), np.int64)
        feed = {"input_ids": ids, "attention_mask": ones, "position_ids": np.arange(len(row))[None]}
        [logits] = self._onnx.run(["logits"], {**feed, **self._caches.empty(1)}, None)
        return np.asarray(logits[0], dtype=np.float32)


class _CausalState:
    def __init__(self, onnx: Onnx, layout: CacheLayout, prompts: Prompts, known: Sequence[Known | None]) -> None:
        self._onnx, self._layout = onnx, layout
        # All rows read as many tokens, so that there is no padding but before their first one.
        pairs = list(zip(prompts, known, strict=True))
        unread = max(len(prompt) - (found.tokens if found else 0) for prompt, found in pairs)
        self._unread_NT = left_padded([prompt[-unread:] for prompt in prompts])
        self._mask_NS = left_padded([[1] * len(prompt) for prompt in prompts])
        """Also of what is not read yet."""
        self._caches = layout.empty(len(prompts))
        if any(len(prompt) > unread for prompt in prompts):
            nothing = Known(0, layout.empty(1))
            rows = [(found or nothing, max(0, len(prompt) - unread)) for prompt, found in pairs]
            for name, axis in layout.axes.items():
                tensors = [part(found.caches[name], axis, slice(tokens)) for found, tokens in rows]
                self._caches[name] = stacked(tensors, axis, left=True)

    @property
    def rows(self) -> int:
        return len(self._mask_NS)

    def read(self, most: int, limit: TimeLimit | None) -> Array | None:
        tokens = max(1, most // self.rows)
        fed_NT, self._unread_NT = self._unread_NT[:, :tokens], self._unread_NT[:, tokens:]
        scores = self._feed(fed_NT, self._mask_NS[:, : self._mask_NS.shape[1] - self._unread_NT.shape[1]], limit)
        return None if self._unread_NT.size else scores

    def step(self, tokens_N: Ids, limit: TimeLimit | None) -> Array:
        self._mask_NS = np.concatenate([self._mask_NS, np.ones((self.rows, 1), np.int64)], axis=1)
        return self._feed(tokens_N[:, None], self._mask_NS, limit)

    def take(self, rows: Index) -> None:
        mask_NS = self._mask_NS[rows]
        # What is padding in all rows that stay goes with the longest that left.
        tokens = slice(int(mask_NS.argmax(axis=1).min()), None)
        self._mask_NS = mask_NS[:, tokens]
        axes = self._layout.axes
        self._caches = {name: part(cache, axes[name], tokens, rows) for name, cache in self._caches.items()}

    def padding(self, other: Self) -> int | None:
        return _padding(self._mask_NS, other._mask_NS)

    def ahead(self, other: Self) -> int:
        return 0

    def join(self, other: Self) -> None:
        self._mask_NS = stacked([self._mask_NS, other._mask_NS], 1, left=True).astype(np.int64, copy=False)
        axes = self._layout.axes
        for name, cache in self._caches.items():
            self._caches[name] = stacked([cache, other._caches[name]], axes[name], left=True)

    def caches(self, row: int, tokens: int) -> Caches:
        first = int(self._mask_NS[row].argmax())
        places, axes = slice(first, first + tokens), self._layout.axes
        return {n: part(cache, axes[n], places, slice(row, row + 1)).copy() for n, cache in self._caches.items()}

    def _feed(self, ids_NT: Ids, mask_NS: Ids, limit: TimeLimit | None) -> Array:
        inputs: dict[str, Tensor] = {"input_ids": ids_NT, "attention_mask": mask_NS}
        if "position_ids" in self._onnx.inputs:
            # Padding has no position of its own; it is masked, so any position that exists will do.
            inputs["position_ids"] = np.maximum(mask_NS.cumsum(axis=1) - 1, 0)[:, -ids_NT.shape[1] :]
        scores, self._caches = self._layout.run(self._onnx, inputs, self._caches, limit)
        return scores


class Seq2SeqGraph:
    """`encoder_model.onnx` and a decoder in a variant's folder.

    The encoder hands out the decoder's caches of the prompts, and `decoder_model.onnx` reads every token. Versions made
    before that have an encoder that hands out its last hidden states, and either `decoder_model_merged.onnx`, which has
    a branch for the first token and one for the others, or `decoder_model.onnx` and `decoder_with_past_model.onnx`.
    """

    shares_prefixes = False

    def __init__(
        self, folder: Path, *, context: int | None = None, threads: int = 1, provider: Provider = "cpu"
    ) -> None:
        """`context`: most tokens the decoder's positions reach. `threads`: of one run."""
        self.context = context
        self._encoder = Onnx(folder, "encoder_model.onnx", threads, provider)
        self._encoder.check_inputs(["input_ids", "attention_mask"])
        self._hands_caches = any(name.startswith(PRESENT) for name in self._encoder.outputs)
        self.first, self.next = self._decoders(folder, threads, provider)
        given = self._encoder if self._hands_caches else self.first
        self.caches = CacheLayout(self.next, first=self.first, given=given)
        self._handed = self.caches.given if self._hands_caches else {_OF_ENCODER: "last_hidden_state"}
        """Inputs of a decoder to the outputs of the encoder that they are."""
        self._encoder.check_outputs(self._handed.values())
        self.vocabulary, self.bytes_per_token = self.next.vocabulary(), self.caches.bytes_per_token
        for decoder in (self.first, self.next):
            decoder.check_inputs(["input_ids", _MASK, _OF_ENCODER, _BRANCH])

    def beginnings(self, prompts: Prompts, settings: GenerationSettings) -> Prompts:
        """One start token for each prompt."""
        if settings.decoder_start_token_id is None:
            raise BundleError("the settings name no decoder_start_token_id, with which an encoder-decoder model begins")
        return [[settings.decoder_start_token_id]] * len(prompts)

    def start(self, prompts: Prompts, beginnings: Prompts, known: Sequence[Known | None] | None = None) -> DecoderState:
        """The prompts, padded on the right."""
        return _Seq2SeqState(self, prompts, beginnings)

    def scores(self, prompt: Sequence[int], row: Sequence[int]) -> Array:
        """Scores `[T, V]` of what follows each token of one row of the decoder, all at once."""
        fixed, caches = self.encode([prompt], None)
        feed = fixed | caches | {"input_ids": np.array([row], np.int64), _BRANCH: np.array([False])}
        [logits] = self.first.run(["logits"], feed, None)
        return np.asarray(logits[0], dtype=np.float32)

    def encode(self, prompts: Prompts, limit: TimeLimit | None) -> tuple[Caches, Caches]:
        """What the decoder is told in every step, and its caches before the first token."""
        width = max(map(len, prompts))
        inputs = {"input_ids": _right_padded(prompts, width), "attention_mask": _mask(prompts, width)}
        handed = dict(zip(self._handed, self._encoder.run([*self._handed.values()], inputs, limit), strict=True))
        fixed: Caches = {_MASK: inputs["attention_mask"]}
        caches = self.caches.empty(len(prompts)) if self.first is self.next else {}
        return (fixed, caches | handed) if self._hands_caches else (fixed | handed, caches)

    def begin(self, fixed: Caches, caches: Caches, ids_NT: Ids, limit: TimeLimit | None) -> tuple[Array, Caches]:
        """Feed the first tokens."""
        feed = fixed | {"input_ids": ids_NT, _BRANCH: np.array([False])}
        return self.caches.run(self.first, feed, caches, limit, growing=self._hands_caches)

    def _decoders(self, folder: Path, threads: int, provider: Provider) -> tuple[Onnx, Onnx]:
        """What reads the first token, and what reads the others."""
        if not self._hands_caches and not (folder / _DECODER).exists():
            one = Onnx(folder, "decoder_model_merged.onnx", threads, provider)
            return one, one
        first = Onnx(folder, _DECODER, threads, provider)
        return first, first if self._hands_caches else Onnx(folder, "decoder_with_past_model.onnx", threads, provider)


class _Seq2SeqState:
    def __init__(self, graph: Seq2SeqGraph, prompts: Prompts, beginnings: Prompts) -> None:
        self._graph, self._prompts = graph, prompts
        self._fed_NT = np.array(beginnings, np.int64)
        self._length = int(self._fed_NT.shape[1])
        """Tokens of every row: a decoder without a mask has no place for padding."""
        self._prompt_N = np.arange(len(prompts))
        self._fixed: Caches = {}
        self._caches: Caches = {}

    @property
    def rows(self) -> int:
        return len(self._prompt_N)

    def read(self, most: int, limit: TimeLimit | None) -> Array | None:
        self._fixed, caches = self._graph.encode(self._prompts, limit)
        scores, self._caches = self._graph.begin(self._fixed, caches, self._fed_NT, limit)
        return scores

    def step(self, tokens_N: Ids, limit: TimeLimit | None) -> Array:
        feed = self._fixed | {"input_ids": tokens_N[:, None], _BRANCH: np.array([True])}
        layout = self._graph.caches
        scores, self._caches = layout.run(self._graph.next, feed, self._caches, limit, growing=True)
        self._length += 1
        return scores

    def take(self, rows: Index) -> None:
        prompts = self._prompt_N[rows]
        # Beams of one prompt share what the encoder said, so that changing places leaves it where it is.
        moved = not np.array_equal(prompts, self._prompt_N)
        self._prompt_N = prompts
        if moved:
            self._fixed = {name: value[rows] for name, value in self._fixed.items()}
        growing = self._graph.caches.growing
        self._caches = {n: cache[rows] if moved or n in growing else cache for n, cache in self._caches.items()}

    def padding(self, other: Self) -> int | None:
        alike = self._length == other._length
        return _padding(self._fixed[_MASK], other._fixed[_MASK]) if alike else None

    def ahead(self, other: Self) -> int:
        return max(0, self._length - other._length)

    def caches(self, row: int, tokens: int) -> Caches:
        raise NotImplementedError("what an encoder reads depends on the whole prompt")

    def join(self, other: Self) -> None:
        self._fixed = {name: stacked([one, other._fixed[name]], 1, left=False) for name, one in self._fixed.items()}
        axes = self._graph.caches.axes
        for name, cache in self._caches.items():
            self._caches[name] = stacked([cache, other._caches[name]], axes[name], left=False)
        self._prompt_N = np.concatenate([self._prompt_N, other._prompt_N + self._prompt_N.max() + 1])


def _right_padded(rows: Prompts, width: int) -> Ids:
    return np.array([[*row, *[0] * (width - len(row))] for row in rows], np.int64)


def _mask(rows: Prompts, width: int) -> Ids:
    return _right_padded([[1] * len(row) for row in rows], width)


def _padding(one: Tensor, other: Tensor) -> int:
    """How many zeros two masks have once they are one."""
    width = max(one.shape[1], other.shape[1])
    return int(width * (len(one) + len(other)) - one.sum() - other.sum())

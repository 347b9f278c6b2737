"""Graphs that write one token after another, with their key/value caches: decoders and encoder-decoders.

Caches are plain numpy arrays, which ONNX Runtime reads in place; its own OrtValues were measured to be no faster on a
CPU, and a beam search has to reorder them.

Axes: N rows, T tokens fed at once, S tokens of an encoder's longest prompt, V tokens of the vocabulary, H hidden size.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tunewright.serving.errors import BundleError
from tunewright.serving.generation.sequences import Ids, Index, left_padded
from tunewright.serving.generation.settings import GenerationSettings
from tunewright.serving.runtime.session import Array, Session, TimeLimit

Prompts = Sequence[Sequence[int]]
Caches = dict[str, NDArray[np.generic]]

_PAST, _PRESENT, _BRANCH = "past_key_values", "present", "use_cache_branch"
_DECODER = "decoder_model.onnx"
_FLOAT = "tensor(float)"


class DecoderState(Protocol):
    """Answers in progress inside a graph."""

    def step(self, tokens_N: Ids) -> Array:
        """Feed the token chosen for each row; scores `[N, V]` of the next one."""

    def take(self, rows: Index) -> None:
        """Reorder, repeat or drop rows."""


class DecoderGraph(Protocol):
    """A loaded model that continues rows of tokens; used by several threads at once."""

    context: int | None
    """Most tokens of a row, its beginning included; None: no bound."""
    vocabulary: int
    """V."""

    def beginnings(self, prompts: Prompts, settings: GenerationSettings) -> Prompts:
        """What the decoder's rows begin with: the prompts themselves, or one start token each."""

    def start(
        self, prompts: Prompts, beginnings: Prompts, *, limit: TimeLimit | None = None
    ) -> tuple[Array, DecoderState]:
        """Read the prompts; scores `[N, V]` of the first new token, and the state after them."""


class CausalGraph:
    """`model.onnx` of a variant's folder: a decoder that continues the prompt itself."""

    def __init__(self, folder: Path, *, context: int | None = None, threads: int = 1) -> None:
        """`context`: most tokens the model's positions reach. `threads`: of one run."""
        self.context = context
        self._onnx = _Onnx(folder, "model.onnx", threads)
        self._caches = _CacheLayout(self._onnx, first=self._onnx, given=self._onnx)
        self.vocabulary = self._onnx.vocabulary()
        self._onnx.check_inputs(["input_ids", "attention_mask", "position_ids"])

    def beginnings(self, prompts: Prompts, settings: GenerationSettings) -> Prompts:
        """The prompts."""
        return prompts

    def start(
        self, prompts: Prompts, beginnings: Prompts, *, limit: TimeLimit | None = None
    ) -> tuple[Array, DecoderState]:
        """Run the prompts, padded on the left."""
        mask = left_padded([[1] * len(prompt) for prompt in prompts])
        state = _CausalState(self._onnx, self._caches, mask, limit)
        return state.advance(left_padded(prompts)), state

    def scores(self, row: Sequence[int]) -> Array:
        """Scores `[T, V]` of what follows each token of one row, all at once."""
        ids, ones = np.array([row], np.int64), np.ones((1, len(row)), np.int64)
        feed = {"input_ids": ids, "attention_mask": ones, "position_ids": np.arange(len(row))[None]}
        [logits] = self._onnx.run(["logits"], {**feed, **self._caches.empty(1)}, None)
        return np.asarray(logits[0], dtype=np.float32)


class _CausalState:
    def __init__(self, onnx: "_Onnx", layout: "_CacheLayout", mask: Ids, limit: TimeLimit | None) -> None:
        self._onnx, self._layout, self._limit = onnx, layout, limit
        self._mask = mask
        self._caches = layout.empty(len(mask))

    def advance(self, ids_NT: Ids) -> Array:
        """Feed tokens, for which the mask has columns already."""
        inputs: dict[str, NDArray[np.generic]] = {"input_ids": ids_NT, "attention_mask": self._mask}
        if "position_ids" in self._onnx.inputs:
            # Padding has no position of its own; it is masked, so any position that exists will do.
            positions = np.maximum(self._mask.cumsum(axis=1) - 1, 0)
            inputs["position_ids"] = positions[:, -ids_NT.shape[1] :]
        scores, self._caches = self._layout.run(self._onnx, inputs, self._caches, self._limit)
        return scores

    def step(self, tokens_N: Ids) -> Array:
        self._mask = np.concatenate([self._mask, np.ones((len(tokens_N), 1), np.int64)], axis=1)
        return self.advance(tokens_N[:, None])

    def take(self, rows: Index) -> None:
        self._mask = self._mask[rows]
        self._caches = {name: cache[rows] for name, cache in self._caches.items()}


class Seq2SeqGraph:
    """`encoder_model.onnx` and a decoder in a variant's folder.

    The encoder hands out the decoder's caches of the prompts, and `decoder_model.onnx` reads every token. Versions made
    before that have an encoder that hands out its last hidden states, and either `decoder_model_merged.onnx`, which has
    a branch for the first token and one for the others, or `decoder_model.onnx` and `decoder_with_past_model.onnx`.
    """

    def __init__(self, folder: Path, *, context: int | None = None, threads: int = 1) -> None:
        """`context`: most tokens the decoder's positions reach. `threads`: of one run."""
        self.context = context
        self._encoder = _Onnx(folder, "encoder_model.onnx", threads)
        self._encoder.check_inputs(["input_ids", "attention_mask"])
        self._hands_caches = any(name.startswith(_PRESENT) for name in self._encoder.outputs)
        self._first, self._next = self._decoders(folder, threads)
        given = self._encoder if self._hands_caches else self._first
        self._caches = _CacheLayout(self._next, first=self._first, given=given)
        self._handed = self._caches.given if self._hands_caches else {"encoder_hidden_states": "last_hidden_state"}
        """Inputs of a decoder to the outputs of the encoder that they are."""
        self._encoder.check_outputs(self._handed.values())
        self.vocabulary = self._next.vocabulary()
        for decoder in (self._first, self._next):
            decoder.check_inputs(["input_ids", "encoder_attention_mask", "encoder_hidden_states", _BRANCH])

    def beginnings(self, prompts: Prompts, settings: GenerationSettings) -> Prompts:
        """One start token for each prompt."""
        if settings.decoder_start_token_id is None:
            raise BundleError("the settings name no decoder_start_token_id, with which an encoder-decoder model begins")
        return [[settings.decoder_start_token_id]] * len(prompts)

    def start(
        self, prompts: Prompts, beginnings: Prompts, *, limit: TimeLimit | None = None
    ) -> tuple[Array, DecoderState]:
        """Encode the prompts, padded on the right, and run the beginnings."""
        fixed, caches = self._read(prompts, limit)
        feed = fixed | {"input_ids": np.array(beginnings, np.int64), _BRANCH: np.array([False])}
        scores, caches = self._caches.run(self._first, feed, caches, limit, growing=self._hands_caches)
        return scores, _Seq2SeqState(self._next, self._caches, fixed, caches, limit)

    def scores(self, prompt: Sequence[int], row: Sequence[int]) -> Array:
        """Scores `[T, V]` of what follows each token of one row of the decoder, all at once."""
        fixed, caches = self._read([prompt], None)
        feed = fixed | caches | {"input_ids": np.array([row], np.int64), _BRANCH: np.array([False])}
        [logits] = self._first.run(["logits"], feed, None)
        return np.asarray(logits[0], dtype=np.float32)

    def _decoders(self, folder: Path, threads: int) -> tuple["_Onnx", "_Onnx"]:
        """What reads the first token, and what reads the others."""
        if not self._hands_caches and not (folder / _DECODER).exists():
            one = _Onnx(folder, "decoder_model_merged.onnx", threads)
            return one, one
        first = _Onnx(folder, _DECODER, threads)
        return first, first if self._hands_caches else _Onnx(folder, "decoder_with_past_model.onnx", threads)

    def _read(self, prompts: Prompts, limit: TimeLimit | None) -> tuple[Caches, Caches]:
        """What the decoder is told in every step, and its caches before the first token."""
        width = max(map(len, prompts))
        inputs = {"input_ids": _right_padded(prompts, width), "attention_mask": _mask(prompts, width)}
        handed = dict(zip(self._handed, self._encoder.run([*self._handed.values()], inputs, limit), strict=True))
        fixed: Caches = {"encoder_attention_mask": inputs["attention_mask"]}
        caches = self._caches.empty(len(prompts)) if self._first is self._next else {}
        return (fixed, caches | handed) if self._hands_caches else (fixed | handed, caches)


class _Seq2SeqState:
    def __init__(
        self, onnx: "_Onnx", layout: "_CacheLayout", fixed: Caches, caches: Caches, limit: TimeLimit | None
    ) -> None:
        self._onnx, self._layout, self._fixed, self._caches, self._limit = onnx, layout, fixed, caches, limit
        self._prompt_N = np.arange(len(fixed["encoder_attention_mask"]))

    def step(self, tokens_N: Ids) -> Array:
        feed = self._fixed | {"input_ids": tokens_N[:, None], _BRANCH: np.array([True])}
        scores, self._caches = self._layout.run(self._onnx, feed, self._caches, self._limit, growing=True)
        return scores

    def take(self, rows: Index) -> None:
        prompts = self._prompt_N[rows]
        # Beams of one prompt share what the encoder said, so that changing places leaves it where it is.
        moved = not np.array_equal(prompts, self._prompt_N)
        self._prompt_N = prompts
        if moved:
            self._fixed = {name: value[rows] for name, value in self._fixed.items()}
        growing = self._layout.growing
        self._caches = {n: cache[rows] if moved or n in growing else cache for n, cache in self._caches.items()}


class _CacheLayout:
    """Which inputs of a decoder are caches, which outputs hold them next, and how they look when empty."""

    def __init__(self, onnx: "_Onnx", *, first: "_Onnx", given: "_Onnx") -> None:
        """`first`: the graph that makes the caches that grow; `given`: the one that makes the others."""
        self.names = [name for name in onnx.inputs if name.startswith(_PAST)]
        if not self.names:
            raise BundleError(f"{onnx.path} has no {_PAST} inputs; export the model for generation with a cache")
        self._presents = {name: _PRESENT + name.removeprefix(_PAST) for name in self.names}
        self.growing = {name for name in self.names if ".encoder." not in name}
        self.given = {name: present for name, present in self._presents.items() if name not in self.growing}
        """Those that hold what a decoder makes of the encoder's output, once."""
        first.check_outputs(["logits", *(self._presents[name] for name in self.names if name in self.growing)])
        given.check_outputs(self.given.values())
        onnx.check_outputs(["logits", *(self._presents[name] for name in self.growing)])
        self._empty = {name: onnx.empty_shape(name) for name in self.names}

    def empty(self, rows: int) -> Caches:
        """Caches of no tokens."""
        return {name: np.zeros((rows, *self._empty[name]), np.float32) for name in self.names}

    def run(
        self,
        onnx: "_Onnx",
        inputs: Mapping[str, NDArray[np.generic]],
        caches: Caches,
        limit: TimeLimit | None,
        *,
        growing: bool = False,
    ) -> tuple[Array, Caches]:
        """Scores `[N, V]` of the next token and the caches after it. `growing`: the other caches stay as they are."""
        names = [name for name in self.names if not growing or name in self.growing]
        logits, *presents = onnx.run(["logits", *(self._presents[name] for name in names)], {**inputs, **caches}, limit)
        # A copy of the last token's scores lets go of those of all tokens of a prompt.
        scores: Array = np.ascontiguousarray(logits[:, -1], dtype=np.float32)
        return scores, {**caches, **dict(zip(names, presents, strict=True))}


class _Onnx:
    """One graph of a variant, its outputs taken by name."""

    def __init__(self, folder: Path, name: str, threads: int) -> None:
        self.path = folder / name
        if not self.path.is_file():
            raise BundleError(f"{folder} holds no {name}, which a model that generates needs")
        self.session = Session(self.path, threads=threads)
        self.inputs = {node.name: node for node in self.session.onnx.get_inputs()}
        self.outputs = {node.name: node for node in self.session.onnx.get_outputs()}

    def check_inputs(self, known: Sequence[str]) -> None:
        """BundleError for an input that is neither known nor a cache, or when there are no input_ids."""
        for name in self.inputs:
            if name not in known and not name.startswith(_PAST):
                raise BundleError(f"{self.path} wants an input {name!r}; known are {', '.join(known)} and {_PAST}.*")
        if "input_ids" not in self.inputs:
            raise BundleError(f"{self.path} has no input 'input_ids'")

    def check_outputs(self, names: Iterable[str]) -> None:
        """BundleError for an output that is missing."""
        for name in names:
            if name not in self.outputs:
                raise BundleError(f"{self.path} has no output {name!r}, which generation needs")

    def vocabulary(self) -> int:
        """How many tokens the logits are of."""
        size = self.outputs["logits"].shape[-1]
        if not isinstance(size, int):
            raise BundleError(f"{self.path} leaves open how many tokens its output 'logits' is of")
        return size

    def empty_shape(self, name: str) -> tuple[int, ...]:
        """Shape of an empty cache, less its first axis, which is the rows; the axis that grows is the open one."""
        shape: list[int | str | None] = self.inputs[name].shape
        inner = [size if isinstance(size, int) else 0 for size in shape[1:]]
        if not shape or isinstance(shape[0], int) or inner.count(0) != 1:
            raise BundleError(f"{self.path} has an input {name!r} of shape {shape}; rows and tokens alone may be open")
        if self.inputs[name].type != _FLOAT:
            raise BundleError(f"{self.path} has an input {name!r} of type {self.inputs[name].type}, not {_FLOAT}")
        return tuple(inner)

    def run(
        self, outputs: Sequence[str], inputs: Mapping[str, NDArray[np.generic]], limit: TimeLimit | None
    ) -> Sequence[NDArray[np.generic]]:
        """The named outputs, of those inputs that the graph has; DeadlineExceeded once the limit is over."""
        feed = {name: value for name, value in inputs.items() if name in self.inputs}
        return self.session.run(feed, outputs=outputs, limit=limit)


def _right_padded(rows: Prompts, width: int) -> Ids:
    return np.array([[*row, *[0] * (width - len(row))] for row in rows], np.int64)


def _mask(rows: Prompts, width: int) -> Ids:
    return _right_padded([[1] * len(row) for row in rows], width)

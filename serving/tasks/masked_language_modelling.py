"""Masked language modelling, answered: the best tokens for each mask in a text, as the `fill-mask` pipeline gives them.

A text with one mask is answered by a list of candidates, a text with several by one such list for each mask.
Axes: T tokens of a row, M masks in it, V tokens of the vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from tunewright.serving.bundle.model_file import ModelFile, read_options
from tunewright.serving.engines.task import Shapes
from tunewright.serving.engines.text import TextEngine
from tunewright.serving.errors import BundleError, InputError, shown
from tunewright.serving.request import schema
from tunewright.serving.request.parameters import check_parameters
from tunewright.serving.request.texts import read_texts
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.runs import require_finite
from tunewright.serving.runtime.scores import scores
from tunewright.serving.runtime.session import Array, TimeLimit
from tunewright.serving.text.encoding import Encoded, Text, load_tokenizer
from tunewright.serving.text.spacing import without_spaces_before_punctuation

_MOST = 1000
"""Candidates of one mask: each is decoded with its whole text."""
_LOGITS_PER_RUN = 1 << 24
"""Logits that one run may make (64 MiB): each token of a row gets one for each token of the vocabulary."""

Candidate = dict[str, str | int | float]
Answer = list[Candidate] | list[list[Candidate]]


class Options(BaseModel):
    """What `model.json` says for this task alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    mask_token: str = Field(min_length=1)
    """What stands in a text for a word to be found."""
    clean_up: bool = False
    """Whether spaces before punctuation are taken out of a decoded text."""


class Parameters(BaseModel):
    """What a caller may set."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    top_k: int = Field(default=5, ge=1, le=_MOST)
    """How many candidates to return for each mask."""
    targets: str | Annotated[list[str], Field(min_length=1, max_length=_MOST)] | None = None
    """Only these words are candidates; of a word that is no token of the vocabulary, its first token."""


def shapes(model: ModelFile) -> Shapes:
    """How requests and answers look for this model."""
    number, text = {"type": "number"}, schema.TEXT
    candidate = schema.closed({"score": number, "token": {"type": "integer"}, "token_str": text, "sequence": text})
    one_mask = schema.list_of(candidate, minItems=1, maxItems=_MOST)
    return Shapes(
        item=schema.text_item(pair=False),
        parameters=schema.schema_of(Parameters),
        answer={"anyOf": [one_mask, schema.list_of(one_mask, minItems=2)]},
        example=f"This product is {read_options(Options, model).mask_token}.",
    )


def read_inputs(inputs: object, model: ModelFile) -> tuple[list[Text], bool]:
    """The texts of a request."""
    return read_texts(inputs, pair=False)


def read_parameters(parameters: Mapping[str, object], model: ModelFile) -> Parameters:
    """Check a caller's parameters."""
    return check_parameters(Parameters, parameters, model.task)


def open_engine(folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> "MaskEngine":
    """Load one variant."""
    return MaskEngine(folder, model, variant, capacity)


@dataclass(frozen=True, slots=True)
class MaskedRow:
    """A text with masks as the model reads it."""

    encoded: Encoded
    places: NDArray[np.intp]
    """Where its M masks are."""
    targets: NDArray[np.int64] | None
    """The only tokens that may stand there; None: any."""

    @property
    def truncated(self) -> bool:
        """Whether the end of the text was left out."""
        return self.encoded.truncated


class MaskEngine:
    """One variant of a bundle whose graph gives logits over the vocabulary at each token."""

    def __init__(self, folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> None:
        options = read_options(Options, model)
        self._tokenizer = load_tokenizer(folder / "tokenizer.json")
        self._tokenizer.no_truncation()
        mask = self._tokenizer.token_to_id(options.mask_token)
        if mask is None:
            raise BundleError(
                f"{folder / 'tokenizer.json'} has no token {options.mask_token!r}, which model.json names"
            )
        most = max(_LOGITS_PER_RUN // self._tokenizer.get_vocab_size(), 1)
        bounded = replace(capacity, tokens_per_run=min(capacity.tokens_per_run, most))
        self.text = TextEngine(folder, model, variant, bounded)
        self.run_size = self.text.run_size
        self._mask: int = mask
        self._model, self._mask_token, self._clean_up = model, options.mask_token, options.clean_up

    def prepare(
        self, inputs: Sequence[Text], parameters: Parameters, *, limit: TimeLimit | None = None, first: int = 0
    ) -> list[MaskedRow]:
        """Tokenize; InputError for a text without a mask."""
        rows = self.text.encoder.encode(inputs, first=first)
        for index, row in enumerate(rows, first):
            if self._mask not in row.ids:
                raise InputError(f"text {index} {self._maskless(row)}")
        targets = self._targets(parameters.targets)
        return [MaskedRow(row, np.flatnonzero(np.array(row.ids) == self._mask), targets) for row in rows]

    def run(self, rows: Sequence[MaskedRow], *, limit: TimeLimit | None = None) -> list[Array]:
        """The logits `[M, V]` at the masks of each row."""
        encoded = [row.encoded for row in rows]
        return self.scores(encoded, lambda index, logits_TV: logits_TV[rows[index].places], limit=limit)

    def estimate(self, one: Text) -> int:
        """Tokens, of which no more are read than the model takes."""
        return min(self.text.estimate(one), self.text.encoder.max_length)

    def parts(self, row: MaskedRow) -> tuple[MaskedRow]:
        """The row."""
        return (row,)

    def size(self, part: MaskedRow) -> int:
        """Its tokens."""
        return len(part.encoded)

    def run_once(self, parts: Sequence[MaskedRow], *, limit: TimeLimit | None = None) -> list[Array]:
        """The logits `[M, V]` at the masks of each row of a run."""
        outputs = self.text.run_once([part.encoded for part in parts], limit=limit, per_token=True)
        return [logits_TV[part.places] for part, logits_TV in zip(parts, outputs, strict=True)]

    def joined(self, row: MaskedRow, outputs: Sequence[Array]) -> Array:
        """Its logits."""
        return outputs[0]

    def answer(self, row: MaskedRow, output: Array, parameters: Parameters) -> Answer:
        """The best tokens for each mask."""
        single, lists = len(row.places) == 1, []
        for place, scores_V in zip(row.places.tolist(), scores(output, "softmax"), strict=True):
            tokens = best(scores_V, parameters.top_k, row.targets)
            lists.append([self._candidate(row.encoded, place, token, scores_V, single=single) for token in tokens])
        return lists[0] if single else lists

    def outputs(self, inputs: Sequence[Text]) -> list[Array]:
        """For each token of a text the logit of that token and the largest logit, `[T, 2]`."""
        rows = self.text.encoder.encode(inputs)
        return self.scores(rows, lambda index, logits_TV: own_and_best(logits_TV, rows[index].ids))

    def scores(
        self, rows: Sequence[Encoded], take: Callable[[int, Array], Array], *, limit: TimeLimit | None = None
    ) -> list[Array]:
        """What `take` keeps, given a row's number, of its logits `[T, V]`; ModelFault for one that is not finite."""

        def kept(index: int, logits_TV: Array) -> Array:
            found = take(index, logits_TV)
            require_finite(found)
            return found

        return self.text.run(rows, limit=limit, per_token=True, take=kept)

    def close(self) -> None:
        """End the threads."""
        self.text.close()

    def _maskless(self, row: Encoded) -> str:
        if row.truncated:
            return (
                f"has no mask {self._mask_token!r} among its first {self._model.max_length} tokens, "
                "which are all that this model reads"
            )
        return f"has no mask: put {self._mask_token!r} where a word is to be found"

    def _targets(self, words: str | list[str] | None) -> NDArray[np.int64] | None:
        """The token of each word, each once; a word that is not in the vocabulary stands for its first token."""
        if words is None:
            return None
        found: set[int] = set()
        for word in [words] if isinstance(words, str) else words:
            token = self._tokenizer.token_to_id(word)
            pieces = [token] if token is not None else self._tokenizer.encode(word, add_special_tokens=False).ids
            if not pieces:
                raise InputError(f"parameter 'targets' holds {shown(word)}, of which the tokenizer makes no token")
            found.add(pieces[0])
        return np.array(sorted(found), dtype=np.int64)

    def _candidate(self, row: Encoded, place: int, token: int, scores_V: Array, *, single: bool) -> Candidate:
        filled = [*row.ids[:place], token, *row.ids[place + 1 :]]
        # Of several masks the others are special tokens too, and shall stay.
        text = [one for one in filled if one != self._model.padding.id]
        return {
            "score": float(scores_V[token]),
            "token": token,
            "token_str": self._decoded([token], skip_special=False),
            "sequence": self._decoded(text, skip_special=single),
        }

    def _decoded(self, tokens: list[int], *, skip_special: bool) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=skip_special)
        return without_spaces_before_punctuation(text) if self._clean_up else text


def own_and_best(logits_TV: Array, ids: Sequence[int]) -> Array:
    """The logit of each token of a row and the largest logit at its place, `[T, 2]`: few numbers that move with any."""
    return np.stack([logits_TV[np.arange(len(ids)), ids], logits_TV.max(axis=-1)], axis=-1)


def best(scores_V: Array, count: int, among: NDArray[np.int64] | None = None) -> list[int]:
    """The tokens of the largest scores, the largest first, equal ones in their order. `among`: no others than these."""
    some_V = scores_V if among is None else scores_V[among]
    count = min(count, len(some_V))
    places = np.argpartition(-some_V, count - 1)[:count]
    places = places[np.lexsort((places, -some_V[places]))]
    found: list[int] = (places if among is None else among[places]).tolist()
    return found

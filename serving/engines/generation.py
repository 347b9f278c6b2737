"""Prompts of tokens through a decoder graph, in batches of like length, several batches at once.

Axes: T tokens of a row, V tokens of the vocabulary, K of them that are compared.
"""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.generation.detokenizer import Detokenizer
from tunewright.serving.generation.graph import DecoderGraph
from tunewright.serving.generation.loop import Generated, generate
from tunewright.serving.generation.sequences import Finish, OnText
from tunewright.serving.generation.settings import GenerationSettings
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.runs import plan_runs
from tunewright.serving.runtime.scores import log_softmax
from tunewright.serving.runtime.session import Array, TimeLimit
from tunewright.serving.runtime.workers import Workers

_COMPARED = 64
"""Tokens of the vocabulary whose log-probabilities are compared."""
_SETTINGS = set(GenerationSettings.model_fields)
"""What the graph is run with, of the parameters of a task that may have more."""

Graph = TypeVar("Graph", bound=DecoderGraph)
Scored = TypeVar("Scored")
Taken = TypeVar("Taken")


class Prompted(Protocol):
    """A row that is gone on with, and how: what is written depends on its request's settings from the first token."""

    @property
    def ids(self) -> list[int]:
        """The tokens of the prompt."""

    @property
    def settings(self) -> GenerationSettings:
        """How the answer is written."""


class GenerationEngine(Generic[Graph]):
    """A graph that writes, and the tokenizer that reads what it wrote."""

    def __init__(self, graph: Graph, tokenizer: Tokenizer, model: ModelFile, variant: str, capacity: Capacity) -> None:
        self.graph = graph
        self._tokenizer = tokenizer
        self._tokens_per_run = capacity.tokens_per_run if model.variants[variant].batching == "padded" else 0
        self._workers = Workers(capacity)

    def write(self, rows: Sequence[Prompted], *, limit: TimeLimit | None = None) -> list[Generated]:
        """The answer to each row, in their order. Those of the same settings share runs, whoever asked."""
        found: dict[int, Generated] = {}

        def one_run(indices: Sequence[int]) -> None:
            prompts, settings = [rows[index].ids for index in indices], rows[indices[0]].settings
            answers = generate(self.graph, prompts, settings, decode=self._decode, limit=limit)
            found.update(zip(indices, answers, strict=True))

        self._workers.each(one_run, self._plan(rows))
        return [found[index] for index in range(len(rows))]

    def stream(
        self, row: Prompted, on_text: OnText, *, after: Sequence[int] = (), limit: TimeLimit | None = None
    ) -> Finish:
        """Write the answer to one row, piece by piece; beams at once, when the best is known.

        `after`: what of the prompt stands before the answer in one text.
        """
        text = Detokenizer(self._tokenizer, row.settings.stops, after=after)

        def tell(piece: str) -> None:
            if piece:
                on_text(piece)

        (answer,) = generate(
            self.graph,
            [row.ids],
            row.settings,
            decode=self._decode,
            limit=limit,
            on_tokens=lambda _, ids: tell(text.push(ids)),
        )
        tell(text.finish())
        return answer.finish

    def outputs(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings) -> list[Array]:
        """For each prompt `[2, K]` log-probabilities: of the first new token, and of the one after `probe(prompt)`.

        The first comes from the prompt, the second from the cache; an answer itself would hang on single bits.
        """
        return self._workers.each(lambda prompt: self._outputs(prompt, settings), prompts)

    def scores(
        self, rows: Sequence[Scored], of: Callable[[Scored], Array], take: Callable[[int, Array], Taken]
    ) -> list[Taken]:
        """What `take` keeps, given a row's number, of the scores `[T, V]` that the graph gives `of` the row."""
        return self._workers.each(lambda number: take(number, of(rows[number])), range(len(rows)))

    def close(self) -> None:
        """End the threads; runs in flight finish first."""
        self._workers.close()

    def _plan(self, rows: Sequence[Prompted]) -> list[list[int]]:
        """Row indices of each run."""
        alike: dict[str, list[int]] = {}
        for index, row in enumerate(rows):
            alike.setdefault(row.settings.model_dump_json(include=_SETTINGS), []).append(index)
        plan = []
        for indices in alike.values():
            tokens = self._tokens_per_run // rows[indices[0]].settings.num_beams
            runs = plan_runs([len(rows[index].ids) for index in indices], tokens)
            plan += [[indices[place] for place in run] for run in runs]
        return plan

    def _outputs(self, prompt: Sequence[int], settings: GenerationSettings) -> Array:
        first_1V, state = self.graph.start([prompt], self.graph.beginnings([prompt], settings))
        second_1V = state.step(np.array([probe(prompt, first_1V.shape[1])], np.int64))
        return compared(np.concatenate([first_1V, second_1V]))

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text


def probe(prompt: Sequence[int], vocabulary: int) -> int:
    """The token with which a prompt is gone on with to compare two programs: its first one."""
    return prompt[0] % vocabulary


def compared(logits_NV: Array) -> Array:
    """Log-probabilities `[N, K]` of tokens spread evenly over the vocabulary. Each depends on all logits of its row."""
    log_NV = log_softmax(logits_NV.astype(np.float64))
    vocabulary = logits_NV.shape[-1]
    places: NDArray[np.int64] = np.linspace(0, vocabulary - 1, min(vocabulary, _COMPARED)).astype(np.int64)
    return np.asarray(log_NV[:, places], dtype=np.float32)

"""Prompts of tokens through a decoder graph: whoever asks, all that are being written share each step.

Axes: T tokens of a row, V tokens of the vocabulary, K of them that are compared.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.generation.detokenizer import Detokenizer, Piece, Token, Words
from tunewright.serving.generation.grammar import Grammars
from tunewright.serving.generation.graph import DecoderGraph
from tunewright.serving.generation.loop import Ask, Call, Loop
from tunewright.serving.generation.sequences import Finish, OnText
from tunewright.serving.generation.settings import CallerSettings, GenerationSettings
from tunewright.serving.generation.writing import Generated, Likelihood
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.scores import log_softmax
from tunewright.serving.runtime.session import Array, TimeLimit
from tunewright.serving.runtime.workers import Workers

_COMPARED = 64
"""Tokens of the vocabulary whose log-probabilities are compared."""

Graph = TypeVar("Graph", bound=DecoderGraph)
Scored = TypeVar("Scored")
Taken = TypeVar("Taken")


class Prompted(Protocol):
    """A row that is gone on with, and how: what is written depends on its request's settings from the first token."""

    @property
    def ids(self) -> list[int]:
        """The tokens of the prompt."""

    @property
    def settings(self) -> CallerSettings:
        """How the answer is written."""

    @property
    def top(self) -> int | None:
        """How many of the likeliest tokens are told at each place; None: no token is told."""


class GenerationEngine(Generic[Graph]):
    """A graph that writes, and the tokenizer that reads what it wrote. One thread takes the steps of all answers."""

    def __init__(self, graph: Graph, tokenizer: Tokenizer, model: ModelFile, variant: str, capacity: Capacity) -> None:
        """`graph`: opened with all threads that a step may take."""
        self.graph = graph
        self._tokenizer = tokenizer
        alone = model.variants[variant].batching != "padded"
        self._loop = Loop(graph, decode=self._decode, tokens_per_run=0 if alone else capacity.tokens_per_run)
        self._grammars, self._words = Grammars(tokenizer), Words(tokenizer)
        self._workers = Workers(capacity)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._lock = threading.Lock()
        self._is_writing = False

    def write(self, rows: Sequence[Prompted], *, limit: TimeLimit | None = None) -> list[Generated]:
        """The answer to each row, in their order."""
        ended: SimpleQueue[tuple[int, Generated | Exception]] = SimpleQueue()

        def ask(index: int, row: Prompted, call: Call) -> Ask:
            return self._ask(row, call, lambda result: ended.put((index, result)))

        found: dict[int, Generated] = {}
        with self._asking(limit) as call:
            self._put([ask(index, row, call) for index, row in enumerate(rows)])
            for _ in rows:
                index, result = ended.get()
                found[index] = _whole(result)
        return [found[index] for index in range(len(rows))]

    def stream(
        self, row: Prompted, on_text: OnText, *, after: Sequence[int] = (), limit: TimeLimit | None = None
    ) -> Finish:
        """Write the answer to one row, piece by piece; beams at once, when the best is known.

        Each is a `Piece`; the last one may have no text where tokens are told. `after`: what of the prompt stands
        before the answer in one text.
        """
        text = Detokenizer(self._tokenizer, row.settings.stops, after=after)
        heard: SimpleQueue[tuple[Sequence[int], Sequence[Likelihood]] | Generated | Exception] = SimpleQueue()
        ids: list[int] = []
        tokens: list[Token] = []
        last = after

        with self._asking(limit) as call:
            self._put([self._ask(row, call, heard.put, lambda *told: heard.put(told))])
            # In this thread: no answer waits for the words of another, nor for who reads them.
            while isinstance(told := heard.get(), tuple):
                ids += told[0]
                tokens += self.tokens(*told, after=last)
                last = told[0]
                if piece := text.push(told[0]):
                    on_text(Piece(piece, ids, tokens))
                    ids, tokens = [], []
            answer = _whole(told)
        if (piece := text.finish()) or tokens:
            on_text(Piece(piece, ids, tokens))
        return answer.finish

    def tokens(
        self, ids: Sequence[int], likelihoods: Sequence[Likelihood] | None, *, after: Sequence[int] = ()
    ) -> list[Token]:
        """What callers are told of the tokens of an answer; nothing where their likelihoods were not asked for."""
        return self._words.tokens(ids, likelihoods, after=after) if likelihoods else []

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
        """End the threads; what is being written is finished first."""
        self._writer.shutdown(wait=True)
        self._workers.close()

    @contextmanager
    def _asking(self, limit: TimeLimit | None) -> Iterator[Call]:
        """Who waits in here; whatever ends that, nothing more is written for them."""
        call = Call(limit)
        try:
            yield call
        finally:
            call.is_left = True

    def _ask(
        self,
        row: Prompted,
        call: Call,
        end: Callable[[Generated | Exception], None],
        tell: Callable[[Sequence[int], Sequence[Likelihood]], None] | None = None,
    ) -> Ask:
        grammar, eos = row.settings.grammar, row.settings.eos
        constraint = self._grammars.constraint(grammar, eos) if grammar else None
        return Ask(row.ids, row.settings, call, end, tell, constraint, row.top)

    def _put(self, asks: Sequence[Ask]) -> None:
        self._loop.put(asks)
        with self._lock:
            if not self._is_writing:
                self._is_writing = True
                self._writer.submit(self._write)

    def _write(self) -> None:
        """Take steps until there is nothing to write."""
        while True:
            try:
                self._loop.turn()
            except Exception as error:
                # Nobody shall wait for ever for what no step will bring.
                self._loop.fail(error)
            with self._lock:
                if self._loop.is_idle:
                    self._is_writing = False
                    return

    def _outputs(self, prompt: Sequence[int], settings: GenerationSettings) -> Array:
        state = self.graph.start([prompt], self.graph.beginnings([prompt], settings))
        first_1V = state.read(len(prompt), None)
        assert first_1V is not None
        second_1V = state.step(np.array([probe(prompt, first_1V.shape[1])], np.int64), None)
        return compared(np.concatenate([first_1V, second_1V]))

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text


def _whole(result: Generated | Exception) -> Generated:
    if isinstance(result, Exception):
        raise result
    return result


def probe(prompt: Sequence[int], vocabulary: int) -> int:
    """The token with which a prompt is gone on with to compare two programs: its first one."""
    return prompt[0] % vocabulary


def compared(logits_NV: Array) -> Array:
    """Log-probabilities `[N, K]` of tokens spread evenly over the vocabulary. Each depends on all logits of its row."""
    log_NV = log_softmax(logits_NV.astype(np.float64))
    vocabulary = logits_NV.shape[-1]
    places: NDArray[np.int64] = np.linspace(0, vocabulary - 1, min(vocabulary, _COMPARED)).astype(np.int64)
    return np.asarray(log_NV[:, places], dtype=np.float32)

"""Prompts of tokens through a decoder graph, in batches of like length, several batches at once.

Axes: V tokens of the vocabulary, K of them that are compared.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.generation.detokenizer import Detokenizer
from tunewright.serving.generation.graph import DecoderGraph
from tunewright.serving.generation.loop import Generated, generate
from tunewright.serving.generation.settings import GenerationSettings
from tunewright.serving.generation.written import Finish, OnText
from tunewright.serving.runtime.capacity import Capacity, available_cpus
from tunewright.serving.runtime.runs import plan_runs
from tunewright.serving.runtime.scores import log_softmax
from tunewright.serving.runtime.session import Array, TimeLimit

_COMPARED = 64
"""Tokens of the vocabulary whose log-probabilities are compared."""

Graph = TypeVar("Graph", bound=DecoderGraph)


class GenerationEngine(Generic[Graph]):
    """A graph that writes, and the tokenizer that reads what it wrote."""

    def __init__(self, graph: Graph, tokenizer: Tokenizer, model: ModelFile, variant: str, capacity: Capacity) -> None:
        self.graph = graph
        self._tokenizer = tokenizer
        self._tokens_per_run = capacity.tokens_per_run if model.variants[variant].batching == "padded" else 0
        # One thread a run and several runs at once, as for all texts.
        self.pool = ThreadPoolExecutor(capacity.threads or available_cpus(), thread_name_prefix="predictor")

    def write(
        self, prompts: Sequence[Sequence[int]], settings: GenerationSettings, *, limit: TimeLimit | None = None
    ) -> list[Generated]:
        """The answer to each prompt, in their order."""
        found: dict[int, Generated] = {}

        def one_run(indices: list[int]) -> None:
            answers = generate(
                self.graph, [prompts[index] for index in indices], settings, decode=self._decode, limit=limit
            )
            found.update(zip(indices, answers, strict=True))

        plan = plan_runs([len(prompt) for prompt in prompts], self._tokens_per_run // settings.num_beams)
        if len(plan) == 1:
            one_run(plan[0])
        else:
            list(self.pool.map(one_run, plan))
        return [found[index] for index in range(len(prompts))]

    def stream(
        self,
        prompt: Sequence[int],
        settings: GenerationSettings,
        on_text: OnText,
        *,
        after: Sequence[int] = (),
        limit: TimeLimit | None = None,
    ) -> Finish:
        """Write the answer to one prompt, piece by piece; beams at once, when the best is known.

        `after`: what of the prompt stands before the answer in one text.
        """
        text = Detokenizer(self._tokenizer, settings.stops, after=after)

        def tell(piece: str) -> None:
            if piece:
                on_text(piece)

        (answer,) = generate(
            self.graph,
            [prompt],
            settings,
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
        return list(self.pool.map(lambda prompt: self._outputs(prompt, settings), prompts))

    def close(self) -> None:
        """End the threads; runs in flight finish first."""
        self.pool.shutdown(wait=True)

    def _outputs(self, prompt: Sequence[int], settings: GenerationSettings) -> Array:
        first_1V, rows = self.graph.start([prompt], self.graph.beginnings([prompt], settings))
        second_1V = rows.step(np.array([probe(prompt, first_1V.shape[1])], np.int64))
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

"""Prompts of tokens to answers of tokens, by any decoder graph: greedy, beam search or sampling, as transformers does.

One call is one batch; who calls decides how much fits into it. A row's answer does not depend on its batch mates:
unlike in transformers, the rules never see padding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tunewright.serving.errors import InputError
from tunewright.serving.generation.beam import beam_search
from tunewright.serving.generation.graph import DecoderGraph, DecoderState, Prompts
from tunewright.serving.generation.rules import Rules, check_tokens, narrowed
from tunewright.serving.generation.sequences import Decode, Endings, Finish, Ids, Sequences
from tunewright.serving.generation.settings import GenerationSettings
from tunewright.serving.runtime.runs import require_finite
from tunewright.serving.runtime.session import Array, TimeLimit

OnTokens = Callable[[int, Sequence[int]], None]
"""Called with a prompt's number and the tokens its answer goes on with. What it raises ends the generation."""


@dataclass(frozen=True, slots=True)
class Generated:
    """The answer to one prompt."""

    ids: list[int]
    """Its tokens, the prompt's excluded, an end token included."""
    finish: Finish
    """`eos`: an end token. `stop`: a stop string, which the last tokens hold. `length`: no more tokens were allowed."""


def generate(
    graph: DecoderGraph,
    prompts: Prompts,
    settings: GenerationSettings,
    *,
    decode: Decode | None = None,
    limit: TimeLimit | None = None,
    on_tokens: OnTokens | None = None,
) -> list[Generated]:
    """One answer per prompt.

    `decode`: ids to text, needed with stop strings. `on_tokens`: hears of each token at once, of beams' at the end.
    InputError for a prompt that is empty or fills the context, DeadlineExceeded once the limit is over.
    """
    for index, prompt in enumerate(prompts):
        if not prompt:
            raise InputError(f"prompt {index} is empty: the model has no token to go on from")
    if not prompts:
        return []
    check_tokens(settings, graph.vocabulary)
    beginnings = graph.beginnings(prompts, settings)
    sequences = Sequences(beginnings, _most(graph, beginnings, settings))
    endings = Endings(settings, decode)
    logits, state = graph.start(prompts, beginnings, limit=limit)
    rules = Rules(settings)
    answers: dict[int, Generated] = {}
    if settings.num_beams > 1:
        for index, best in beam_search(logits, state, sequences, rules, endings, settings):
            answers[index] = Generated(best.ids, best.finish)
            if on_tokens:
                on_tokens(index, best.ids)
    else:
        choice = _Choice(settings, len(prompts))
        answers = _write(logits, state, sequences, rules, endings, choice, on_tokens or _nobody)
    return [answers[index] for index in range(len(prompts))]


def _most(graph: DecoderGraph, beginnings: Prompts, settings: GenerationSettings) -> list[int]:
    """How many tokens each answer may have."""
    if graph.context is None:
        return [settings.max_new_tokens] * len(beginnings)
    for index, beginning in enumerate(beginnings):
        if len(beginning) >= graph.context:
            raise InputError(
                f"prompt {index} has {len(beginning)} tokens, which leaves no room for an answer: "
                f"together they may have {graph.context}"
            )
    return [min(settings.max_new_tokens, graph.context - len(beginning)) for beginning in beginnings]


class _Choice:
    """Picks the next token of each row: the most likely one, or one drawn by the row's own generator."""

    def __init__(self, settings: GenerationSettings, prompts: int) -> None:
        self._settings = settings
        # One generator a row, or a row's draws would depend on its batch mates.
        self._generators = [np.random.default_rng(settings.seed) for _ in range(prompts if settings.do_sample else 0)]

    def of(self, scores_NV: Array, prompts: Sequence[int]) -> Ids:
        if not self._generators:
            return np.asarray(scores_NV.argmax(axis=1), np.int64)
        return np.array([self._draw(scores_NV[row], prompt) for row, prompt in enumerate(prompts)], np.int64)

    def _draw(self, scores_V: Array, prompt: int) -> int:
        scores_V = narrowed(scores_V, self._settings)
        tokens = np.flatnonzero(scores_V > -np.inf)
        weights = np.exp((scores_V[tokens] - scores_V.max()).astype(np.float64))
        upto = np.cumsum(weights)
        place = np.searchsorted(upto, self._generators[prompt].random() * upto[-1], side="right")
        return int(tokens[min(int(place), len(tokens) - 1)])


def _write(
    logits_NV: Array,
    state: DecoderState,
    sequences: Sequences,
    rules: Rules,
    endings: Endings,
    choice: _Choice,
    on_tokens: OnTokens,
) -> dict[int, Generated]:
    """Token by token until each row is complete; complete rows leave the batch."""
    answers: dict[int, Generated] = {}
    prompts = list(range(len(logits_NV)))
    while True:
        require_finite(logits_NV.max(axis=1))
        tokens_N = choice.of(rules.apply(logits_NV, sequences), prompts)
        finishes = endings.of(np.arange(len(prompts)), tokens_N, sequences)
        sequences.append(tokens_N)
        for row, (prompt, finish) in enumerate(zip(prompts, finishes, strict=True)):
            on_tokens(prompt, [int(tokens_N[row])])
            if finish:
                answers[prompt] = Generated(sequences.answer(row), finish)
        open_ = [row for row, finish in enumerate(finishes) if not finish]
        if not open_:
            return answers
        if len(open_) < len(prompts):
            prompts = [prompts[row] for row in open_]
            kept = np.array(open_)
            sequences.take(kept)
            state.take(kept)
            tokens_N = tokens_N[kept]
        logits_NV = state.step(tokens_N)


def _nobody(_prompt: int, _tokens: Sequence[int]) -> None:
    """Nobody listens."""

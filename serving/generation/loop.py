"""Prompts of tokens to answers of tokens, by any decoder graph: all that are being written share each step.

Who comes is read and joins at the next step; who is complete, given up, or broken by its own rules leaves at once. A
row's answer does not depend on its batch mates: the rules never see them, nor the padding between them.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np

from tunewright.serving.errors import DeadlineExceeded, InputError
from tunewright.serving.generation.beam import Beams
from tunewright.serving.generation.grammar import Constraint
from tunewright.serving.generation.graph import DecoderGraph, DecoderState, Prompts
from tunewright.serving.generation.prefixes import Known, Prefixes
from tunewright.serving.generation.rules import check_tokens
from tunewright.serving.generation.sequences import Decode, Ids
from tunewright.serving.generation.settings import GenerationSettings
from tunewright.serving.generation.writing import Following, Generated, Likelihood, Line, Writing
from tunewright.serving.runtime.capacity import TOKENS_PER_RUN
from tunewright.serving.runtime.runs import plan_runs
from tunewright.serving.runtime.session import Array, TimeLimit

CACHE_BYTES = 512 << 20
"""What all caches together may take, each as long as its answer may become."""
_GREEDIEST = 4
"""No answer counts for more than its part of that, so that as many of the longest are written at once."""
PREFIX_BYTES = 64 << 20
"""What the caches of shared beginnings may take besides."""
_MOST_READ = 128
"""Tokens of prompts that are read between two steps of the others: fewer would cost more than they take, more would let
others wait for longer."""
_MOST_ROWS = 64
"""Rows of all steps: more of them make each wait longer, and gain nothing."""
_MOST_PADDING = 1024
"""Tokens of padding that make a step as dear as another step for those rows alone would be: measured, between 600 for
int8 and 2000 for fp32."""

_MOST_WAITED = 16
"""Steps for which those of an encoder-decoder let others catch up, once: from then on they share each."""

OnTokens = Callable[[int, Sequence[int]], None]
"""Called with a prompt's number and the tokens its answer goes on with. What it raises ends the generation."""


@dataclass(eq=False, slots=True)
class Call:
    """Somebody who waits for one or several answers."""

    limit: TimeLimit | None = None
    is_left: bool = False
    """Whether nobody waits any more. To be set from any thread."""

    def check(self) -> None:
        """DeadlineExceeded when nobody waits any more."""
        if self.limit is not None:
            self.limit.check()
        if self.is_left:
            raise DeadlineExceeded("nobody waits for this answer any more")


@dataclass(frozen=True, eq=False, slots=True)
class Ask:
    """One prompt, and who hears of its answer."""

    prompt: Sequence[int]
    settings: GenerationSettings
    call: Call
    end: Callable[[Generated | Exception], None]
    """Called once, with the answer or why there is none."""
    tell: Callable[[Sequence[int], Sequence[Likelihood]], None] | None = None
    """Called with each token that is written; with those of a beam search at its end."""
    constraint: Constraint | None = None
    """What holds the answer to a grammar."""
    top: int | None = None
    """How many of the likeliest tokens are told beside each that is chosen; None: not even that one's probability."""


@dataclass(eq=False, slots=True)
class _Member:
    """An answer that has its place in the caches."""

    ask: Ask
    beginning: Sequence[int]
    writing: Writing
    tokens: int
    """What it takes of the caches, at most."""
    known: Known | None = None
    """What of its prompt was read for others."""
    rows: int = 1
    told: int = 0
    """Tokens that were told."""


@dataclass(eq=False, slots=True)
class _Batch:
    """Those who share runs of the graph."""

    state: DecoderState
    members: list[_Member]
    tokens_N: Ids
    """What each row is fed next."""
    waited: int = 0
    """Steps for which it let others catch up."""

    @property
    def limit(self) -> TimeLimit | None:
        """When a run of it may be ended: where all of it is for one call."""
        calls = {member.ask.call for member in self.members}
        return calls.pop().limit if len(calls) == 1 else None


class Loop:
    """All answers that one graph is writing. One thread takes the turns; any may ask."""

    def __init__(
        self,
        graph: DecoderGraph,
        *,
        decode: Decode | None = None,
        tokens_per_run: int = TOKENS_PER_RUN,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """`decode`: ids to text, needed with stop strings. `tokens_per_run`: 0 lets no two prompts share a run."""
        self._graph, self._decode, self._tokens_per_run = graph, decode, tokens_per_run
        self._free = self._tokens = max(1, cache_bytes // graph.bytes_per_token)
        shares = graph.shares_prefixes and tokens_per_run
        self._prefixes = Prefixes(PREFIX_BYTES // graph.bytes_per_token) if shares else None
        self._lock = threading.Lock()
        self._waiting: dict[Call, deque[_Member]] = {}
        self._running: Counter[Call] = Counter()
        self._starting: deque[_Batch] = deque()
        self._batches: list[_Batch] = []

    def put(self, asks: Sequence[Ask]) -> None:
        """Let these be answered; InputError for a prompt that is empty or fills the context, before any begins."""
        members = [self._member(ask, index) for index, ask in enumerate(asks)]
        with self._lock:
            for member in members:
                self._waiting.setdefault(member.ask.call, deque()).append(member)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to write."""
        return not (self._waiting or self._starting or self._batches)

    def turn(self) -> None:
        """One run for those who begin, and one step for all who go on."""
        for run in self._runs(self._admitted()):
            prompts, beginnings = [member.ask.prompt for member in run], [member.beginning for member in run]
            state = self._graph.start(prompts, beginnings, [member.known for member in run])
            self._starting.append(_Batch(state, run, np.array([], np.int64)))
        going_on = list(self._batches)
        if self._starting:
            self._read(self._starting[0])
        waiting = [batch for batch in going_on if self._lets_catch_up(batch)]
        for batch in going_on:
            if batch in waiting:
                batch.waited += 1
            else:
                self._batches.remove(batch)
                self._advance(batch, partial(batch.state.step, batch.tokens_N))
        self._join()

    def fail(self, error: Exception) -> None:
        """End all that are written, for a fault of the loop itself."""
        with self._lock:
            waiting = [member for members in self._waiting.values() for member in members]
            self._waiting.clear()
        for member in [*waiting, *(member for batch in (*self._starting, *self._batches) for member in batch.members)]:
            member.ask.end(error)
        self._starting.clear()
        self._batches.clear()
        self._running.clear()
        self._free = self._tokens

    def _member(self, ask: Ask, index: int) -> _Member:
        settings = ask.settings
        if not ask.prompt:
            raise InputError(f"prompt {index} is empty: the model has no token to go on from")
        check_tokens(settings, self._graph.vocabulary)
        [beginning] = self._graph.beginnings([ask.prompt], settings)
        most = _most(self._graph.context, beginning, index, settings)
        tokens = settings.num_beams * (len(ask.prompt) + most)
        writing: Writing = Beams(beginning, most, settings, self._decode)
        if settings.num_beams == 1:
            writing = Line(beginning, most, settings, self._decode, constraint=ask.constraint, top=ask.top)
        return _Member(ask, beginning, writing, min(tokens, max(1, self._tokens // _GREEDIEST)))

    def _admitted(self) -> list[_Member]:
        """Those whose turn it is to begin: of whom the fewest are written, as long as there is room."""
        found = []
        with self._lock:
            self._sift()
            while self._waiting:
                call = min(self._waiting, key=self._running.__getitem__)
                member = self._waiting[call][0]
                rows = sum(self._running.values()) + member.ask.settings.num_beams
                if self._running and (member.tokens > self._free or rows > _MOST_ROWS):
                    break
                self._waiting[call].popleft()
                if not self._waiting[call]:
                    del self._waiting[call]
                self._running[call] += member.ask.settings.num_beams
                self._free -= member.tokens
                found.append(member)
        return found

    def _sift(self) -> None:
        """Let those go who gave up while they waited."""
        for call in list(self._waiting):
            try:
                call.check()
            except DeadlineExceeded as error:
                for member in self._waiting.pop(call):
                    member.ask.end(error)

    def _runs(self, members: Sequence[_Member]) -> Iterator[list[_Member]]:
        """Those who are read together."""
        unread = []
        for member in members:
            member.known = self._prefixes.longest(member.ask.prompt) if self._prefixes else None
            unread.append(len(member.ask.prompt) - (member.known.tokens if member.known else 0))
        for run in plan_runs(unread, self._tokens_per_run):
            yield [members[place] for place in run]

    def _read(self, batch: _Batch) -> None:
        """Read on in the prompts of those who begin."""
        # In pieces, so that others wait no longer for their next token.
        most = min(self._tokens_per_run, _MOST_READ) or max(len(member.ask.prompt) for member in batch.members)
        if self._advance(batch, partial(self._read_on, batch, most)):
            self._starting.popleft()

    def _read_on(self, batch: _Batch, most: int, limit: TimeLimit | None) -> Array | None:
        logits_NV = batch.state.read(most, limit)
        if logits_NV is not None and self._prefixes:
            for row, member in enumerate(batch.members):
                self._prefixes.see(member.ask.prompt, member.known, partial(batch.state.caches, row))
                member.known = None
        return logits_NV

    def _advance(self, batch: _Batch, run: Callable[[TimeLimit | None], Array | None]) -> bool:
        """Run the graph for these, and let each go on; False when their prompts are not read to the end yet."""
        try:
            logits_NV = run(batch.limit)
        except Exception as error:
            for member in batch.members:
                self._end(member, error)
            return True
        if logits_NV is None:
            return False
        rows, tokens, members, first = [], [], [], 0
        for member in batch.members:
            before = first
            first += member.rows
            following = self._following(member, logits_NV[before:first])
            if following is not None:
                rows.append(before + following.rows_K)
                tokens.append(following.tokens_K)
                members.append(member)
                member.rows = len(following.rows_K)
        if members:
            rows_N = np.concatenate(rows)
            if not np.array_equal(rows_N, np.arange(first)):
                batch.state.take(rows_N)
            self._batches.append(_Batch(batch.state, members, np.concatenate(tokens), batch.waited))
        return True

    def _following(self, member: _Member, logits_KV: Array) -> Following | None:
        """How an answer goes on; None where it does not."""
        ask = member.ask
        try:
            ask.call.check()
            found = member.writing.advance(logits_KV)
            self._tell(member, found)
        except Exception as error:
            self._end(member, error)
            return None
        if isinstance(found, Generated):
            self._end(member, found)
            return None
        return found

    def _tell(self, member: _Member, found: Following | Generated) -> None:
        """What is certain of an answer now: of a beam search nothing before its end."""
        if isinstance(found, Generated):
            new, likelihoods = found.ids[member.told :], (found.likelihoods or [])[member.told :]
        else:
            new = found.tokens_K.tolist() if member.ask.settings.num_beams == 1 else []
            likelihoods = [found.likelihood] if found.likelihood else []
        member.told += len(new)
        if new and member.ask.tell:
            member.ask.tell(new, likelihoods)

    def _end(self, member: _Member, result: Generated | Exception) -> None:
        call = member.ask.call
        self._free += member.tokens
        self._running[call] -= member.ask.settings.num_beams
        if not self._running[call]:
            del self._running[call]
        member.ask.end(result)

    def _lets_catch_up(self, batch: _Batch) -> bool:
        """Whether others are so close behind that it loses less by waiting than all gain by sharing steps."""
        if not self._tokens_per_run:
            return False
        behind = [batch.state.ahead(other.state) for other in self._batches]
        return any(0 < steps <= _MOST_WAITED - batch.waited for steps in behind)

    def _join(self) -> None:
        """Let those share steps who waste less than what their own steps would cost."""
        if not self._tokens_per_run:
            return
        for one, other in combinations(list(self._batches), 2):
            if one in self._batches and other in self._batches:
                padding = one.state.padding(other.state)
                if padding is not None and padding <= _MOST_PADDING:
                    one.state.join(other.state)
                    one.members += other.members
                    one.tokens_N = np.concatenate([one.tokens_N, other.tokens_N])
                    one.waited = max(one.waited, other.waited)
                    self._batches.remove(other)


def generate(
    graph: DecoderGraph,
    prompts: Prompts,
    settings: GenerationSettings,
    *,
    decode: Decode | None = None,
    limit: TimeLimit | None = None,
    on_tokens: OnTokens | None = None,
) -> list[Generated]:
    """One answer per prompt, in this thread.

    `decode`: ids to text, needed with stop strings. `on_tokens`: hears of each token at once, of beams' at the end.
    InputError for a prompt that is empty or fills the context, DeadlineExceeded once the limit is over.
    """
    found: dict[int, Generated | Exception] = {}
    call = Call(limit)

    def end(index: int, result: Generated | Exception) -> None:
        found.setdefault(index, result)
        call.is_left = call.is_left or isinstance(result, Exception)

    def ask(index: int, prompt: Sequence[int]) -> Ask:
        tell = (lambda ids, _: on_tokens(index, ids)) if on_tokens else None
        return Ask(prompt, settings, call, partial(end, index), tell)

    loop = Loop(graph, decode=decode)
    loop.put([ask(index, prompt) for index, prompt in enumerate(prompts)])
    while not loop.is_idle:
        loop.turn()
        if fault := next((result for result in found.values() if isinstance(result, Exception)), None):
            raise fault
    return [found[index] for index in range(len(prompts))]  # type: ignore[misc]


def _most(context: int | None, beginning: Sequence[int], index: int, settings: GenerationSettings) -> int:
    """How many tokens an answer may have."""
    if context is None:
        return settings.max_new_tokens
    if len(beginning) >= context:
        raise InputError(
            f"prompt {index} has {len(beginning)} tokens, which leaves no room for an answer: "
            f"together they may have {context}"
        )
    return min(settings.max_new_tokens, context - len(beginning))

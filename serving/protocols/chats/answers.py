"""How a chat or a completion is answered: whole, or in chunks while it is written."""

import time
import uuid
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Literal

from tunewright.serving.generation.detokenizer import Piece, first_stop
from tunewright.serving.generation.sequences import FINISH
from tunewright.serving.live.service import Ended, Service
from tunewright.serving.protocols.chats.options import Options, stops
from tunewright.serving.protocols.plain import tokens
from tunewright.serving.protocols.protocol import Fault, event
from tunewright.serving.request.json_text import to_json
from tunewright.serving.request.request import Request

_REASONS = {FINISH["eos"]: "stop", FINISH["stop"]: "stop", FINISH["length"]: "length"}

Kind = Literal["chat.completion", "text_completion"]
Told = tuple[tuple[str, float], list[tuple[str, float]]]
"""A token with its log-probability, and those of the likeliest at its place."""


class Head:
    """What every part of an answer begins with."""

    def __init__(self, kind: Kind, model: str) -> None:
        self.kind = kind
        prefix = "chatcmpl" if kind == "chat.completion" else "cmpl"
        self._same = {"id": f"{prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def of(self, *, chunk: bool = False) -> dict[str, object]:
        """Its beginning."""
        is_chunk = chunk and self.kind == "chat.completion"
        return {"object": f"{self.kind}.chunk" if is_chunk else self.kind, **self._same}

    def choice(
        self, index: int, text: str, reason: str | None, *, tokens: Sequence[Told] | None = None, chunk: bool = False
    ) -> dict[str, object]:
        """One of the answers, or a piece of it. `tokens`: what it is made of, where that is told."""
        logprobs = _logprobs_of(self.kind, tokens) if tokens else None
        end: dict[str, object] = {"logprobs": logprobs, "finish_reason": reason}
        if self.kind == "text_completion":
            return {"index": index, "text": text, **end}
        if chunk:
            return {"index": index, "delta": {"content": text} if text or not reason else {}, **end}
        return {"index": index, "message": {"role": "assistant", "content": text, "refusal": None}, **end}


def completion(head: Head, answers: Sequence[object], request: Request, options: Options) -> dict[str, object]:
    """The whole answer."""
    told, read, wrote = [], 0, 0
    for index, answer in enumerate(answers):
        assert isinstance(answer, list)
        text, details = answer[0]["generated_text"], answer[0]["details"]
        text = text[: first_stop(text, stops(request))]
        tokens = None if options.top is None else _told(details["tokens"], details.get("top_tokens"))
        told.append(head.choice(index, text, _REASONS[details["finish_reason"]], tokens=tokens))
        read += details["input_length"] if index % options.choices == 0 else 0
        wrote += details["generated_tokens"]
    return {**head.of(), "choices": told, "usage": usage(read, wrote)}


def _told(tokens: Sequence[Mapping[str, Any]], top: Sequence[Sequence[Mapping[str, Any]]] | None) -> list[Told]:
    """The tokens of an answer's details that have a text, each with the likeliest at its place."""
    beside = top or [()] * len(tokens)
    pairs = zip(tokens, beside, strict=True)
    return [
        ((token["text"], token["logprob"]), [(one["text"], one["logprob"]) for one in others])
        for token, others in pairs
        if not token["special"]
    ]


def _logprobs_of(kind: Kind, tokens: Sequence[Told]) -> dict[str, object]:
    """Tokens with their log-probabilities."""
    if kind == "text_completion":
        lengths = [len(text) for (text, _), _ in tokens]
        return {
            "tokens": [text for (text, _), _ in tokens],
            "token_logprobs": [logprob for (_, logprob), _ in tokens],
            "top_logprobs": [dict(top) for _, top in tokens],
            "text_offset": list(accumulate(lengths, initial=0))[:-1],
        }
    content = [{**_chosen(token), "top_logprobs": [_chosen(one) for one in top]} for token, top in tokens]
    return {"content": content, "refusal": None}


def _chosen(token: tuple[str, float]) -> dict[str, object]:
    text, logprob = token
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def usage(read: int, wrote: int) -> dict[str, int]:
    """Tokens, counted."""
    return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}


class Chunks:
    """An answer while it is written."""

    def __init__(self, head: Head, service: Service, request: Request, options: Options) -> None:
        self._head, self._service, self._request, self._options = head, service, request, options
        self._is_begun = False
        self._count = 0
        """Tokens that are written."""

    def piece(self, piece: str) -> bytes:
        """What comes next."""
        begun = self._begun()
        told: list[Told] = []
        if isinstance(piece, Piece):
            self._count += len(piece.ids)
            told = [
                ((token.text, token.logprob), [(one.text, one.logprob) for one in token.top])
                for token in piece.tokens
                if not token.special
            ]
        shown = None if self._options.top is None else told
        choice = self._head.choice(0, str(piece), None, tokens=shown, chunk=True)
        return begun + (self._chunk([choice]) if piece else b"")

    def end(self, ended: Ended) -> bytes:
        """That is all: why, how much it was, and the mark of the end."""
        reason = _REASONS[FINISH[ended.finish]]
        sent = self._begun() + self._chunk([self._head.choice(0, "", reason, chunk=True)])
        if self._options.tells_usage:
            sent += self._chunk([], usage(tokens(self._service, self._request), self._count))
        return sent + event(b"[DONE]")

    def fault(self, fault: Fault) -> bytes:
        """It breaks off here."""
        return event(to_json({"error": {"message": fault.sentence, "type": "server_error", "code": fault.kind}}))

    def _begun(self) -> bytes:
        """Before the first piece of a chat, whose it is."""
        if self._is_begun or self._head.kind == "text_completion":
            return b""
        self._is_begun = True
        first = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        return self._chunk([first])

    def _chunk(self, choices: Sequence[object], counted: object = None) -> bytes:
        told = {"usage": counted} if self._options.tells_usage else {}
        return event(to_json({**self._head.of(chunk=True), "choices": choices, **told}))

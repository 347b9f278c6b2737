"""Texts that are written: the parameters and events of text-generation-inference, which clients of the hub speak."""

from collections.abc import Mapping, Sequence

from tunewright.serving.errors import InputError, shown
from tunewright.serving.generation.detokenizer import Piece, Token
from tunewright.serving.generation.sequences import FINISH
from tunewright.serving.live.service import Ended, Service
from tunewright.serving.protocols.plain import neutral_schema, object_of, take_neutral
from tunewright.serving.protocols.protocol import Fault, event, explained
from tunewright.serving.request.json_text import to_json
from tunewright.serving.request.schema import Schema, nullable

NEUTRAL: Mapping[str, Sequence[object] | None] = {
    "adapter_id": (),
    "best_of": (1,),
    "decoder_input_details": (False,),
    "frequency_penalty": (0,),
    "top_n_tokens": (0,),
    "truncate": (),
    "truncation": ("longest_first", "only_first"),
    "typical_p": (1,),
    "watermark": (False,),
}
"""What else text-generation-inference knows, and the values besides null that ask for nothing here."""
_SAMPLING = ("temperature", "top_k", "top_p", "typical_p")


def settings(service: Service, parameters: Mapping[str, object]) -> dict[str, object]:
    """The parameters of a request in the task's words. Null stands for what the model does by itself.

    As in text-generation-inference, a temperature, top_k or top_p asks for sampling.
    """
    known = service.shapes.parameters["properties"]
    found: dict[str, object] = {}
    for name, value in _flat(parameters).items():
        if name not in known and name in NEUTRAL:
            take_neutral({name: value}, NEUTRAL, ())
        elif value is not None or known.get(name, {}).get("nullable"):
            found[name] = value
    if "stop" in found and "stop" not in known:
        if "stop_strings" in found:
            raise InputError("parameters 'stop' and 'stop_strings' say the same; send one of them")
        found["stop_strings"] = found.pop("stop")
    if "do_sample" not in found and any(name in found for name in _SAMPLING):
        found["do_sample"] = True
    return found


def described(parameters: Schema) -> Schema:
    """The schema of what `settings` reads, given that of the task's parameters."""
    known = parameters["properties"]
    more = {name: neutral_schema(NEUTRAL[name]) for name in NEUTRAL if name not in known}
    if "stop" not in known and "stop_strings" in known:
        more["stop"] = known["stop_strings"]
    all_of = {name: nullable(schema) for name, schema in {**more, **known}.items()}
    deeper = nullable({**parameters, "properties": all_of})
    return {**parameters, "properties": {**all_of, "generate_parameters": deeper}}


def require_one(are_many: bool) -> None:
    """InputError for a list of inputs."""
    if are_many:
        raise InputError("'inputs' is a list; one answer is streamed at a time: send one input")


class Pieces:
    """One JSON object an event."""

    def piece(self, piece: str) -> bytes:
        """What comes next."""
        return event(to_json({"text": piece}))

    def end(self, ended: Ended) -> bytes:
        """That is all."""
        return event(to_json({"finish": ended.finish}))

    def fault(self, fault: Fault) -> bytes:
        """It breaks off here."""
        return event(to_json(explained(fault)))


class Tokens(Pieces):
    """The events of text-generation-inference: one for each token, and at the end the whole text.

    The texts of the tokens joined are the answer: where only several tokens together have a text, the last of them
    says it, and special ones say nothing.
    """

    def __init__(self, parameters: Mapping[str, object]) -> None:
        """`parameters`: of the request, which is to have `details`, whether the caller asked for them or not."""
        self._parameters = parameters
        self._texts: list[str] = []
        self._count = 0
        self._held: Token | None = None
        """A token without text that may be the last one, of which the end tells."""

    def piece(self, piece: str) -> bytes:
        """What comes next."""
        tokens = list(piece.tokens) if isinstance(piece, Piece) else []
        self._texts.append(piece)
        sent = b""
        for token in tokens:
            sent += self._released()
            self._held = token
        if piece and self._held is not None:
            sent += self._released(str(piece))
        elif piece:
            self._count += 1
            sent += self._event(None, str(piece))
        return sent

    def end(self, ended: Ended) -> bytes:
        """The whole text, and why it ends."""
        last, self._held = self._held, None
        self._count += last is not None
        told = {
            "finish_reason": FINISH[ended.finish],
            "generated_tokens": self._count,
            "seed": self._parameters.get("seed"),
        }
        details = told if self._parameters.get("details") else None
        return self._event(last, "", "".join(self._texts), details)

    def _released(self, text: str = "") -> bytes:
        token, self._held = self._held, None
        if token is None:
            return b""
        self._count += 1
        return self._event(token, text)

    def _event(self, token: Token | None, text: str, whole: str | None = None, details: object = None) -> bytes:
        told = _told(token, text)
        top = {"top_tokens": [_told(one, one.text) for one in token.top]} if token is not None and token.top else {}
        index = self._count + (whole is not None and token is None)
        return event(to_json({"index": index, "token": told, **top, "generated_text": whole, "details": details}))


def _told(token: Token | None, text: str) -> dict[str, object]:
    """A token; of a beam search, and of the end without one, nothing is known."""
    if token is None:
        return {"id": None, "text": text, "logprob": None, "special": not text}
    return {"id": token.id, "text": text, "logprob": token.logprob, "special": token.special}


def _flat(parameters: Mapping[str, object]) -> Mapping[str, object]:
    """The parameters with those in it that the hub's clients of translation and summarization put a level deeper."""
    if "generate_parameters" not in parameters:
        return parameters
    inner = object_of(parameters["generate_parameters"], "parameter 'generate_parameters'")
    rest = {name: value for name, value in parameters.items() if name != "generate_parameters"}
    if twice := next((name for name in inner if name in rest), None):
        raise InputError(f"parameter {shown(twice)} stands in 'generate_parameters' and beside it; send it once")
    return {**rest, **inner}

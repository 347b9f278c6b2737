"""Texts that are written: the parameters and events of text-generation-inference, which clients of the hub speak."""

from collections.abc import Mapping, Sequence

from tunewright.serving.errors import InputError, shown
from tunewright.serving.generation.sequences import FINISH
from tunewright.serving.live.service import Ended, Service
from tunewright.serving.protocols.plain import neutral_schema, take_neutral
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
    """The events of text-generation-inference: one for each piece, and at the end the whole text."""

    def __init__(self, parameters: Mapping[str, object]) -> None:
        self._parameters = parameters
        self._pieces: list[str] = []

    def piece(self, piece: str) -> bytes:
        """What comes next."""
        self._pieces.append(piece)
        return self._event(piece)

    def end(self, ended: Ended) -> bytes:
        """The whole text, and why it ends."""
        told = {
            "finish_reason": FINISH[ended.finish],
            "generated_tokens": len(self._pieces),
            "seed": self._parameters.get("seed"),
        }
        details = told if self._parameters.get("details") else None
        return self._event("", "".join(self._pieces), details)

    def _event(self, text: str, whole: str | None = None, details: object = None) -> bytes:
        token = {"id": None, "text": text, "logprob": None, "special": whole is not None}
        index = len(self._pieces) + (whole is not None)
        return event(to_json({"index": index, "token": token, "generated_text": whole, "details": details}))


def _flat(parameters: Mapping[str, object]) -> Mapping[str, object]:
    """The parameters with those in it that the hub's clients of translation and summarization put a level deeper."""
    deeper = parameters.get("generate_parameters")
    if "generate_parameters" not in parameters:
        return parameters
    if not isinstance(deeper, dict | None):
        raise InputError(f"parameter 'generate_parameters' is {shown(deeper)}; send an object")
    rest = {name: value for name, value in parameters.items() if name != "generate_parameters"}
    if twice := next((name for name in deeper or {} if name in rest), None):
        raise InputError(f"parameter {shown(twice)} stands in 'generate_parameters' and beside it; send it once")
    return {**rest, **(deeper or {})}

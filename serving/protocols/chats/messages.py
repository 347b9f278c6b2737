"""The messages of a chat, as OpenAI's clients send them and as the task reads them."""

from tunewright.serving.errors import InputError, shown

ROLES = ("system", "user", "assistant")
STAND_INS = {"developer": "system"}
"""Roles that stand for others."""
UNSAID = ("name", "tool_calls", "tool_call_id", "function_call", "refusal", "audio", "annotations")
"""What a message may have besides, as long as it is null."""


def read_messages(messages: object) -> list[dict[str, object]]:
    """A conversation as the task reads it: a text for the content of each message."""
    if not isinstance(messages, list):
        raise InputError(f'\'messages\' is {shown(messages)}; send a list of {{"role": ..., "content": ...}}')
    return [_message(message, f"messages[{index}]") for index, message in enumerate(messages)]


def _message(message: object, place: str) -> dict[str, object]:
    if not isinstance(message, dict):
        raise InputError(f'{place} is {shown(message)}; send {{"role": ..., "content": ...}}')
    kept = {name: value for name, value in message.items() if value is not None or name not in UNSAID}
    role = kept.get("role")
    if isinstance(role, str):
        kept["role"] = STAND_INS.get(role, role)
    if isinstance(parts := kept.get("content"), list):
        kept["content"] = "".join(_part(part, f"{place}.content[{index}]") for index, part in enumerate(parts))
    return kept


def _part(part: object, place: str) -> str:
    match part:
        case {"type": "text", "text": str(text), **rest} if not rest:
            return text
    raise InputError(f'{place} is {shown(part)}; this server reads {{"type": "text", "text": ...}}')

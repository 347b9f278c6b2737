"""Chats and completions in the API of OpenAI."""

from collections.abc import Mapping, Sequence

from tunewright.serving.errors import InputError
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.protocols.chats.answers import Chunks, Head, Kind, completion
from tunewright.serving.protocols.chats.asked import writer
from tunewright.serving.protocols.chats.messages import read_messages
from tunewright.serving.protocols.chats.options import (
    Options,
    chat_logprobs,
    completion_logprobs,
    grammar,
    parameters,
    read_options,
)
from tunewright.serving.protocols.plain import body_object, checked, json_reply, text_or_texts
from tunewright.serving.protocols.protocol import Asked, Call, Reply

_OF_CHAT = ("messages", "response_format", "max_completion_tokens", "logprobs", "top_logprobs")
_OF_COMPLETIONS = ("prompt", "logprobs")


def chat(models: Models, call: Call) -> Asked:
    """POST /v1/chat/completions: a conversation gone on with."""
    content = body_object(call)
    service = writer(models, content)
    messages = read_messages(content.get("messages"))
    most = content.get("max_completion_tokens")
    if most is not None and content.get("max_tokens") not in (None, most):
        raise InputError("'max_tokens' and 'max_completion_tokens' say the same; send one of them")
    content = content if most is None else content | {"max_tokens": most}
    options = read_options(content, _OF_CHAT, chat_logprobs(content.get("logprobs"), content.get("top_logprobs")))
    asked = parameters(service, content, options.top) | grammar(service, content.get("response_format"))
    return _asked("chat.completion", service, [{"messages": messages}], asked, options)


def completions(models: Models, call: Call) -> Asked:
    """POST /v1/completions: texts gone on with."""
    content = body_object(call)
    service = writer(models, content)
    prompts = text_or_texts(content, "prompt")
    options = read_options(content, _OF_COMPLETIONS, completion_logprobs(content.get("logprobs")))
    return _asked("text_completion", service, prompts, parameters(service, content, options.top), options)


def _asked(
    kind: Kind, service: Service, prompts: Sequence[object], asked: Mapping[str, object], options: Options
) -> Asked:
    inputs = [prompt for prompt in prompts for _ in range(options.choices)]
    request, _ = checked(service, inputs, asked)
    head = Head(kind, service.version.name)

    def write(answers: list[object]) -> Reply:
        return json_reply(completion(head, answers, request, options))

    if not options.stream:
        return Asked(service, request, write)
    if len(inputs) > 1:
        raise InputError("one answer is streamed at a time: send one prompt, and no 'n' above 1")
    return Asked(service, request, write, Chunks(head, service, request, options))

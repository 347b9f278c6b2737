"""A chat template on trial: rendered for short conversations."""

import json
from contextlib import suppress

from tunewright.serving.errors import InputError
from tunewright.serving.generation.chat_template import ChatTemplate
from tunewright.serving.trial.verdicts import Verdict

_CONVERSATIONS = (
    [{"role": "user", "content": "a"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c" * 1000}],
    [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}],
)
_MOST_RENDERED = 100_000
"""Characters that a template may make of such a conversation."""


def judge(given: str) -> Verdict:
    """1 where it renders. `given`: JSON of the template and the special tokens."""
    source, special_tokens = json.loads(given)
    check_rendered(ChatTemplate(source, special_tokens))
    return {"rendered": 1}


def check_rendered(template: ChatTemplate) -> None:
    """ValueError for a template that makes too much of little; what it refuses in its own words is no fault."""
    for messages in _CONVERSATIONS:
        for ask in (True, False):
            with suppress(InputError):
                if (length := len(template.render(messages, ask=ask))) > _MOST_RENDERED:
                    raise ValueError(f"the chat template makes {length:,} characters of a short conversation")

"""Messages to one prompt by a chat template, as transformers renders it: the same switches, filters and functions."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NoReturn

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tunewright.serving.errors import BundleError, InputError

Message = Mapping[str, str]
"""`{"role": ..., "content": ...}`"""

FILE = "chat_template.jinja"
"""Where a bundle keeps its template."""
_MOST_CHARACTERS = 1 << 17
_CONTINUED = "TUNEWRIGHT GOES ON HERE "
"""Put behind the message to be gone on with. Its last space tells whether the template strips messages."""


class ChatTemplate:
    """A template, compiled. It runs in Jinja's sandbox: it can read the messages and write text, nothing else."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        """`special_tokens`: `bos_token`, `eos_token`, ... as templates name them."""
        if len(source) > _MOST_CHARACTERS:
            raise BundleError(
                f"the chat template has {len(source):,} characters; at most {_MOST_CHARACTERS:,} are read"
            )
        try:
            self._template = _environment().from_string(source)
        except (TemplateError, RecursionError) as error:
            raise BundleError(f"the chat template is not one that Jinja reads: {error}") from error
        self._special_tokens = dict(special_tokens)

    def render(self, messages: Sequence[Message], *, ask: bool = True) -> str:
        """The conversation as text; InputError where the template refuses it.

        `ask`: with what begins an answer at its end.
        """
        try:
            return self._template.render(
                messages=[dict(message) for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=ask,
                **self._special_tokens,
            )
        except (
            TemplateError,
            TypeError,
            ValueError,
            ArithmeticError,
            LookupError,
            AttributeError,
            RecursionError,
        ) as error:
            # The template is a program of its own, and fails in as many ways.
            raise InputError(f"the chat template refuses these messages: {error}") from error

    def prompt(self, messages: Sequence[Message]) -> str:
        """What the model goes on from: a new answer, or the last message where that is the assistant's own."""
        if messages[-1]["role"] != "assistant":
            return self.render(messages)
        last = messages[-1]["content"]
        text = self.render([*messages[:-1], {"role": "assistant", "content": last + _CONTINUED}], ask=False)
        at = text.rfind(_CONTINUED.strip())
        if at < 0 or last.strip() not in text:
            raise InputError("the chat template leaves out the last message, so that it cannot be gone on with")
        return text[:at] if text.startswith(_CONTINUED, at) else text[:at].rstrip()


class _Generation(jinja2.ext.Extension):
    """`{% generation %}` marks what the assistant wrote; it is for training, and its content is rendered as it is."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own way

    def parse(self, parser: Parser) -> nodes.Node:
        """The block, rendered as it stands."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_content"), [], [], body).set_lineno(line)

    def _content(self, caller: Callable[[], str]) -> str:
        return caller()


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)

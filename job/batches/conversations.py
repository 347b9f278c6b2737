"""What a causal model is taught, as rows of tokens: texts, answers to prompts, and the assistant's part of chats.

Axes: T tokens of a row.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from transformers.utils.chat_template_utils import render_jinja_template

from tunewright.job.batches.causal import Segment, following
from tunewright.job.batches.text import NO_LABEL
from tunewright.job.errors import DataError
from tunewright.serving.errors import InputError
from tunewright.serving.tasks.text_generation import Input, Messages, Prompter
from tunewright.serving.text.cleaning import clean

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + END }}{% endgeneration %}"
    "{% else %}{{ message['content'] + END }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The chat template of a base model that has none (OpenAI's ChatML); END stands for the token that ends a turn."""
_IM_END = "<|im_end|>"
_MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")

Span = tuple[int, int]


@dataclass(frozen=True)
class CausalEncoder:
    """Inputs to token ids, in training and in serving."""

    prompter: Prompter
    max_length: int
    """Tokens of a row in training."""
    context: int
    """Tokens of a prompt and its answer that the model can read."""
    pad: int
    eos: int
    """The end token that is learned."""
    special_tokens: Mapping[str, str]
    """What a chat template knows the special tokens by."""
    template: str | None
    """Source of the chat template."""

    def prompt(self, asked: Input) -> list[int]:
        """The tokens of a prompt; DataError for what the template refuses."""
        try:
            return self.prompter.ids(asked)
        except InputError as error:
            raise DataError(f"a row of the data cannot be a prompt: {error}") from error

    def document(self, text: str) -> list[int]:
        """A text and the end token."""
        ids = self.prompter.ids(text)
        return ids if ids and ids[-1] == self.eos else [*ids, self.eos]

    def answer(self, prompt: str, response: str) -> Segment:
        """A prompt, the response to be learned, the end token; not cut."""
        before = self.prompt(prompt)
        behind = [*self.prompter.plain_ids(clean(response, self.prompter.cleaning)), self.eos]
        ids = before + behind
        return ids, following(ids, [False] * len(before) + [True] * len(behind))

    def chat(self, messages: Messages) -> Segment:
        """A conversation, of which the assistant's turns are learned; not cut."""
        text, spans = self._rendered(self.prompter.cleaned(messages))
        encoding = self.prompter.tokenizer.encode(text, add_special_tokens=False)
        learned = [any(a < end and start < b for start, end in spans) for a, b in encoding.offsets]
        return list(encoding.ids), following(encoding.ids, learned)

    def pieces(self, asked: Input, response: str | None) -> list[Segment]:
        """What a row of the data teaches when it stands alone, in rows of at most `max_length`."""
        if isinstance(asked, str) and response is None:
            ids = self.document(asked)
            rows = (ids[at : at + self.max_length] for at in range(0, len(ids), self.max_length))
            return [(row, following(row, [True] * len(row))) for row in rows if len(row) > 1]
        return [cut(self.whole(asked, response), self.max_length)]

    def whole(self, asked: Input, response: str | None) -> Segment:
        """A conversation, or a prompt with its response."""
        return self.chat(cast(Messages, asked)) if response is None else self.answer(cast(str, asked), response)

    def _rendered(self, messages: Sequence[Mapping[str, str]]) -> tuple[str, list[Span]]:
        """A conversation as text, and where the assistant speaks in it, its end tokens included."""
        assert self.template is not None
        if not _MARKED.search(self.template):
            return self._by_prefixes(messages)
        special: Any = self.special_tokens
        try:
            rendered: Any = render_jinja_template(
                conversations=[[dict(message) for message in messages]],
                chat_template=self.template,
                return_assistant_tokens_mask=True,
                **special,
            )
        except Exception as error:  # the template is a program of its own
            raise DataError(f"the chat template refuses a conversation of the data: {error}") from error
        [text], [spans] = rendered
        return text, spans

    def _by_prefixes(self, messages: Sequence[Mapping[str, str]]) -> tuple[str, list[Span]]:
        """What a template without marks adds for each of the assistant's messages to what asked for it."""
        template = self.prompter.template
        assert template is not None
        try:
            text = template.render(messages, ask=False)
            spans = []
            for place, message in enumerate(messages):
                if message["role"] == "assistant":
                    before = template.render(messages[:place])
                    through = template.render(messages[: place + 1], ask=False).rstrip()
                    if not (through.startswith(before.rstrip()) and text.startswith(through)):
                        raise DataError(
                            "the chat template writes earlier turns in another way when later ones follow, so that the "
                            "assistant's part cannot be found; mark it with {% generation %} in options.chat_template"
                        )
                    # A model that is asked ends its prompt where the template ended it, blanks included.
                    start = len(before) if through.startswith(before) else len(before.rstrip())
                    spans.append((start, len(through)))
        except InputError as error:
            raise DataError(f"a conversation of the data cannot be rendered: {error}") from error
        return text, spans


def cut(segment: Segment, length: int) -> Segment:
    """The beginning of a row that is too long."""
    ids, labels = segment
    if len(ids) <= length:
        return segment
    # What follows the last token that is kept is not there any more.
    return ids[:length], [*labels[: length - 1], NO_LABEL]


def end_of_turn(prompter: Prompter) -> int | None:
    """The special token with which a template ends the assistant's turn, where it does."""
    assert prompter.template is not None
    probe = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    try:
        ids = prompter.plain_ids(prompter.template.render(probe, ask=False).rstrip())
    except InputError:
        return None
    special = {id for id, token in prompter.tokenizer.get_added_tokens_decoder().items() if token.special}
    return ids[-1] if ids and ids[-1] in special else None


def usual_template(prompter: Prompter, eos: str) -> str:
    """ChatML; turns end with its own token where the vocabulary has it, else with the model's end token."""
    end = _IM_END if prompter.tokenizer.token_to_id(_IM_END) is not None else eos
    return CHATML.replace("END", f"'{end}'")

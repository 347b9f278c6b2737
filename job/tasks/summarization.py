"""Summarization, taught: texts to shorter ones, measured by ROUGE of what is written."""

from collections.abc import Sequence
from typing import Any

from tunewright.job.kinds.text_to_text import TextFigures, TextToText
from tunewright.job.measure.written import is_unspaced, rouge
from tunewright.job.progress import say
from tunewright.serving.bundle.model_file import ModelFile

_KINDS = ("rougeL", "rouge1", "rouge2")


class Summarization(TextToText):
    """A text to a shorter one."""

    def headline(self, problem: str) -> str:
        """ROUGE-L of the written texts."""
        return "rougeL"

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """F1 of ROUGE, from 0 to 1, of written texts; perplexity of the targets."""
        return (*_KINDS, "perplexity")

    def purpose(self, model: ModelFile) -> str:
        """A summarizer."""
        return "Says what a text says in fewer words"

    def text_figures(self, found: Sequence[str], truths: Sequence[str]) -> TextFigures:
        """Mean F1 over the rows."""
        if is_unspaced(truths):
            say("test", "ROUGE counts characters here instead of words: the targets have no spaces between words")
        scores = rouge(found, truths, _KINDS)
        return TextFigures(lambda rows: dict(zip(_KINDS, scores[rows].mean(axis=0).tolist(), strict=True)))

    def text_of(self, answer: Any) -> str:
        """The summary."""
        return str(answer["summary_text"])

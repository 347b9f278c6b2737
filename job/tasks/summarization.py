"""Summarization, taught: texts to shorter ones, measured by ROUGE of what is written."""

from collections.abc import Sequence

from tunewright.job.kinds.options import TextToTextOptions
from tunewright.job.kinds.task import Task
from tunewright.job.learners.written_text import Sources, TextFigures, WrittenText, text_to_text_learner
from tunewright.job.progress.events import say

_KINDS = ("rougeL", "rouge1", "rouge2")


def compare(found: Sequence[str], truths: Sequence[str]) -> TextFigures:
    """F1 of ROUGE, from 0 to 1: the mean over the rows."""
    from tunewright.job.measure.written import is_unspaced, rouge

    if is_unspaced(truths):
        say("test", "ROUGE counts characters here instead of words: the targets have no spaces between words")
    scores = rouge(found, truths, _KINDS)
    return TextFigures(lambda rows: dict(zip(_KINDS, scores[rows].mean(axis=0).tolist(), strict=True)))


SUMMARIZATION = Task(
    about="A text to a shorter one.",
    columns=Sources(),
    target=WrittenText("Says what a text says in fewer words", _KINDS, compare, "summary_text"),
    learner=text_to_text_learner,
    options=TextToTextOptions,
    uses=frozenset({"train.max_length", "train.max_tokens"}),
)

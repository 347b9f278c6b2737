"""Translation, taught: texts to texts in another language, measured by BLEU and chrF of what is written."""

from collections.abc import Sequence

from tunewright.job.kinds.options import TextToTextOptions
from tunewright.job.kinds.task import Task
from tunewright.job.learners.written_text import Sources, TextFigures, WrittenText, text_to_text_learner
from tunewright.job.progress.events import say


def compare(found: Sequence[str], truths: Sequence[str]) -> TextFigures:
    """BLEU and chrF2 of the corpus from 0 to 1, as sacreBLEU computes them."""
    from tunewright.job.measure.written import Bleu, bleu_tokenizer, chrf

    tokenizer = bleu_tokenizer(truths)
    say("test", f"BLEU with sacreBLEU's tokenizer {tokenizer}, as a share: 0.31 is what sacreBLEU calls 31")
    bleu = Bleu(found, truths, tokenizer)
    return TextFigures(lambda rows: {"bleu": bleu.of(rows)}, {"chrf": chrf(found, truths)})


TRANSLATION = Task(
    about="A text to one in another language.",
    columns=Sources(),
    target=WrittenText("Translates a text", ("bleu", "chrf"), compare, "translation_text"),
    learner=text_to_text_learner,
    options=TextToTextOptions,
    uses=frozenset({"train.max_length", "train.max_tokens"}),
)

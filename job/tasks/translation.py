"""Translation, taught: texts to texts in another language, measured by BLEU and chrF of what is written."""

from collections.abc import Sequence
from typing import Any

from tunewright.job.kinds.text_to_text import TextFigures, TextToText
from tunewright.job.measure.written import Bleu, bleu_tokenizer, chrf
from tunewright.job.progress import say
from tunewright.serving.bundle.model_file import ModelFile


class Translation(TextToText):
    """A text to one in another language."""

    def headline(self, problem: str) -> str:
        """BLEU of the written texts."""
        return "bleu"

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """BLEU and chrF2 from 0 to 1, of written texts; perplexity of the targets."""
        return ("bleu", "chrf", "perplexity")

    def purpose(self, model: ModelFile) -> str:
        """A translator."""
        return "Translates a text"

    def text_figures(self, found: Sequence[str], truths: Sequence[str]) -> TextFigures:
        """Corpus figures, as sacreBLEU computes them."""
        tokenizer = bleu_tokenizer(truths)
        say("test", f"BLEU with sacreBLEU's tokenizer {tokenizer}, as a share: 0.31 is what sacreBLEU calls 31")
        bleu = Bleu(found, truths, tokenizer)
        return TextFigures(lambda rows: {"bleu": bleu.of(rows)}, {"chrf": chrf(found, truths)})

    def text_of(self, answer: Any) -> str:
        """The translation."""
        return str(answer["translation_text"])

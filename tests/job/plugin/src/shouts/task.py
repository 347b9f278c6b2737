"""A task: texts in capital letters to labels."""

from dataclasses import replace

from tunewright.job.kinds.texts import Texts
from tunewright.job.tasks.text_classification import TEXT_CLASSIFICATION


class Shouts(Texts):
    """Texts, of which none is quiet."""

    def read(self, cells):
        """The text in capital letters."""
        text = super().read(cells)
        return None if text is None else text.upper()


SHOUTING = replace(TEXT_CLASSIFICATION, about="Loud texts to labels.", columns=Shouts(pair=False))

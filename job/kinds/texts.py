"""Columns that hold texts: one, or a pair of them."""

from collections.abc import Sequence

import pyarrow as pa

from tunewright.job.data.cells import Cells
from tunewright.job.data.columns import Form, Roles
from tunewright.job.kinds.task import Columns
from tunewright.serving.text.cleaning import Cleaning

TEXT_SETTINGS = frozenset({"data.cleaning", "data.drop_empty"})
"""What is done to texts before they are learned from."""


WORD_CHANGES = frozenset({"swap", "delete", "typos", "synonyms"})
"""What `train.augment` can change in words that have labels of their own."""
TEXT_CHANGES = WORD_CHANGES | {"back_translate"}
"""What it can change in texts that a label or a number is learned of."""


class Texts(Columns[str | tuple[str, ...]]):
    """A text, or a pair of texts. `pair`: whether there may be a second one."""

    subject = "a text"
    media = ""
    uses = TEXT_SETTINGS

    def __init__(self, *, pair: bool = True) -> None:
        self._second = ("text_pair",) if pair else ()

    def forms(self, targets: Sequence[str]) -> tuple[Form, ...]:
        """A text, where there is one a second text, and a target."""
        return tuple(Form(("text",), self._second, target) for target in targets)

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """One text or several."""
        return pa.large_string() if len(roles.inputs) == 1 else pa.list_(pa.large_string())

    def read(self, cells: Cells) -> str | tuple[str, ...] | None:
        """The text or texts, none of them empty."""
        return cells.texts()


def kept_breaks(cleaning: Cleaning) -> Cleaning:
    """White space is a part of what is written, unless the job says that it shall be folded."""
    return cleaning if "whitespace" in cleaning.model_fields_set else cleaning.model_copy(update={"whitespace": False})

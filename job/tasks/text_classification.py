"""Text classification, taught: one label of several, or any number of them; over one text or a pair."""

from typing import Any

import pyarrow as pa
from torch import nn

from tunewright.job.batches.side import Rows
from tunewright.job.data.check import Cells
from tunewright.job.data.columns import Form, Roles
from tunewright.job.kinds import few_shot
from tunewright.job.kinds.classification import ClassificationTask
from tunewright.job.kinds.task import Plan
from tunewright.job.kinds.text import TextTask
from tunewright.job.train.loop import Trained
from tunewright.job.train.objective import Objective


class TextClassification(ClassificationTask, TextTask):
    """Texts or pairs of texts to labels."""

    FORMS = (Form(("text",), ("text_pair",), "label"), Form(("text",), ("text_pair",), "labels"))

    def arrow_types(self, roles: Roles) -> tuple[pa.DataType, pa.DataType]:
        """One text or two, and a list of labels."""
        return self.text_type(roles), pa.list_(pa.string())

    def read(self, cells: Cells) -> tuple[Any, Any] | None:
        """The text or texts, and the labels."""
        text, labels = cells.texts(), cells.labels()
        return None if text is None or labels is None else (text, labels)

    def train(self, model: nn.Module, sides: tuple[Rows, Rows], objective: Objective, plan: Plan) -> Trained:
        """Fine-tune, or learn from few labels where the settings ask for it."""
        if plan.settings.train.few_shot:
            return few_shot.teach(model, sides, plan)
        return super().train(model, sides, objective, plan)

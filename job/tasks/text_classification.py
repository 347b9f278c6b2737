"""Text classification, taught: one label of several, or any number of them; over one text or a pair."""

from typing import Any

import pyarrow as pa
from torch import nn

from job import few_shot
from job.check import Cells
from job.classification import ClassificationTask
from job.form import Form, Roles
from job.objective import Objective, Rows
from job.task import Plan
from job.text_task import TextTask
from job.train import Trained


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

"""A version as a model of MLflow: the loader that `mlflow.pyfunc.load_model` finds in what `tunewright export --mlflow`
writes. It needs neither MLflow nor pandas itself, and no torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from tunewright.serving import golden
from tunewright.serving.errors import BundleError, InputError, shown
from tunewright.serving.predictor import Predictor, open_predictor
from tunewright.serving.request.parameters import check_sizes
from tunewright.serving.request.schema import inputs_of, parts_of


@runtime_checkable
class Table(Protocol):
    """What is asked of a data frame."""

    def to_dict(self, orient: Literal["list"]) -> dict[str, list[object]]:
        """Its columns, by name."""


class Scorer:
    """A version that answers each row of a table."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(
        self,
        model_input: Table | Mapping[str, Sequence[object]] | list[object],
        params: Mapping[str, object] | None = None,
    ) -> list[object]:
        """One answer per row, as the server gives it. Raises InputError for rows or parameters it cannot read.

        `model_input`: a data frame or columns, named by the parts of an input (`text`, or `question` and `context`; a
        single column may have any name), or a list of inputs.
        """
        task, model = self.predictor.task, self.predictor.model
        columns = model_input.to_dict("list") if isinstance(model_input, Table) else model_input
        if isinstance(columns, Mapping):
            columns = inputs_of(parts_of(task.shapes(model).item), columns)
        if not columns:
            return []
        checked, are_many = task.read_inputs(columns, model)
        if not are_many:
            raise InputError(f"{shown(columns)} reads as one input; give a table or a list of inputs")
        check_sizes(params or {})
        return self.predictor.predict(checked, params)


def _load_pyfunc(path: str) -> Scorer:
    """What MLflow calls. `path`: the folder of the version. Raises BundleError for one that answers otherwise here than
    where it was measured."""
    predictor = open_predictor(Path(path))
    try:
        golden.replay(predictor)
    except BundleError:
        predictor.close()
        raise
    return Scorer(predictor)

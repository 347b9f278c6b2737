"""The observations of inputs that a predictor is asked about."""

from collections.abc import Iterator, Sequence

from tunewright.serving.errors import RequestError
from tunewright.serving.predictor import Predictor
from tunewright.serving.profile.observation import Observation, observe


def observations(predictor: Predictor, inputs: Sequence[object], *, unknown_id: int | None) -> Iterator[Observation]:
    """One for each input that the model answers with its own defaults; of a task that writes, without an answer."""
    parameters = predictor.task.read_parameters({}, predictor.model)
    regression = predictor.model.problem == "regression"
    for one in inputs:
        try:
            (row,) = predictor.prepare([one], parameters)
        except RequestError:  # what a caller could not send either, such as a prompt that fills the context
            continue
        answer = None if predictor.writes else predictor.answers([row], parameters)[0]
        yield observe(row, answer, unknown_id=unknown_id, regression=regression)

"""The half of the task that answers."""

from tunewright.serving.tasks.text_classification import open_engine, read_inputs, read_parameters, shapes

__all__ = ["open_engine", "read_inputs", "read_parameters", "shapes"]

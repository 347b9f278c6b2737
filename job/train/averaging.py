"""A running mean of the weights: what is measured and kept swings less than what learns."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn


class RunningMean:
    """The exponential moving average of the weights that learn (Polyak and Juditsky 1992)."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model, self._decay, self.steps = model, decay, 0
        self.weights = {name: weight.detach().clone() for name, weight in self._learning()}

    def _learning(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, weight) for name, weight in self._model.named_parameters() if weight.requires_grad)

    @torch.no_grad()
    def update(self) -> None:
        """After a step. The first ones count for more, so that the beginning is soon forgotten."""
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        for name, weight in self._learning():
            # Gradual unfreezing lets more weights learn from time to time.
            self.weights.setdefault(name, weight.detach().clone()).lerp_(weight, 1 - decay)

    def restore(self, weights: Mapping[str, torch.Tensor], steps: int) -> None:
        """Go on from another one's `weights` and `steps`."""
        places = dict(self._model.named_parameters())
        self.weights = {name: weight.to(places[name].device) for name, weight in weights.items()}
        self.steps = steps

    @contextmanager
    def put_in(self) -> Iterator[None]:
        """The model with the mean for its weights, while something is measured."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        places = dict(self._model.named_parameters())
        for name in self.weights:
            weight = places[name]
            learned = weight.detach().clone()
            weight.copy_(self.weights[name])
            self.weights[name] = learned

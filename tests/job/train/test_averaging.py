"""A running mean of the weights."""

import pytest
import torch

from tunewright.job.train.averaging import RunningMean


def test_it_is_the_exponential_mean_and_soon_forgets_the_beginning():
    layer = torch.nn.Linear(1, 1, bias=False)
    mean, expected = RunningMean(layer, 0.5), float(layer.weight.detach())
    for step in range(1, 12):
        with torch.no_grad():
            layer.weight.fill_(step)
        mean.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    with mean.put_in():
        assert float(layer.weight) == pytest.approx(expected)
    assert float(layer.weight) == 11


def test_what_does_not_learn_stays():
    layer = torch.nn.Linear(2, 2).requires_grad_(False)
    before = layer.weight.clone()
    mean = RunningMean(layer, 0.9)
    mean.update()
    with mean.put_in():
        assert layer.weight.equal(before)

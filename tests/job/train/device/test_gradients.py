import pytest
import torch
from torch import nn

from tunewright.job.ranks import Place
from tunewright.job.train.device.gradients import Gradients
from tunewright.job.train.distributed import World

ROWS = torch.tensor([[5, 7, 5], [0, 1999, 7]])


class Model(nn.Module):
    """A table of many rows, one of few, and a last layer that may be tied to the first."""

    def __init__(self, *, tied=False):
        super().__init__()
        torch.manual_seed(1)
        self.words, self.places = nn.Embedding(2000, 8, padding_idx=0), nn.Embedding(3, 8)
        self.last = nn.Linear(8, 2000 if tied else 2)
        if tied:
            self.last.weight = self.words.weight

    def forward(self, rows):
        return self.last((self.words(rows) + self.places(torch.arange(3))).mean(1))


def gradients_of(model, size=1):
    return Gradients(model, torch.optim.SGD(model.parameters(), lr=0.1), "cpu", World(Place(0, size)))


def backward(model, rows):
    (model(rows) ** 2).sum().mul(100).backward()


@pytest.mark.parametrize("most", [0.5, 1e6])
def test_gradients_by_row_are_whole_ones_when_the_optimizer_comes(most):
    one, other = Model(), Model()
    gradients = gradients_of(one)
    with gradients.held_by_row():
        # What a step leaves is gone in the next.
        for rows in (ROWS, ROWS[1:]):
            for row in rows:
                backward(one, row[None])
                gradients.gather()
                backward(other, row[None])
            norm = gradients.clip(most)
            assert norm == pytest.approx(float(nn.utils.clip_grad_norm_(other.parameters(), most)))
            for weight, expected in zip(one.parameters(), other.parameters(), strict=True):
                assert weight.grad.layout == torch.strided
                assert torch.allclose(weight.grad, expected.grad, rtol=1e-5, atol=1e-7)
            gradients.clear()
            other.zero_grad()
            assert all(weight.grad is None for weight in one.parameters())


def test_what_was_given_up_leaves_nothing():
    one, other = Model(), Model()
    gradients = gradients_of(one)
    with gradients.held_by_row():
        backward(one, ROWS)
        gradients.gather()
        backward(one, ROWS)
        gradients.clear()
        backward(one, ROWS[:1])
        gradients.gather()
        gradients.clip(1e6)
    backward(other, ROWS[:1])
    assert torch.allclose(one.words.weight.grad, other.words.weight.grad)


def test_only_large_tables_that_nothing_else_uses_are_held_by_row():
    plain, tied = Model(), Model(tied=True)
    for model, size, expected in ((plain, 1, True), (tied, 1, False), (plain, 2, False)):
        with gradients_of(model, size).held_by_row():
            assert (model.words.sparse, model.places.sparse) == (expected, False)
        assert not model.words.sparse

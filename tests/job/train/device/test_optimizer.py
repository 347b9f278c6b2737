import pytest
import torch
from torch import nn

from tunewright.job.errors import SettingsError
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.device import optimizer
from tunewright.job.train.device.optimizer import make_optimizer

EIGHT = TrainSettings(optimizer="adamw_8bit", learning_rate=0.01)


class Model(nn.Module):
    """Weights that are worth eight bits: smaller ones are left as they are."""

    base_model_prefix = ""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.last = nn.Linear(64, 128), nn.Linear(128, 1)

    def forward(self, rows):
        return self.last(torch.tanh(self.first(rows)))


def learned(settings, steps=30):
    model = Model()
    made = make_optimizer(model, settings)
    rows = torch.randn(32, 64, generator=torch.Generator().manual_seed(2))
    for _ in range(steps):
        loss = ((model(rows)[:, 0] - rows[:, 0]) ** 2).mean()
        loss.backward()
        made.step()
        made.zero_grad()
    return made, float(loss.detach())


def test_running_means_in_eight_bits_learn_nearly_as_well():
    made, loss = learned(EIGHT)
    kinds = {tensor.dtype for state in made.state.values() for tensor in state.values() if torch.is_tensor(tensor)}
    assert torch.uint8 in kinds
    assert loss == pytest.approx(learned(TrainSettings(learning_rate=0.01))[1], rel=0.2)


def test_eight_bits_without_their_package(monkeypatch):
    monkeypatch.setattr(optimizer, "find_spec", lambda name: None)
    with pytest.raises(SettingsError) as caught:
        make_optimizer(Model(), EIGHT)
    assert str(caught.value) == (
        "train.optimizer is adamw_8bit, which needs the package bitsandbytes, and that is not installed: "
        "pip install 'tunewright[qlora]', or set adamw"
    )

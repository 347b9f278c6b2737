"""Weights that learn with the rounding of int8 lose less by it."""

import pytest
import torch
import torch.nn.functional as functional
from torch import nn

from tunewright.job.errors import SettingsError
from tunewright.job.export.int8 import quantized_columns
from tunewright.job.train.device.fake_int8 import int8_imitated, rounded


def learned(aware):
    """The loss of int8, and how far it is from float32, after a layer was learned of which int8 has but coarse steps:
    one weight of each row is large, and meets zeros."""
    torch.manual_seed(1)
    given = torch.randn(256, 33)
    given[:, 0] = 0
    wanted = given @ torch.randn(33, 16) / 6
    model = nn.Sequential(nn.Linear(33, 64), nn.GELU(), nn.Linear(64, 16))
    nn.init.constant_(model[0].weight[:, 0], 40)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    with int8_imitated(model, aware):
        for _ in range(300):
            optimizer.zero_grad()
            functional.mse_loss(model(given), wanted).backward()
            optimizer.step()
    with torch.no_grad():
        plain = model(given)
        with int8_imitated(model, True):
            int8 = model(given)
    return functional.mse_loss(int8, wanted), (int8 - plain).abs().mean()


def test_int8_loses_less_of_what_was_learned_with_its_rounding():
    (lost, apart), (aware_lost, aware_apart) = learned(False), learned(True)
    assert aware_lost < lost / 2
    assert aware_apart < 0.8 * apart


def test_weights_are_rounded_to_what_the_file_holds_and_pass_their_gradient_on():
    weight = torch.randn(3, 40, requires_grad=True)
    made = rounded(weight, 127)
    numbers, scale = quantized_columns(weight.detach().numpy().T)
    assert torch.allclose(made.detach(), torch.from_numpy((numbers * scale).T), atol=1e-6)
    (made * 3).sum().backward()
    assert (weight.grad == 3).all()


def test_a_model_of_which_int8_rounds_nothing_is_refused():
    with pytest.raises(SettingsError) as caught, int8_imitated(nn.Linear(4, 4), True):
        pass
    assert str(caught.value) == (
        "train.quantization_aware would have no effect: int8 rounds no layer of this model; remove it"
    )

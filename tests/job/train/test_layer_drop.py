"""Layers that are passed over."""

import pytest
import torch

from tunewright.job.errors import BaseModelError, SettingsError
from tunewright.job.model.build import build_classifier
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.layer_drop import layers_dropped

BATCH = {"input_ids": torch.tensor([[2, 30, 31, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}


@pytest.fixture
def model(fetch, tiny_base):
    return build_classifier(fetch(tiny_base), ["a", "b"], TrainSettings(pooling="mean", dropout=0.0))


def answers(model, share, times=40):
    torch.manual_seed(1)
    with layers_dropped(model, share), torch.no_grad():
        return {tuple(model(**BATCH)["logits"][0].tolist()) for _ in range(times)}


def test_each_layer_is_passed_over_but_never_both(model):
    model.train()
    whole = answers(model, 0.0)
    without = answers(model, 0.5)
    assert len(whole) == 1
    # Both layers, the first alone, the second alone.
    assert len(without) == 3
    assert whole < without


def test_answers_are_given_by_all_layers(model):
    model.eval()
    assert len(answers(model, 0.5)) == 1


def test_the_model_is_plain_again(model):
    answers(model, 0.5)
    assert not any(module._forward_hooks for module in model.modules())


class Narrowing(torch.nn.Module):
    """A model whose layers halve what they are given."""

    base_model_prefix = ""

    def __init__(self):
        super().__init__()
        self.stack = torch.nn.ModuleList(torch.nn.Sequential(torch.nn.Linear(n, n // 2)) for n in (8, 4))

    def forward(self, given):
        for layer in self.stack:
            given = layer(given)
        return given


def test_layers_that_cannot_be_passed_over_are_refused():
    model = Narrowing()
    torch.manual_seed(0)
    refused = pytest.raises(BaseModelError, match="a Sequential hands on something of another size")
    with refused, layers_dropped(model, 0.9):
        model(torch.ones(1, 8))


def test_a_model_without_layers_is_refused():
    plain = torch.nn.Linear(2, 2)
    plain.base_model_prefix = ""
    with pytest.raises(SettingsError, match="this model has no stack of layers"), layers_dropped(plain, 0.5):
        pass

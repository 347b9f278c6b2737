"""Weights in shards: when, and when not. What two processes learn so is in test_distributed.py."""

import json

import pytest
from torch import nn

from tunewright.job.errors import SettingsError
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.device.shards import in_shards, is_in_shards, put_together


class Flat(nn.Linear):
    base_model_prefix = ""

    def __init__(self):
        super().__init__(2, 2)


class Stack(nn.Module):
    base_model_prefix = ""

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(2, 2)) for _ in range(layers))


def test_one_process_holds_all_weights_and_says_so(capsys):
    model = Stack(2)
    assert in_shards(model, TrainSettings()) is model
    assert capsys.readouterr().out == ""
    shards = in_shards(model, TrainSettings(parallel="fsdp"))
    assert put_together(model, shards) is model
    assert not is_in_shards(model)
    said = json.loads(capsys.readouterr().out)
    assert said["message"] == "train.parallel is fsdp, and this is one process: it holds all weights itself"


def test_a_model_without_layers_is_not_shared_out():
    with pytest.raises(SettingsError) as caught:
        in_shards(Flat(), TrainSettings(parallel="fsdp"))
    assert str(caught.value) == (
        "train.parallel is fsdp, but this model has no stack of layers to share out; set it to ddp"
    )

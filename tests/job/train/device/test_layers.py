import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from tunewright.job.batches.side import NoRows
from tunewright.job.batches.text import TextRows
from tunewright.job.errors import SettingsError
from tunewright.job.export.graph import graph_inputs
from tunewright.job.model.build import build_classifier
from tunewright.job.model.layers import blocks, choose_layers
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.device.layers import PAYS_AFTER, compiles, layers_prepared
from tunewright.job.train.loop import train
from tunewright.job.train.objective import Objective


def settings_of(**values):
    common = {"epochs": 1, "batch_size": 8, "precision": "fp32", "pooling": "mean", "dropout": 0.2}
    return TrainSettings(**(common | values))


@pytest.fixture
def fine_tune(fetch, tiny_base, encoder, make_split, reviews):
    """fine_tune(settings): the model that has learned from 32 rows, and the losses."""
    split = make_split([text for text, _ in reviews[:32]], np.arange(32) % 2)

    def run(settings):
        model = build_classifier(fetch(tiny_base), ["negative", "positive"], settings)
        choose_layers(model, settings)
        rows = TextRows(split, encoder, graph_inputs(model.config))
        losses = []

        def loss(logits, targets):
            value = cross_entropy(logits, targets)
            losses.append(value.detach())
            return value

        train(model, (rows, NoRows()), Objective(loss, lambda _: {}, "accuracy"), settings)
        return model, torch.stack(losses)

    return run


@pytest.fixture
def model(fetch, tiny_base):
    return build_classifier(fetch(tiny_base), ["negative", "positive"], settings_of())


def held(model, batch):
    """Bytes that one way forward keeps for the way back, weights aside."""
    kept = {}

    def pack(tensor):
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(**batch)
    return sum(kept.values()) - sum(weight.nbytes for weight in model.parameters() if weight.data_ptr() in kept)


@pytest.mark.parametrize("more", [{}, {"precision": "bf16"}, {"lora": {"rank": 2}, "layers": 1}], ids=str)
def test_what_is_computed_again_gives_the_same_bits_and_keeps_less(fine_tune, model, batch, more):
    plain, losses = fine_tune(settings_of(**more))
    again, same = fine_tune(settings_of(gradient_checkpointing=True, **more))
    assert losses.equal(same)
    assert all(weight.equal(again.state_dict()[name]) for name, weight in plain.state_dict().items())
    before = held(model.train(), batch(4, 32))
    with layers_prepared(model, settings_of(gradient_checkpointing=True), "cpu", 1):
        assert held(model, batch(4, 32)) < 0.5 * before


def test_the_layers_are_afterwards_as_they_were(model):
    with layers_prepared(model, settings_of(gradient_checkpointing=True), "cpu", 1):
        assert all("forward" in vars(block) for block in blocks(model))
    assert not any("forward" in vars(block) for block in blocks(model))


def test_a_model_without_layers_has_none_to_compute_again():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    model.base_model_prefix = ""
    with (
        pytest.raises(SettingsError) as caught,
        layers_prepared(model, settings_of(gradient_checkpointing=True), "cpu", 1),
    ):
        pass
    assert str(caught.value) == (
        "train.gradient_checkpointing would have no effect: this model has no stack of layers; remove it"
    )


def test_layers_are_compiled_as_asked_or_on_a_gpu_that_wins_it_back(model, monkeypatch):
    monkeypatch.setattr("tunewright.job.train.device.layers.find_spec", lambda name: name)
    assert compiles(model, settings_of(compile=True), "cpu", 1)
    assert not compiles(model, settings_of(compile=False), "cuda", PAYS_AFTER)
    assert not compiles(model, settings_of(), "cpu", PAYS_AFTER)
    assert not compiles(model, settings_of(), "cuda", PAYS_AFTER - 1)
    assert compiles(model, settings_of(), "cuda", PAYS_AFTER)


@pytest.mark.slow
def test_compiled_layers_learn_the_same(fine_tune):
    plain, losses = fine_tune(settings_of(dropout=0.0))
    compiled, near = fine_tune(settings_of(dropout=0.0, compile=True, gradient_checkpointing=True))
    assert losses.tolist() == pytest.approx(near.tolist(), abs=1e-5)
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    assert not any("forward" in vars(block) for block in blocks(compiled))

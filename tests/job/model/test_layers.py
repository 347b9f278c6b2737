"""Which weights learn, how fast and from when on."""

import copy
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (  # fmt: skip
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
)

from tunewright.job.errors import SettingsError
from tunewright.job.export.graph import ARCHITECTURES
from tunewright.job.model import four_bits
from tunewright.job.model.build import build_classifier
from tunewright.job.model.layers import (
    blocks,
    choose_layers,
    keep_layers,
    merge_adapters,
    parameter_groups,
    unfreeze,
)
from tunewright.job.model.load import save_weights
from tunewright.job.settings.train import TrainSettings

LABELS = ["negative", "positive"]
BLOCK = "bert.encoder.layer"


def settings_of(**values):
    return TrainSettings(pooling="mean", **values)


@pytest.fixture
def model(fetch, tiny_base):
    """A tiny BERT of two layers with the mean over its tokens and a head."""
    return build_classifier(fetch(tiny_base), LABELS, settings_of())


def learning(model):
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def rates(model, settings):
    names = {id(weight): name for name, weight in model.named_parameters()}
    return {names[id(weight)]: group["lr"] for group in parameter_groups(model, settings) for weight in group["params"]}


def test_all_layers_learn(model):
    counted = choose_layers(model, settings_of())
    assert counted.total == counted.learning == sum(weight.numel() for weight in model.parameters())


def test_parts_are_left_as_they_are_by_name(model):
    choose_layers(model, settings_of(freeze=["embeddings", "encoder.layer.1"]))
    assert not [name for name in learning(model) if name.startswith(("bert.embeddings.", f"{BLOCK}.1."))]
    assert {name for name in learning(model) if name.startswith(f"{BLOCK}.0.")}


def test_what_is_frozen_stays_so_while_layers_are_unfrozen(model):
    settings = settings_of(freeze=["embeddings"], unfreeze=1)
    counted = choose_layers(model, settings)
    assert counted.learning == counted.total - sum(weight.numel() for weight in model.bert.embeddings.parameters())
    unfreeze(model, settings, 3)
    assert not [name for name in learning(model) if name.startswith("bert.embeddings.")]
    assert {name for name in learning(model) if name.startswith(f"{BLOCK}.0.")}


@pytest.mark.parametrize("name", ["head", "", "encoder.lay", "encoder.layer.11"])
def test_a_part_that_is_not_there_is_refused_with_those_that_are(model, name):
    with pytest.raises(SettingsError, match=f"train.freeze names '{name}', which is no part.*embeddings, encoder"):
        choose_layers(model, settings_of(freeze=[name]))


def test_only_the_head_learns(model):
    assert choose_layers(model, settings_of(layers="head")).learning == 2 * 32 + 2
    assert learning(model) == {"classifier.weight", "classifier.bias"}


def test_a_pooler_learns_with_the_head(fetch, tiny_base):
    native = build_classifier(fetch(tiny_base), LABELS, TrainSettings(pooling="native"))
    choose_layers(native, settings_of(layers="head"))
    pooler = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert learning(native) == {"classifier.weight", "classifier.bias"} | pooler


def test_the_top_layers_learn_with_the_head(model):
    counted = choose_layers(model, settings_of(layers=1))
    layer = sum(weight.numel() for weight in model.bert.encoder.layer[1].parameters())
    assert counted.learning == layer + 2 * 32 + 2
    assert not any(name.startswith((f"{BLOCK}.0", "bert.embeddings")) for name in learning(model))


def test_more_layers_than_there_are_are_refused(model):
    with pytest.raises(SettingsError, match=r"^train\.layers is 3, but the model has 2 layers; say 'all'$"):
        choose_layers(model, settings_of(layers=3))


@pytest.mark.parametrize("kind", sorted(set(ARCHITECTURES) - {"albert"}))
def test_the_layers_of_every_architecture_are_found(fetch, make_base, kind):
    model = build_classifier(fetch(make_base(kind)), LABELS, settings_of())
    counts = [choose_layers(model, settings_of(layers=layers)).learning for layers in ("head", 1, 2)]
    model.requires_grad_(True)
    assert counts == sorted(set(counts))
    assert counts[-1] < choose_layers(model, settings_of()).total


def test_an_encoders_layers_stand_below_its_decoders():
    small = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 2,
             "decoder_attention_heads": 2, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "vocab_size": 30}  # fmt: skip
    bart = BartForConditionalGeneration(BartConfig(**small))
    assert blocks(bart) == [*bart.model.encoder.layers, *bart.model.decoder.layers]
    t5 = T5ForConditionalGeneration(T5Config(d_model=16, d_kv=8, d_ff=8, num_layers=2, num_heads=2, vocab_size=30))
    assert blocks(t5) == [*t5.encoder.block, *t5.decoder.block]


def test_a_model_without_a_head_of_its_own_cannot_learn_its_head_alone():
    gpt = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=30))
    with pytest.raises(SettingsError, match=r"^train\.layers is head, but this model has no head of its own"):
        choose_layers(gpt, settings_of(layers="head"))


def test_rates_fall_with_the_depth(model):
    found = rates(model, settings_of(learning_rate=1e-3, layer_decay=0.5))
    assert found["classifier.weight"] == found[f"{BLOCK}.1.output.dense.weight"] == 1e-3
    assert found[f"{BLOCK}.0.output.dense.weight"] == pytest.approx(5e-4)
    assert found["bert.embeddings.word_embeddings.weight"] == pytest.approx(2.5e-4)
    assert set(found) == {name for name, _ in model.named_parameters()}


def test_biases_and_normalization_are_not_decayed(model):
    for group in parameter_groups(model, settings_of(weight_decay=0.1)):
        assert all((weight.ndim > 1) == (group["weight_decay"] == 0.1) for weight in group["params"])


def test_layers_thaw_from_the_top(model):
    settings = settings_of(unfreeze=1)
    choose_layers(model, settings)
    seen = []
    for epoch in (1, 2, 3):
        unfreeze(model, settings, epoch)
        seen.append({name for name in learning(model) if name.startswith(("bert", "classifier"))})
    assert seen[0] == {"classifier.weight", "classifier.bias"}
    assert {name.split(".layer.")[1][0] for name in seen[1] if ".layer." in name} == {"1"}
    assert seen[2] == {name for name, _ in model.named_parameters()}


def check_merging(model, rows):
    """Whatever the adapters have learned, the merged model answers as the adapted one."""
    generator = torch.Generator().manual_seed(3)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data = torch.randn(weight.shape, generator=generator)
    model.eval()
    with torch.no_grad():
        adapted = model(**rows)["logits"]
        merge_adapters(model)
        merged = model(**rows)["logits"]
    assert np.allclose(adapted, merged, atol=1e-5)


def test_adapters_learn_instead_of_the_layers_and_are_merged_into_them(model, batch):
    counted = choose_layers(model, settings_of(lora={"rank": 2}))
    assert {name.rsplit(".", 3)[-3] for name in learning(model) if "classifier" not in name} == {"lora_A", "lora_B"}
    assert counted.learning < 0.2 * counted.total
    check_merging(model, batch(2, 9))
    assert not any("lora" in name or "base_layer" in name for name in model.state_dict())


def test_weights_in_four_bits_are_counted_whole_and_become_what_learned_beside_them(model, batch):
    plain = choose_layers(copy.deepcopy(model), settings_of(lora={"rank": 2}))
    names = set(model.state_dict())
    assert choose_layers(model, settings_of(lora={"rank": 2, "quantization": "nf4"})) == plain
    assert model.get_submodule(f"{BLOCK}.0.attention.self.query").base_layer.weight.dtype == torch.uint8
    check_merging(model, batch(2, 9))
    assert set(model.state_dict()) == names


def test_the_memory_that_four_bits_save_is_told(capsys):
    config = BartConfig(d_model=128, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=512, decoder_ffn_dim=512,
                        encoder_attention_heads=2, decoder_attention_heads=2, vocab_size=50)  # fmt: skip
    model = BartForConditionalGeneration(config)
    before = sum(tensor.nbytes for tensor in model.state_dict().values())
    choose_layers(model, settings_of(lora={"rank": 1, "quantization": "nf4"}))
    said = json.loads(capsys.readouterr().out)
    assert said["bytes_before"] == before
    # The embeddings of 1,026 places are left as they are.
    assert said["bytes"] < 0.6 * before
    assert said["message"] == (
        f"frozen weights in four bits: all weights take {said['bytes'] / 1e6:.1f} MB instead of {before / 1e6:.1f} MB"
    )


def test_adapters_in_the_top_layers_and_in_some_matrices_only(model):
    choose_layers(model, settings_of(lora={"targets": ["query", "value"]}, layers=1))
    adapted = {name.partition(".lora_")[0] for name in learning(model) if "lora_" in name}
    assert adapted == {f"{BLOCK}.1.attention.self.query", f"{BLOCK}.1.attention.self.value"}


def test_adapters_beside_the_transposed_matrices_of_gpt2_and_in_a_picture_model():
    for model in (
        GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=30)),
        ViTForImageClassification(
            ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=8,
                      patch_size=4)
        ),
    ):  # fmt: skip
        names = set(model.state_dict())
        choose_layers(model, settings_of(lora={}))
        assert any("lora_A" in name for name in learning(model))
        merge_adapters(model)
        assert set(model.state_dict()) == names


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"lora": {"targets": ["q_proj"]}},
            "train.lora.targets names 'q_proj'; the linear layers here are dense, key,",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(model, values, said):
    with pytest.raises(SettingsError) as caught:
        choose_layers(model, settings_of(**values))
    assert str(caught.value).startswith(said)


def test_four_bits_are_for_linear_layers():
    model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=30))
    with pytest.raises(SettingsError) as caught:
        choose_layers(model, settings_of(lora={"quantization": "nf4"}))
    assert str(caught.value) == (
        "train.lora.quantization is for linear layers, but transformer.h.0.attn.c_attn is a Conv1D (as GPT-2 has); "
        "remove it"
    )


def test_four_bits_without_their_package(model, monkeypatch):
    monkeypatch.setattr(four_bits, "find_spec", lambda name: None)
    with pytest.raises(SettingsError) as caught:
        choose_layers(model, settings_of(lora={"quantization": "nf4"}))
    assert str(caught.value) == (
        "train.lora.quantization needs the package bitsandbytes, which is not installed: "
        "pip install 'tunewright[qlora]', or remove the setting"
    )


def test_what_makes_adapters_is_imported_where_it_is_used():
    for file in Path(four_bits.__file__).parents[1].rglob("*.py"):
        at_once = [line for line in file.read_text(encoding="utf-8").splitlines() if re.match("import|from", line)]
        assert not [line for line in at_once if {"peft", "bitsandbytes"} & set(re.findall(r"\w+", line))], file


@pytest.mark.slow
def test_a_job_without_adapters_does_not_import_what_makes_them():
    code = "import sys, job.recipe; print(sorted({'peft', 'bitsandbytes'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def check_kept(fetch, folder, base, batch):
    """A model without its upper layer is smaller, and the same again from its files."""
    made = build_classifier(fetch(base), LABELS, settings_of())
    before = sum(weight.numel() for weight in made.parameters())
    keep_layers(made, 1)
    assert sum(weight.numel() for weight in made.parameters()) < before
    save_weights(made, folder)
    shutil.copyfile(base / "tokenizer.json", folder / "tokenizer.json")
    again = build_classifier(fetch(folder), LABELS, settings_of())
    assert len(blocks(again)) == 1
    with torch.no_grad():
        one, other = (model.eval()(**batch(2, 9))["logits"] for model in (made, again))
    assert torch.equal(one, other)


def test_layers_are_left_out_before_anything_is_learned(fetch, tiny_base, tmp_path, batch):
    check_kept(fetch, tmp_path / "cut", tiny_base, batch)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(set(ARCHITECTURES) - {"albert", "bert"}))
def test_layers_of_every_architecture_can_be_left_out(fetch, make_base, tmp_path, batch, kind):
    check_kept(fetch, tmp_path / "cut", make_base(kind), batch)


def test_layers_are_kept_by_their_numbers(model):
    top = model.bert.encoder.layer[1]
    keep_layers(model, (1,))
    assert list(model.bert.encoder.layer) == [top]
    assert model.config.num_hidden_layers == 1


@pytest.mark.parametrize("kept", [2, 3, (0, 1), (2,), ()])
def test_layers_that_are_not_there_cannot_be_kept(model, kept):
    shown = kept if isinstance(kept, int) else list(kept)
    with pytest.raises(SettingsError) as caught:
        keep_layers(model, kept)
    assert str(caught.value) == (f"train.keep_layers is {shown}, but the model has 2 layers, 0 to 1: keep some of them")


def test_layers_that_are_one_and_the_same_cannot_be_left_out(fetch, make_base):
    with pytest.raises(SettingsError) as caught:
        keep_layers(build_classifier(fetch(make_base("albert")), LABELS, settings_of()), 1)
    assert str(caught.value) == (
        "train.keep_layers is for models with one stack of layers, and this architecture has none that can be cut: "
        "albert; remove it"
    )


def test_layers_that_are_not_alike_cannot_take_the_place_of_others(fetch, make_base):
    with pytest.raises(SettingsError) as caught:
        keep_layers(build_classifier(fetch(make_base("modernbert")), LABELS, settings_of()), (1,))
    assert str(caught.value) == (
        "train.keep_layers cannot be: the layers of a modernbert are not alike, so that others cannot stand in their "
        "places; keep the lowest ones, or remove it"
    )

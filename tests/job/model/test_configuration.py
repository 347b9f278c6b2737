"""A base model's configuration means what it meant when it was written, whatever transformers reads it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tunewright.job.errors import BaseModelError
from tunewright.job.export.graph import ARCHITECTURES, check_exportable
from tunewright.job.model.base_model import fetch_base_model
from tunewright.job.model.configuration import allowed_keys
from tunewright.job.model.generation_defaults import generation_tokens
from tunewright.job.model.load import load, load_config

CHECKPOINTS = Path(__file__).parent / "checkpoints"
"""Written once by transformers 4.57, with what the models answered (write.py)."""
NAMES = sorted(path.parent.name for path in CHECKPOINTS.glob("*/answers.safetensors"))
TOKENS = ("eos_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id")
AUTO = {"ForMaskedLM": "MaskedLM", "ForCausalLM": "CausalLM", "LMHeadModel": "CausalLM",
        "ForConditionalGeneration": "Seq2SeqLM", "MTModel": "Seq2SeqLM",
        "ForImageClassification": "ImageClassification", "ForAudioClassification": "AudioClassification",
        "ForSequenceClassification": "AudioClassification"}  # fmt: skip
"""How the name of a class ends, and transformers' Auto class for it."""


def auto_class(architecture):
    known = next((auto for ending, auto in AUTO.items() if architecture.endswith(ending)), None)
    return getattr(transformers, f"AutoModelFor{known}" if known else "AutoModel")


def loaded(folder, registry):
    base = fetch_base_model(str(folder), registry, needs=())
    config = load_config(base)
    config.dtype = torch.float32
    # Of Gemma 2, what 4.57 takes otherwise leaves out the soft cap.
    extra = {"attn_implementation": "eager"} if folder.name == "gemma2" else {}
    return load(auto_class(base.config()["architectures"][0]), base, config, extra).eval()


def recorded(name):
    """What a checkpoint was asked, what it answered, and for one that writes what it wrote."""
    tensors = load_file(CHECKPOINTS / name / "answers.safetensors")
    expected, written = tensors.pop("expected"), tensors.pop("written", None)
    return tensors, expected, written


@torch.no_grad()
def answer(model, asked):
    found = model(**asked)
    logits = found.logits_per_image if hasattr(found, "logits_per_image") else found.logits
    return logits[:, -24:] if logits.ndim == 3 else logits


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_of_earlier_answers_as_it_did(registry, name):
    asked, expected, _ = recorded(name)
    assert expected.std() > 0.01
    torch.testing.assert_close(answer(loaded(CHECKPOINTS / name, registry), asked), expected, rtol=0, atol=5e-5)


WRITERS = [name for name in NAMES if recorded(name)[2] is not None]


@pytest.mark.parametrize("name", WRITERS)
def test_how_a_model_writes_is_read_from_the_configuration_of_one_that_has_no_other_file(registry, name):
    """Its first token, the last one that it must write, beams, lengths, words it must not write."""
    asked, _, written = recorded(name)
    assert loaded(CHECKPOINTS / name, registry).generate(input_ids=asked["input_ids"]).tolist() == written.tolist()


@pytest.mark.parametrize("name", WRITERS)
def test_the_tokens_around_an_answer_are_those_that_the_configuration_names(registry, name):
    base = fetch_base_model(str(CHECKPOINTS / name), registry, needs=())
    stated = json.loads((CHECKPOINTS / name / "config.json").read_text())
    named = {key: stated[key] for key in TOKENS if stated.get(key) is not None}
    assert generation_tokens(base) == {"decoder_start_token_id": stated["pad_token_id"]} | named
    assert base.config().get("num_beams") == stated.get("num_beams")


def spoilt(name, tmp_path, **changes):
    """A checkpoint whose config.json says something else; None takes a key out."""
    folder = shutil.copytree(CHECKPOINTS / name, tmp_path / name)
    config = json.loads((folder / "config.json").read_text()) | changes
    kept = {key: value for key, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))
    return folder


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("llama", {"rope_theta": 10_000.0}),
        ("llama-llama3", {"rope_scaling": None}),
        ("llama-linear", {"rope_scaling": None}),
        ("qwen2-yarn", {"rope_scaling": None}),
        ("mistral", {"rope_theta": 10_000.0}),
        ("phi", {"partial_rotary_factor": 1.0}),
        ("phi3", {"rope_theta": 10_000.0}),
        ("gemma3_text", {"rope_local_base_freq": 10_000.0}),
        ("gemma3_text", {"rope_theta": 10_000.0}),
        ("gpt_neox", {"rotary_pct": 1.0, "partial_rotary_factor": 1.0}),
        ("gpt_neox", {"rotary_emb_base": 10_000, "rope_theta": 10_000}),
        ("modernbert", {"global_rope_theta": 10_000.0}),
        ("modernbert", {"local_rope_theta": 10_000.0}),
    ],
    ids=lambda one: one if isinstance(one, str) else "+".join(one),
)
def test_each_key_of_rotary_positions_has_an_effect(registry, tmp_path, name, changes):
    asked, expected, _ = recorded(name)
    other = answer(loaded(spoilt(name, tmp_path, **changes), registry), asked)
    assert (other - expected).abs().max() > 1e-3


def test_what_no_rotary_key_says_is_the_architectures_own(registry, tmp_path):
    """Of Gemma 3 before its layers had types, and of a Llama without a base."""
    bare = {"layer_types": None, "_sliding_window_pattern": None}
    asked, expected, _ = recorded("gemma3_text")
    found = answer(loaded(spoilt("gemma3_text", tmp_path, **bare), registry), asked)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["gpt_neox", "granite", "olmo2", "phi", "phi3", "qwen2", "qwen3_moe", "smollm3"])
def test_the_size_of_a_head_is_kept_where_only_the_code_looks_for_it(kind):
    kept, _ = allowed_keys({"model_type": kind, "head_dim": 16, "hidden_size": 16}, "org/model")
    assert kept["head_dim"] == 16


@pytest.mark.parametrize("kind", ["relative_key", "relative_key_query", 7])
def test_relative_positions_that_transformers_no_longer_has_are_refused_by_name(registry, tmp_path, kind):
    folder = spoilt("bert", tmp_path, position_embedding_type=kind)
    with pytest.raises(BaseModelError) as caught:
        fetch_base_model(str(folder), registry, needs=())
    assert str(caught.value) == (
        f"base model '{folder}': config.json sets position_embedding_type to {kind!r}, which transformers no longer "
        "has; only 'absolute' is supported"
    )


def test_an_architecture_that_only_earlier_versions_knew_is_refused_before_training(registry, tmp_path):
    folder = spoilt("bert", tmp_path, model_type="nezha")
    with pytest.raises(BaseModelError) as caught:
        base = fetch_base_model(str(folder), registry, needs=())
        check_exportable(str(base.config()["model_type"]), base.address, ARCHITECTURES)
    assert "'nezha'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "scaling", [{"rope_type": "martian", "factor": 2.0}, {"factor": "many", "rope_type": "linear"}]
)
def test_rotary_positions_of_an_unknown_kind_are_refused_before_training(registry, tmp_path, scaling):
    folder = spoilt("llama", tmp_path, rope_scaling=scaling)
    with pytest.raises(BaseModelError) as caught:
        loaded(folder, registry)
    assert str(caught.value).startswith(f"base model '{folder}'")
    assert "\n" not in str(caught.value)


def with_weight(name, tmp_path, weight, shape=(4, 4)):
    """A checkpoint with one more weight in its file."""
    folder = spoilt(name, tmp_path)
    weights = load_file(folder / "model.safetensors") | {weight: torch.ones(shape)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("bert", "bert.encoder.layer.0.attention.self.distance_embedding.weight"),
        ("roberta", "roberta.encoder.layer.1.output.dense.weight"),
        ("llama", "model.layers.1.mlp.up_proj.weight"),
        ("gpt2", "transformer.h.0.attn.c_attn.scale"),
        ("vit", "vit.embeddings.position_scale"),
    ],
)
def test_a_weight_of_the_encoder_that_the_model_has_no_place_for_is_refused(registry, tmp_path, name, weight):
    folder = with_weight(name, tmp_path, weight)
    with pytest.raises(BaseModelError) as caught:
        loaded(folder, registry)
    assert str(caught.value) == (
        f"base model '{folder}': model.safetensors holds 1 weights that a model of its config.json does not have, such "
        f"as {weight}: it would answer otherwise than it was taught"
    )


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("bert", "bert.embeddings.position_ids"),
        ("bert", "bert.pooler.dense.weight"),
        ("bert", "cls.seq_relationship.weight"),
        ("gpt2", "transformer.h.0.attn.masked_bias"),
        ("gpt2", "score.weight"),
        ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq"),
        ("vit", "vit.embeddings.mask_token"),
        ("bart", "model.encoder.version"),
    ],
)
def test_other_heads_and_what_is_not_learned_may_be_left_over(registry, tmp_path, name, weight):
    asked, expected, _ = recorded(name)
    model = loaded(with_weight(name, tmp_path, weight), registry)
    torch.testing.assert_close(answer(model, asked), expected, rtol=0, atol=1e-5)

"""Writes the checkpoints beside this file and what they answered; run once, with transformers 4.57.

    python tests/job/model/checkpoints/write.py [NAME...]

They say what a config.json of that time means. A later transformers must answer the same, so that nothing here is ever
written again by a newer one.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

HERE = Path(__file__).parent
POSITIONS = 40
_SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
    "vocab_size": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GROUPED = _SIZES | {"num_key_value_heads": 1}
_TWO = {"num_hidden_layers": 2}
_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
_YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
_LONG = {"type": "longrope", "short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [1.0, 2.0, 3.0, 4.0]}
_T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "vocab_size": 16}
_BART = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 64,
    "vocab_size": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_VISION = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
_AUDIO = _VISION | {
    "conv_dim": [8, 8],
    "conv_kernel": [10, 3],
    "conv_stride": [5, 2],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 8,
}
_CAUSAL, _MASKED, _TO_TEXT = "AutoModelForCausalLM", "AutoModelForMaskedLM", "AutoModelForSeq2SeqLM"
_IMAGES, _SOUNDS = "AutoModelForImageClassification", "AutoModelForAudioClassification"
CHECKPOINTS = {
    "llama": ("llama", _CAUSAL, _GROUPED | {"rope_theta": 500_000.0}),
    "llama-llama3": ("llama", _CAUSAL, _GROUPED | {"rope_theta": 500_000.0, "rope_scaling": _LLAMA3}),
    "llama-linear": ("llama", _CAUSAL, _GROUPED | {"rope_scaling": {"type": "linear", "factor": 4.0}}),
    "llama-dynamic": (
        "llama",
        _CAUSAL,
        _GROUPED | {"rope_scaling": {"rope_type": "dynamic", "factor": 4.0}, "max_position_embeddings": 16},
    ),
    "mistral": ("mistral", _CAUSAL, _GROUPED | {"rope_theta": 1_000_000.0, "sliding_window": 8}),
    "qwen2": ("qwen2", _CAUSAL, _GROUPED | {"rope_theta": 1_000_000.0}),
    "qwen2-yarn": ("qwen2", _CAUSAL, _GROUPED | {"rope_theta": 1_000_000.0, "rope_scaling": _YARN}),
    "qwen2-window": (
        "qwen2",
        _CAUSAL,
        _GROUPED | _TWO | {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", _CAUSAL, _GROUPED | {"rope_theta": 1_000_000.0, "head_dim": 8}),
    "qwen3_moe": (
        "qwen3_moe",
        _CAUSAL,
        _GROUPED
        | {
            "rope_theta": 1_000_000.0,
            "head_dim": 8,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 8,
        },
    ),
    "phi": ("phi", _CAUSAL, _SIZES | {"rope_theta": 50_000.0, "partial_rotary_factor": 0.25}),
    "phi3": ("phi3", _CAUSAL, _GROUPED | {"rope_theta": 50_000.0, "sliding_window": 8}),
    "phi3-longrope": ("phi3", _CAUSAL, _GROUPED | {"rope_scaling": _LONG, "original_max_position_embeddings": 16}),
    "gemma": ("gemma", _CAUSAL, _GROUPED | {"rope_theta": 50_000.0, "head_dim": 8}),
    "gemma2": ("gemma2", _CAUSAL, _GROUPED | _TWO | {"rope_theta": 50_000.0, "head_dim": 8, "sliding_window": 8}),
    "gemma3_text": (
        "gemma3_text",
        _CAUSAL,
        _GROUPED
        | _TWO
        | {
            "rope_theta": 500_000.0,
            "rope_local_base_freq": 5_000.0,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "head_dim": 8,
            "sliding_window": 8,
            "sliding_window_pattern": 2,
        },
    ),
    "gpt_neox": ("gpt_neox", _CAUSAL, _SIZES | {"rotary_pct": 0.5, "rotary_emb_base": 50_000}),
    "smollm3": ("smollm3", _CAUSAL, _GROUPED | _TWO | {"rope_theta": 500_000.0, "no_rope_layer_interval": 2}),
    "olmo2": ("olmo2", _CAUSAL, _GROUPED | {"rope_theta": 500_000.0}),
    "granite": (
        "granite",
        _CAUSAL,
        _GROUPED | {"rope_theta": 500_000.0, "residual_multiplier": 0.5, "logits_scaling": 2.0},
    ),
    "modernbert": (
        "modernbert",
        _MASKED,
        _SIZES
        | _TWO
        | {
            "global_rope_theta": 80_000.0,
            "local_rope_theta": 5_000.0,
            "local_attention": 8,
            "global_attn_every_n_layers": 2,
            "cls_token_id": 1,
            "sep_token_id": 2,
        },
    ),
    "roformer": ("roformer", _MASKED, _SIZES | {"embedding_size": 16, "rotary_value": True}),
    "gpt2": (
        "gpt2",
        _CAUSAL,
        {
            "n_embd": 16,
            "n_layer": 1,
            "n_head": 2,
            "n_positions": 64,
            "vocab_size": 16,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "opt": ("opt", _CAUSAL, _SIZES | {"ffn_dim": 16, "word_embed_proj_dim": 16}),
    "t5": ("t5", _TO_TEXT, _T5 | {"decoder_start_token_id": 3, "tie_word_embeddings": True}),
    "t5-gated": (
        "t5",
        _TO_TEXT,
        _T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "decoder_start_token_id": 0},
    ),
    "mt5": ("mt5", _TO_TEXT, _T5 | {"decoder_start_token_id": 3}),
    "bart": ("bart", _TO_TEXT, _BART | {"decoder_start_token_id": 2, "forced_eos_token_id": 2}),
    "mbart": (
        "mbart",
        _TO_TEXT,
        _BART | {"decoder_start_token_id": 2, "forced_eos_token_id": 2, "scale_embedding": True},
    ),
    "marian": (
        "marian",
        _TO_TEXT,
        _BART
        | {
            "decoder_start_token_id": 0,
            "forced_eos_token_id": 2,
            "num_beams": 4,
            "max_length": 48,
            "bad_words_ids": [[0]],
            "scale_embedding": True,
        },
    ),
    "pegasus": (
        "pegasus",
        _TO_TEXT,
        _BART | {"decoder_start_token_id": 0, "forced_eos_token_id": 2, "num_beams": 8, "length_penalty": 0.8},
    ),
    "m2m_100": ("m2m_100", _TO_TEXT, _BART | {"decoder_start_token_id": 2}),
    "albert": ("albert", _MASKED, _SIZES | {"embedding_size": 8}),
    "bert": ("bert", _MASKED, _SIZES),
    "camembert": ("camembert", _MASKED, _SIZES),
    "convbert": ("convbert", _MASKED, _SIZES | {"embedding_size": 16, "head_ratio": 2}),
    "data2vec-text": ("data2vec-text", _MASKED, _SIZES),
    "deberta": (
        "deberta",
        _MASKED,
        _SIZES | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False},
    ),
    "deberta-v2": (
        "deberta-v2",
        _MASKED,
        _SIZES
        | {
            "relative_attention": True,
            "pos_att_type": ["c2p", "p2c"],
            "position_biased_input": False,
            "position_buckets": 8,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
        },
    ),
    "distilbert": (
        "distilbert",
        _MASKED,
        {"dim": 16, "hidden_dim": 16, "n_layers": 1, "n_heads": 2, "vocab_size": 16, "max_position_embeddings": 64},
    ),
    "electra": ("electra", _MASKED, _SIZES | {"embedding_size": 8}),
    "megatron-bert": ("megatron-bert", _MASKED, _SIZES),
    "mobilebert": (
        "mobilebert",
        _MASKED,
        _SIZES | {"embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16},
    ),
    "mpnet": ("mpnet", _MASKED, _SIZES),
    "rembert": ("rembert", _MASKED, _SIZES | {"input_embedding_size": 8, "output_embedding_size": 8}),
    "roberta": ("roberta", _MASKED, _SIZES),
    "squeezebert": ("squeezebert", _MASKED, _SIZES | {"embedding_size": 16}),
    "xlm-roberta": ("xlm-roberta", _MASKED, _SIZES),
    "vit": ("vit", _IMAGES, _VISION | {"image_size": 16, "patch_size": 8}),
    "dinov2": ("dinov2", _IMAGES, _VISION | {"image_size": 16, "patch_size": 8}),
    "beit": ("beit", _IMAGES, _VISION | {"image_size": 16, "patch_size": 8}),
    "swin": (
        "swin",
        _IMAGES,
        {"image_size": 16, "patch_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4},
    ),
    "swinv2": (
        "swinv2",
        _IMAGES,
        {"image_size": 16, "patch_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4},
    ),
    "resnet": (
        "resnet",
        _IMAGES,
        {"embedding_size": 8, "hidden_sizes": [8, 8], "depths": [1, 1], "layer_type": "basic"},
    ),
    "convnext": ("convnext", _IMAGES, {"hidden_sizes": [8, 8], "depths": [1, 1], "num_stages": 2}),
    "wav2vec2": ("wav2vec2", _SOUNDS, _AUDIO),
    "hubert": ("hubert", _SOUNDS, _AUDIO),
    "whisper": (
        "whisper",
        _SOUNDS,
        _BART | {"num_mel_bins": 8, "max_source_positions": 20, "classifier_proj_size": 8, "eos_token_id": 2},
    ),
    "audio-spectrogram-transformer": (
        "audio-spectrogram-transformer",
        _SOUNDS,
        _VISION | {"max_length": 40, "num_mel_bins": 16, "patch_size": 8, "frequency_stride": 8, "time_stride": 8},
    ),
}
"""Name to architecture, transformers' class and configuration."""
_CLIP = {
    "text_config": _SIZES,
    "vision_config": _VISION | {"image_size": 16, "patch_size": 8},
    "projection_dim": 8,
}
CHECKPOINTS["clip"] = ("clip", "AutoModel", _CLIP)


def inputs(kind: str, auto: str) -> dict[str, torch.Tensor]:
    """What the models are asked."""
    torch.manual_seed(5)
    ids = {"input_ids": torch.randint(4, 16, (1, POSITIONS))}
    if kind in ("wav2vec2", "hubert"):
        return {"input_values": torch.randn(1, 400)}
    if kind == "whisper":
        return {"input_features": torch.randn(1, 8, POSITIONS)}
    if kind == "audio-spectrogram-transformer":
        return {"input_values": torch.randn(1, POSITIONS, 16)}
    if kind == "clip":
        return {"input_ids": torch.randint(4, 16, (3, 12)), "pixel_values": torch.randn(1, 3, 16, 16)}
    if auto == _IMAGES:
        size = 32 if kind in ("resnet", "convnext") else 16
        return {"pixel_values": torch.randn(1, 3, size, size)}
    return ids | ({"decoder_input_ids": torch.randint(4, 16, (1, 8))} if auto == _TO_TEXT else {})


@torch.no_grad()
def answers(model: torch.nn.Module, asked: dict[str, torch.Tensor]) -> torch.Tensor:
    """What a model answers: logits of a row, the last 24 positions of them where there are many."""
    found = model.eval()(**asked)
    logits = found.logits_per_image if hasattr(found, "logits_per_image") else found.logits
    return logits[:, -24:].float().contiguous() if logits.ndim == 3 else logits.float().contiguous()


def _as_once(folder: Path) -> None:
    """Put what 4.57 keeps in a generation_config.json where most files of the hub have it: into config.json."""
    beside = folder / "generation_config.json"
    if beside.is_file():
        config = json.loads((folder / "config.json").read_text())
        told = {name: value for name, value in json.loads(beside.read_text()).items() if not name.startswith("_")}
        (folder / "config.json").write_text(json.dumps(config | told, indent=2, sort_keys=True) + "\n")
        beside.unlink()


def write(name: str) -> None:
    """Make one checkpoint, in half precision, and record its answers in full precision."""
    kind, auto, settings = CHECKPOINTS[name]
    torch.manual_seed(7)
    model = getattr(transformers, auto).from_config(transformers.AutoConfig.for_model(kind, **settings))
    for weight in model.parameters():
        if weight.ndim > 1:
            weight.data.normal_(0, 0.4)
    model.half().save_pretrained(HERE / name)
    _as_once(HERE / name)
    # What 4.57 otherwise takes leaves out the soft cap of Gemma 2.
    extra = {"attn_implementation": "eager"} if kind == "gemma2" else {}
    loaded = getattr(transformers, auto).from_pretrained(HERE / name, dtype=torch.float32, **extra)
    asked = inputs(kind, auto)
    told = {"expected": answers(loaded, asked)}
    if auto == _TO_TEXT:
        told["written"] = loaded.generate(input_ids=asked["input_ids"])
    save_file(asked | told, HERE / name / "answers.safetensors")


if __name__ == "__main__":
    assert transformers.__version__.startswith("4.57."), "these files say what transformers 4.57 answered"
    for one in sys.argv[1:] or CHECKPOINTS:
        write(one)

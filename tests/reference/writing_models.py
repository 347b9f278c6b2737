"""Tiny random models of every architecture that writes: the same ones for their graphs, their answers and the docs."""

import torch
import transformers

VOCABULARY = 64

_DECODER = {
    "vocab_size": VOCABULARY,
    "initializer_range": 0.5,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}
_GROUPED = _DECODER | {"num_key_value_heads": 2}
_OPT = {"vocab_size": VOCABULARY, "init_std": 0.5, "hidden_size": 32, "num_hidden_layers": 2, "ffn_dim": 64}
_GPT2 = {"vocab_size": VOCABULARY, "initializer_range": 0.5, "n_embd": 32, "n_layer": 2, "n_head": 4}
_T5 = {"vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
_BART = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}
_HEADS = _GROUPED | {"head_dim": 16}
_WINDOW = {"sliding_window": 8}
"""Shorter than prompts and answers."""
_GEMMA = _HEADS | _WINDOW | {"query_pre_attn_scalar": 16, "tie_word_embeddings": False}
"""With tied embeddings so small a one of the later kinds repeats one token."""
CAUSAL = {
    "gpt2": lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(**_GPT2, n_positions=128)),
    "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**_GROUPED)),
    "qwen2": lambda: transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**_GROUPED)),
    "qwen3": lambda: transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**_GROUPED, head_dim=16)),
    "phi": lambda: transformers.PhiForCausalLM(transformers.PhiConfig(**_DECODER)),
    "phi3": lambda: transformers.Phi3ForCausalLM(transformers.Phi3Config(**_GROUPED)),
    "gpt_neox": lambda: transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**_DECODER)),
    "opt": lambda: transformers.OPTForCausalLM(
        transformers.OPTConfig(**_OPT, num_attention_heads=4, max_position_embeddings=128, word_embed_proj_dim=32)
    ),
    "gemma": lambda: transformers.GemmaForCausalLM(transformers.GemmaConfig(**_HEADS)),
    "gemma2": lambda: transformers.Gemma2ForCausalLM(transformers.Gemma2Config(**_GEMMA)),
    "gemma3_text": lambda: transformers.Gemma3ForCausalLM(
        transformers.Gemma3TextConfig(**_GEMMA, layer_types=["sliding_attention", "full_attention"])
    ),
    "granite": lambda: transformers.GraniteForCausalLM(transformers.GraniteConfig(**_GROUPED)),
    "mistral": lambda: transformers.MistralForCausalLM(transformers.MistralConfig(**_GROUPED, **_WINDOW)),
    "olmo2": lambda: transformers.Olmo2ForCausalLM(transformers.Olmo2Config(**_GROUPED)),
    "qwen3_moe": lambda: transformers.Qwen3MoeForCausalLM(
        transformers.Qwen3MoeConfig(**_HEADS, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16)
    ),
    "smollm3": lambda: transformers.SmolLM3ForCausalLM(
        transformers.SmolLM3Config(**_GROUPED, no_rope_layer_interval=2)
    ),
}
SEQ2SEQ = {
    "t5": lambda: transformers.T5ForConditionalGeneration(transformers.T5Config(**_T5)),
    "mt5": lambda: transformers.MT5ForConditionalGeneration(transformers.MT5Config(**_T5)),
    "bart": lambda: transformers.BartForConditionalGeneration(transformers.BartConfig(**_BART)),
    "mbart": lambda: transformers.MBartForConditionalGeneration(transformers.MBartConfig(**_BART)),
    "m2m_100": lambda: transformers.M2M100ForConditionalGeneration(
        transformers.M2M100Config(**_BART, scale_embedding=False)
    ),
    # Scaled embeddings, as published ones have: without them so small a one repeats itself.
    "marian": lambda: transformers.MarianMTModel(transformers.MarianConfig(**_BART, scale_embedding=True)),
    "pegasus": lambda: transformers.PegasusForConditionalGeneration(transformers.PegasusConfig(**_BART)),
}


def vary(model):
    """Weights with which an encoder-decoder does not repeat one token: the embeddings outweigh the layers, and what is
    likely after a token is not the token itself, as it is where the head is tied to the embeddings."""
    model.config.tie_word_embeddings = False
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.requires_grad and weights.ndim > 1:
                is_cross = "encoder_attn" in name or "EncDecAttention" in name
                weights.normal_(0, 1.0 if "embed" in name or "shared" in name else 0.14 if is_cross else 0.2)
            elif weights.requires_grad:
                weights.add_(torch.randn_like(weights) * 0.1)
        for name, bias in model.named_buffers():
            if name.endswith("final_logits_bias"):
                bias.normal_(0, 0.5)
        table = model.get_output_embeddings().weight
        model.lm_head.weight = torch.nn.Parameter(table[torch.randperm(len(table))].clone())

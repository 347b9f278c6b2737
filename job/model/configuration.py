"""What of a `config.json` may reach transformers: known keys, possible numbers, nothing that names code."""

import math
from collections.abc import Iterator

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tunewright.job.data.faults import shown
from tunewright.job.errors import BaseModelError

_CODE_KEYS = ("auto_map", "trust_remote_code", "custom_pipelines")
_KERNEL_KEYS = ("_attn_implementation", "_experts_implementation", "attn_implementation", "use_kernels")
# Not attributes of a fresh configuration object, yet in most published files.
_COMMON_KEYS = frozenset(
    """architectures model_type torch_dtype dtype transformers_version id2label label2id num_labels problem_type
    pad_token_id bos_token_id eos_token_id sep_token_id cls_token_id classifier_dropout tunewright_pooling
    attention_head_size cls_dropout conv_act conv_groups conv_kernel_size embedding_size max_relative_positions
    norm_rel_ebd position_buckets share_att_key talking_head head_dim""".split()
)
"""The last two lines are what the code of DeBERTa, and of most decoders, looks for in its configuration."""
# What transformers 4 wrote into a config.json, and 5 still reads from there although its classes do not have it: how
# positions turn, in place of which 5 has rope_parameters; what every configuration had, and how a model writes.
_ROTARY_KEYS = frozenset(
    """rope_theta rope_scaling partial_rotary_factor rotary_pct rotary_emb_base global_rope_theta local_rope_theta
    rope_local_base_freq global_attn_every_n_layers""".split()
)
_EARLIER_KEYS = frozenset(
    """position_embedding_type sliding_window_pattern
    tie_word_embeddings tie_encoder_decoder is_decoder add_cross_attention cross_attention_hidden_size tokenizer_class
    prefix task_specific_params bad_words_ids begin_suppress_tokens decoder_start_token_id diversity_penalty do_sample
    early_stopping encoder_no_repeat_ngram_size exponential_decay_length_penalty forced_bos_token_id
    forced_eos_token_id length_penalty max_length min_length no_repeat_ngram_size num_beam_groups num_beams
    num_return_sequences remove_invalid_values repetition_penalty suppress_tokens temperature top_k top_p
    typical_p""".split()
)
# Ours to set: they change what a model returns or in which pieces it computes, and not what it has learnt. The
# number of labels follows from their names.
_HOW_TO_RUN = frozenset(
    """return_dict use_return_dict torchscript output_hidden_states output_attentions chunk_size_feed_forward
    pruned_heads num_labels problem_type""".split()
)
_LARGEST = 2**31
_MOST = {
    "num_hidden_layers": 200,
    "n_layer": 200,
    "n_layers": 200,
    "hidden_size": 32_768,
    "dim": 32_768,
    "intermediate_size": 262_144,
    "max_position_embeddings": 2_000_000,
    "vocab_size": 2_000_000,
}
"""Sizes above which no encoder is known; a larger number in a file would only exhaust the memory."""


def refuse_code(config: dict[str, object], address: str, place: str = "config.json") -> None:
    """BaseModelError for a configuration that makes a loader run code or fetch a kernel."""
    for key, value in config.items():
        if key in _CODE_KEYS:
            raise BaseModelError(
                f"base model {address!r}: {place} sets {key!r}, which makes a loader run code from the model; "
                "only architectures that transformers itself knows are supported"
            )
        if key.startswith(_KERNEL_KEYS) and _names_kernel(value):
            raise BaseModelError(
                f"base model {address!r}: {place} sets {key!r} to {value!r}, which makes a loader fetch a kernel; "
                "remove the key from the file"
            )
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                refuse_code(inner, address, f"{place}, {key}")


def _names_kernel(value: object) -> bool:
    """transformers' own attention names ("eager", "sdpa", ...) only select; they are left out, not refused."""
    return not (value is None or value in (True, False, "eager", "sdpa", "flash_attention_2", "flex_attention"))


def allowed_keys(config: dict[str, object], address: str) -> tuple[dict[str, object], list[str]]:
    """The keys that may stay, with their values, and the names of the others."""
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise BaseModelError(
            f"base model {address!r}: config.json has model_type {kind!r}, which this transformers does not know"
        )
    known = _known(kind)
    allowed = {key: value for key, value in _own(config).items() if key in known and not key.startswith("_")}
    _refuse_relative_positions(allowed, address)
    for key, value in allowed.items():
        for inner, one in _numbers(key, value):
            _check_number(inner, one, address)
    return allowed, sorted(set(config) - set(allowed))


def _known(kind: str) -> set[str]:
    """What may stand in the configuration of an architecture."""
    own = vars(CONFIG_MAPPING[kind]())
    rotary = _ROTARY_KEYS if "rope_parameters" in own else frozenset[str]()
    # Some architectures also read the usual names of their own settings (hidden_size for dim).
    return {*own, *CONFIG_MAPPING[kind].attribute_map, *_COMMON_KEYS, *_EARLIER_KEYS, *rotary}


def _refuse_relative_positions(config: dict[str, object], address: str) -> None:
    """transformers 5 has one kind of positions for BERT and its kin, and would run the others as that one."""
    positions = config.get("position_embedding_type")
    if positions not in (None, "absolute"):
        raise BaseModelError(
            f"base model {address!r}: config.json sets position_embedding_type to {shown(positions)}, which "
            "transformers no longer has; only 'absolute' is supported"
        )


def _own(config: dict[str, object]) -> dict[str, object]:
    """A configuration, and those inside it, without what says how to run a model rather than what it is."""
    kept = {key: value for key, value in config.items() if key not in _HOW_TO_RUN}
    return {
        key: _own(value) if key.endswith("_config") and isinstance(value, dict) else value
        for key, value in kept.items()
    }


def _numbers(key: str, value: object) -> Iterator[tuple[str, object]]:
    """Every value of a configuration and of what is in it, with its key."""
    if isinstance(value, dict):
        # The names of labels are their numbers.
        for inner, one in value.items() if key not in ("id2label", "label2id") else ():
            yield from _numbers(inner, one)
    elif isinstance(value, list):
        for one in value:
            yield from _numbers("" if key in _MOST else key, one)
    else:
        yield key, value


def _check_number(key: str, value: object, address: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise BaseModelError(f"base model {address!r}: config.json sets {key} to {value}, which is not a finite number")
    if key not in _MOST and type(value) is int and abs(value) > _LARGEST:
        raise BaseModelError(f"base model {address!r}: config.json sets {key} to {shown(value)}, which no model has")
    most = _MOST.get(key)
    if most is not None and value is not None and not (isinstance(value, int) and 0 < value <= most):
        raise BaseModelError(
            f"base model {address!r}: config.json sets {key} to {shown(value)}, "
            f"which is not a whole number from 1 to {most:,}"
        )

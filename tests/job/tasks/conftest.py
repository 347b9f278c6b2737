"""Tiny base models that write, with tokenizers trained on the spot, and jobs that teach them."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, pipeline
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tunewright.job.recipe import Outcome, run
from tunewright.job.settings.job import JobSettings
from tunewright.registry.settings import RegistrySettings
from tunewright.serving.predictor import open_predictor
from tunewright.serving.text.cleaning import Cleaning, clean

_WORDS = {
    "the": "der", "a": "ein", "dog": "Hund", "cat": "Katze", "house": "Haus", "tree": "Baum", "sees": "sieht",
    "likes": "mag", "big": "groß", "small": "klein", "and": "und", "old": "alt", "red": "rot", "bird": "Vogel",
}  # fmt: skip
ODD = [
    "我在北京大学学习中文。",
    "the dog 😀 likes the 🍕",
    "القط يحب الكلب",
    "cafe\u0301 and the e\u0301 big",
    "the",
    "x " * 30,
]
"""Texts unlike those that were learned: Chinese, emoji, right to left, combining marks, one word, many words."""
_SPECIAL = ["<pad>", "</s>", "<unk>", "<s>", "en_XX", "de_DE"]


@pytest.fixture(scope="session")
def sentences():
    """sentences(200, seed=1): so many pairs of sentences."""
    return _sentences


@pytest.fixture(scope="session")
def odd(sentences):
    """Texts unlike those that were learned, and some like them; cleaned, as a model sees them."""
    texts = [*ODD, *(source for source, _ in sentences(4, seed=1))]
    return [clean(text, Cleaning()) for text in texts]


def _sentences(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Small sentences with their translation, word for word."""
    draw, words = random.Random(seed), list(_WORDS)
    rows: dict[str, str] = {}
    while len(rows) < count:
        chosen = draw.choices(words, k=draw.randint(3, 8))
        rows[" ".join(chosen)] = " ".join(_WORDS[word] for word in chosen)
    return list(rows.items())


_DECODER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
}
_ENCODER_DECODER = {
    "d_model": 32,
    "init_std": 0.2,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 128,
}
_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
_IDS = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 3}
CONFIGS: dict[str, dict[str, Any]] = {
    "bart": _ENCODER_DECODER | {"decoder_start_token_id": 1, "forced_eos_token_id": 1},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "gpt_neox": _DECODER,
    "llama": _DECODER | {"num_key_value_heads": 2},
    "marian": _ENCODER_DECODER | {"decoder_start_token_id": 0, "forced_eos_token_id": 1},
    "mbart": _ENCODER_DECODER | {"decoder_start_token_id": 1, "forced_eos_token_id": 1},
    "mt5": _T5,
    "opt": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "ffn_dim": 64,
        "max_position_embeddings": 128,
        "word_embed_proj_dim": 32,
    },
    "pegasus": _ENCODER_DECODER | {"decoder_start_token_id": 0, "forced_eos_token_id": 1},
    "phi": _DECODER,
    "phi3": _DECODER | {"num_key_value_heads": 2},
    "qwen2": _DECODER | {"num_key_value_heads": 2},
    "qwen3": _DECODER | {"num_key_value_heads": 2, "head_dim": 16},
    "t5": _T5,
}
SEQ2SEQ = ("bart", "marian", "mbart", "mt5", "pegasus", "t5")
CAUSAL = tuple(name for name in CONFIGS if name not in SEQ2SEQ)
_BYTES = ("bart", "gpt2", "gpt_neox", "opt", "phi", "qwen2", "qwen3")
"""Architectures whose models come with byte-level tokenizers; the others' are of SentencePiece's kind."""


def _corpus() -> list[str]:
    return [f"{source} {target}" for source, target in _sentences(200)] + ODD


def _byte_level(kind: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    if kind == "bart":
        tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 3), add_prefix_space=False)
    return tokenizer


def _pieces(kind: str) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=_SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(_corpus(), trainer)
    around = "<s> $A" if kind in CAUSAL else "$A </s>"
    tokenizer.post_processor = processors.TemplateProcessing(single=around, special_tokens=[("</s>", 1), ("<s>", 3)])
    return tokenizer


def _enliven(model: Any) -> None:
    """Embeddings that outweigh the layers; and what is likely after a token is not that token again."""
    # transformers does not load a BART again whose last layer is its own.
    own = model.config.model_type not in ("bart", "mbart")
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.requires_grad and weights.ndim > 1:
                is_cross = "encoder_attn" in name or "EncDecAttention" in name
                weights.normal_(0, 1.0 if "embed" in name or "shared" in name else 0.3 if is_cross else 0.2)
        if own:
            model.config.tie_word_embeddings = False
            table = model.get_output_embeddings().weight
            model.lm_head.weight = torch.nn.Parameter(table[torch.randperm(len(table))].clone())
        else:
            model.final_logits_bias.normal_(0, 4)


@pytest.fixture(scope="session")
def writer_base(tmp_path_factory):
    """writer_base("t5", chat_template=None, **config): the folder of a tiny base model that writes.

    `lively`: an encoder-decoder whose answers vary with the text, which those of so small a model hardly do.
    """

    def make(kind, *, chat_template=None, tokens=(), lively=False, **config):
        folder = tmp_path_factory.mktemp(kind)
        tokenizer = (_byte_level if kind in _BYTES else _pieces)(kind)
        tokenizer.add_special_tokens([AddedToken(token, special=True) for token in tokens])
        tokenizer.save(str(folder / "tokenizer.json"))
        names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "<s>"}
        wrapped = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 128, **names}
        if kind in CAUSAL:
            wrapped["model_input_names"] = ["input_ids", "attention_mask"]
        (folder / "tokenizer_config.json").write_text(json.dumps(wrapped))
        if chat_template:
            (folder / "chat_template.jinja").write_text(chat_template)
        made = CONFIGS[kind] | _IDS | {"vocab_size": tokenizer.get_vocab_size()} | config
        torch.manual_seed(3)
        auto = AutoModelForSeq2SeqLM if kind in SEQ2SEQ else AutoModelForCausalLM
        model = auto.from_config(CONFIG_MAPPING[kind](**made))
        if lively:
            _enliven(model)
        model.save_pretrained(folder)
        return folder

    return make


@dataclass(frozen=True)
class Taught:
    """A finished job."""

    settings: JobSettings
    outcome: Outcome

    @property
    def bundle(self) -> Path:
        return self.outcome.release.folder

    @property
    def weights(self) -> Path:
        return self.bundle / "weights"

    def pipeline(self, name: str) -> Any:
        """What transformers makes of the weights."""
        tokenizer = AutoTokenizer.from_pretrained(self.weights)
        return pipeline(name, model=str(self.weights), tokenizer=tokenizer, device="cpu")


@pytest.fixture
def answering():
    """answering(taught, variant): its predictor, closed after the test."""
    opened = []

    def open_it(taught, variant="fp32"):
        opened.append(open_predictor(taught.bundle, variant=variant))
        return opened[-1]

    yield open_it
    for predictor in opened:
        predictor.close()


@pytest.fixture(scope="session")
def teach(tmp_path_factory):
    """teach(task, base, rows, columns, **changes): the finished job that learned from these rows."""

    def make(task, base, rows, **changes):
        folder = tmp_path_factory.mktemp("taught")
        return Taught(settings := job_settings(folder, task, base, rows, **changes), run(settings, _registry(folder)))

    return make


def _registry(folder: Path) -> RegistrySettings:
    return RegistrySettings(uri=str(folder / "registry"), cache=folder / "cache")


def job_settings(folder: Path, task: str, base: Path, rows: list[dict[str, Any]], **changes: Any) -> JobSettings:
    """Settings of a job of seconds on these rows, which it divides itself."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    train = {"epochs": 4, "learning_rate": 1e-2, "batch_size": 8, "precision": "fp32"} | changes.pop("train", {})
    common = {
        "task": task,
        "base_model": str(base),
        "model_name": "tiny",
        "data": {"train": str(path), "columns": {name: name for name in rows[0]}, "validation_fraction": 0.1}
        | changes.pop("data", {}),
        "train": train,
        "gate": {"max_drop": {"int8": 5.0}},
        "output": str(folder / "runs"),
        "run_id": "first",
    }
    return JobSettings(**(common | changes))


@pytest.fixture
def looked_at(tmp_path):
    """looked_at(task, base, rows, ...): the plan and the encoded sides of such a job, before any training."""
    from tunewright.job.recipe import prepare_all

    def make(task, base, rows, **changes):
        settings = job_settings(tmp_path, task, base, rows, **changes)
        return prepare_all(settings, _registry(tmp_path), tmp_path / "work")

    return make

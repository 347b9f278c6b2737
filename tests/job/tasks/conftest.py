"""Tiny base models that write, with tokenizers trained on the spot, and jobs that teach them."""

import io
import json
import random
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from pipelines import Writer
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
    pipeline,
)
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
_HEADS = _DECODER | {"num_key_value_heads": 2, "head_dim": 16}
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
    "gemma": _HEADS,
    "gemma2": _HEADS | {"sliding_window": 8},
    "gemma3_text": _HEADS | {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "gpt_neox": _DECODER,
    "granite": _DECODER | {"num_key_value_heads": 2},
    "llama": _DECODER | {"num_key_value_heads": 2},
    "m2m_100": _ENCODER_DECODER | {"decoder_start_token_id": 1, "scale_embedding": False},
    "marian": _ENCODER_DECODER | {"decoder_start_token_id": 0, "forced_eos_token_id": 1},
    "mbart": _ENCODER_DECODER | {"decoder_start_token_id": 1, "forced_eos_token_id": 1},
    "mistral": _DECODER | {"num_key_value_heads": 2, "sliding_window": 8},
    "mt5": _T5,
    "olmo2": _DECODER | {"num_key_value_heads": 2},
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
    "qwen3": _HEADS,
    "qwen3_moe": _HEADS | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "smollm3": _DECODER | {"num_key_value_heads": 2, "no_rope_layer_interval": 2},
    "t5": _T5,
}
SEQ2SEQ = ("bart", "m2m_100", "marian", "mbart", "mt5", "pegasus", "t5")
CAUSAL = tuple(name for name in CONFIGS if name not in SEQ2SEQ)
_BYTES = ("bart", "gpt2", "gpt_neox", "granite", "olmo2", "opt", "phi", "qwen2", "qwen3", "qwen3_moe", "smollm3")
"""Architectures whose models come with byte-level tokenizers; the others' are of SentencePiece's kind."""


def _corpus() -> list[str]:
    return [f"{source} {target}" for source, target in _sentences(200)] + ODD


@cache
def _byte_level(*, framed: bool) -> str:
    """The file of a tokenizer, trained once: another vocabulary is another trial, of a second."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    if framed:
        tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 3), add_prefix_space=False)
    return tokenizer.to_str()


@cache
def _pieces(*, causal: bool) -> str:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=_SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(_corpus(), trainer)
    around = "<s> $A" if causal else "$A </s>"
    tokenizer.post_processor = processors.TemplateProcessing(single=around, special_tokens=[("</s>", 1), ("<s>", 3)])
    return tokenizer.to_str()


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
            # Without tied weights transformers 5 looks for each of these tables in the file.
            for part in (model.get_encoder(), model.get_decoder()):
                part.embed_tokens.weight = torch.nn.Parameter(part.embed_tokens.weight.clone())
        else:
            model.final_logits_bias.normal_(0, 4)


@pytest.fixture(scope="session")
def writer_base(tmp_path_factory):
    """writer_base("t5", chat_template=None, **config): the folder of a tiny base model that writes.

    `lively`: an encoder-decoder whose answers vary with the text, which those of so small a model hardly do.
    """

    def make(kind, *, chat_template=None, tokens=(), lively=False, **config):
        folder = tmp_path_factory.mktemp(kind)
        file = _byte_level(framed=kind == "bart") if kind in _BYTES else _pieces(causal=kind in CAUSAL)
        tokenizer = Tokenizer.from_str(file)
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


WRITERS = {"translation": "translation_text", "summarization": "summary_text"}
"""Pipelines that transformers 5 does not have, and under which name they answer."""


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
        if name in WRITERS:
            return Writer(AutoModelForSeq2SeqLM.from_pretrained(self.weights), tokenizer, WRITERS[name])
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
        "keep_bundle": True,
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


# A job of every task, over rows made of the example's texts.

_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_TEXTS = 48


def _seeing() -> tuple[Any, Any]:
    config = ViTConfig(**_SMALL, image_size=16, patch_size=8)
    return ViTForImageClassification(config), ViTImageProcessor(size={"height": 16, "width": 16})


def _seeing_and_reading() -> tuple[Any, Any]:
    reads = {**_SMALL, "vocab_size": 1200, "max_position_embeddings": 32, "eos_token_id": 3, "pad_token_id": 0}
    sees = {**_SMALL, "image_size": 16, "patch_size": 8}
    model = CLIPModel(CLIPConfig(text_config=reads, vision_config=sees, projection_dim=16))
    return model, CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})


def _hearing() -> tuple[Any, Any]:
    config = WhisperConfig(
        d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=16, max_source_positions=50, num_mel_bins=32, vocab_size=100,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return WhisperForAudioClassification(config), WhisperFeatureExtractor(feature_size=32, chunk_length=1)


_OF_FILES = {"image-text": _seeing_and_reading, "image": _seeing, "audio": _hearing}


@pytest.fixture(scope="session")
def base_of(tiny_base, writer_base, tmp_path_factory):
    """base_of("audio-regression"): the folder of a tiny base model for that task."""
    made: dict[str, Path] = {}

    def make(task):
        kind = next((kind for kind in _OF_FILES if task.startswith(kind)), "text")
        if task in ("translation", "summarization", "text-generation"):
            kind = "llama" if task == "text-generation" else "t5"
        if kind not in made:
            made[kind] = writer_base(kind) if kind in CONFIGS else tmp_path_factory.mktemp("base") / "base"
            if kind in ("text", "image-text"):
                shutil.copytree(tiny_base, made[kind])
                config = json.loads((made[kind] / "tokenizer_config.json").read_text())
                (made[kind] / "tokenizer_config.json").write_text(json.dumps(config | {"mask_token": "[MASK]"}))
            if kind in _OF_FILES:
                torch.manual_seed(5)
                for part in _OF_FILES[kind]():
                    part.save_pretrained(made[kind])
        return made[kind]

    return make


@pytest.fixture(scope="session")
def rows_of(reviews, picture, tmp_path_factory):
    """rows_of("translation"): 48 rows of that task, and the folder of the files they name."""
    folder = tmp_path_factory.mktemp("named")
    texts = [" ".join(text.split()[:12]) for text, _ in reviews if text.split()][:_TEXTS]

    def make(task):
        return [_row(task, number, text, picture, folder) for number, text in enumerate(texts)], folder

    return make


def _tone(number: int) -> bytes:
    content = io.BytesIO()
    wave = np.sin(2 * np.pi * (200 + 20 * number) * np.arange(3200) / 16_000)
    soundfile.write(content, 0.5 * wave, 16_000, format="WAV")
    return content.getvalue()


def _row(task: str, number: int, text: str, picture: Any, folder: Path) -> dict[str, Any]:
    """A row, and `spare`: another one's input."""
    words = text.split()
    kind, _, aim = task.partition("-")
    if kind in ("image", "audio"):
        name = f"{number}.{'png' if kind == 'image' else 'wav'}"
        colour = ["red", "green", "blue"][number % 3]
        (folder / name).write_bytes(picture(colour, number, (16, 16)) if kind == "image" else _tone(number))
        target = {"score": float(number)} if aim == "regression" else {"label": "aab"[number % 3]}
        beside = {"text": text} if aim == "text-classification" else {}
        return {kind: name, **beside, **target, "spare": "0" + name[len(str(number)) :]}
    label = "with" if "the" in words else "without"
    return {
        "text-classification": {"text": text, "label": label},
        "text-regression": {"text": text, "score": float(sum(map(len, words)))},
        "token-classification": {"tokens": words, "tags": ["B-T" if word == "the" else "O" for word in words]},
        "question-answering": {
            "question": "what is first?",
            "context": text,
            "answers": {"text": words[:1], "answer_start": [0]},
        },
        "feature-extraction": {"text": text, "text_pair": " ".join(words[::-1]), "score": float(len(words))},
        "masked-language-modelling": {"text": text},
        "text-generation": {"prompt": text, "response": " ".join(words[::-1])},
        "translation": {"source": text, "target": " ".join(words[::-1])},
        "summarization": {"source": text, "target": " ".join(words[:2])},
    }[task] | {"spare": words[:2] if task == "token-classification" else f"{number} {text}"}

"""Base models with random weights, for data sets whose kind of pretrained model is not at hand.

Small versions of real architectures. Their tokenizers are trained on the training rows alone.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

Base = Callable[[Path, Path], None]
"""Takes the folder of the laid out data and an empty folder, and fills the latter."""

PAD, EOS, UNK, BOS = "<pad>", "</s>", "<unk>", "<s>"
_IDS = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 3}


def marian(*columns: str, vocabulary: int = 8000) -> Base:
    """An encoder-decoder of two and two layers, its tokenizer trained on these columns of train.jsonl."""

    def make(data: Path, folder: Path) -> None:
        tokenizer = _pieces(_texts(data / "train.jsonl", columns), vocabulary, ends=True)
        sizes = {"d_model": 128, "encoder_layers": 2, "decoder_layers": 2, "max_position_embeddings": 512}
        heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
        width = {"encoder_ffn_dim": 512, "decoder_ffn_dim": 512}
        config = transformers.MarianConfig(
            vocab_size=tokenizer.get_vocab_size(),
            **sizes,
            **heads,
            **width,
            **_IDS,
            decoder_start_token_id=0,
            forced_eos_token_id=1,
            activation_function="gelu",
            scale_embedding=True,
        )
        _save(lambda: transformers.MarianMTModel(config), tokenizer, folder)

    return make


def t5(texts: Callable[[Path], Iterable[str]], *, vocabulary: int) -> Base:
    """An encoder-decoder of two and two layers."""

    def make(data: Path, folder: Path) -> None:
        tokenizer = _pieces(texts(data), vocabulary, ends=True)
        config = transformers.T5Config(
            vocab_size=tokenizer.get_vocab_size(),
            d_model=128,
            d_kv=32,
            d_ff=256,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            decoder_start_token_id=0,
            pad_token_id=0,
            eos_token_id=1,
        )
        _save(lambda: transformers.T5ForConditionalGeneration(config), tokenizer, folder)

    return make


def gpt2(*, vocabulary: int) -> Base:
    """A decoder of three layers, its byte-level tokenizer trained on train.txt."""

    def make(data: Path, folder: Path) -> None:
        tokenizer = _bytes([(data / "train.txt").read_text()], vocabulary)
        sizes = {"n_embd": 128, "n_layer": 3, "n_head": 4, "n_positions": 256}
        config = transformers.GPT2Config(vocab_size=tokenizer.get_vocab_size(), **sizes, **_IDS)
        _save(lambda: transformers.GPT2LMHeadModel(config), tokenizer, folder)

    return make


def llama(*columns: str, vocabulary: int) -> Base:
    """A decoder of three layers, its byte-level tokenizer trained on these columns of train.jsonl."""

    def make(data: Path, folder: Path) -> None:
        tokenizer = _bytes(_texts(data / "train.jsonl", columns), vocabulary)
        config = transformers.LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=128,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=384,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            **_IDS,
        )
        _save(lambda: transformers.LlamaForCausalLM(config), tokenizer, folder)

    return make


def resnet(size: int) -> Base:
    """A residual network of three stages for pictures of so many pixels."""

    def make(data: Path, folder: Path) -> None:
        torch.manual_seed(1)
        config = transformers.ResNetConfig(
            embedding_size=32, hidden_sizes=[32, 64, 128], depths=[2, 2, 2], layer_type="basic"
        )
        transformers.ResNetForImageClassification(config).save_pretrained(folder)
        edge = {"shortest_edge": size}
        transformers.ConvNextImageProcessor(size=edge, crop_pct=1.0).save_pretrained(folder)

    return make


def whisper(*, seconds: int) -> Base:
    """An encoder of two layers over the log-mel spectrum of so many seconds."""

    def make(data: Path, folder: Path) -> None:
        torch.manual_seed(1)
        config = transformers.WhisperConfig(
            d_model=64,
            encoder_layers=2,
            decoder_layers=1,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=256,
            decoder_ffn_dim=64,
            max_source_positions=50 * seconds,
            num_mel_bins=64,
            vocab_size=100,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
        transformers.WhisperForAudioClassification(config).save_pretrained(folder)
        transformers.WhisperFeatureExtractor(feature_size=64, chunk_length=seconds).save_pretrained(folder)

    return make


def _texts(path: Path, columns: Iterable[str]) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield from (row[column] for column in columns)


def _pieces(texts: Iterable[str], vocabulary: int, *, ends: bool) -> Tokenizer:
    """A tokenizer of SentencePiece's kind."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = [PAD, EOS, UNK, BOS]
    trainer = trainers.UnigramTrainer(vocab_size=vocabulary, special_tokens=special, unk_token=UNK, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    if ends:
        tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {EOS}", special_tokens=[(EOS, 1)])
    return tokenizer


def _bytes(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """A byte-level tokenizer, as GPT-2 has."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, EOS, UNK, BOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _save(make: Callable[[], Any], tokenizer: Tokenizer, folder: Path) -> None:
    torch.manual_seed(1)
    make().save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"pad_token": PAD, "eos_token": EOS, "unk_token": UNK, "bos_token": BOS}
    wrapped = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, **named}
    (folder / "tokenizer_config.json").write_text(json.dumps(wrapped))

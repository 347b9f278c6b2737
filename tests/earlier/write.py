"""Writes registry.tar.xz: a version of each family as Tunewright 0.1.0 made it with transformers 4.57; run once.

    python tests/earlier/write.py

Later ones must serve and replay these versions and start from their weights, so nothing here is ever written again.
"""

import csv
import io
import json
import random
import string
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig

from tunewright.job.recipe import run
from tunewright.job.settings.job import JobSettings
from tunewright.registry.settings import RegistrySettings
from tunewright.serving.predictor import open_predictor

HERE = Path(__file__).parent
NAMES = ("Ada", "Bo", "Cy", "Di")
WORDS = ("good", "bad", "lamp", "door", "is", "the", "saw", "likes")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
_LLAMA = _BERT | {"num_key_value_heads": 1, "bos_token_id": 2, "eos_token_id": 3, "rope_theta": 50_000.0}
_T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
_VIT = _BERT | {"image_size": 16, "patch_size": 8}
_WAV2VEC2 = _BERT | {
    "conv_dim": [8, 8],
    "conv_kernel": [10, 8],
    "conv_stride": [8, 8],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 8,
}


def tokenizer(folder: Path, around: str) -> int:
    """Write a tokenizer of few words and all letters; give its size."""
    letters = list(string.ascii_lowercase)
    words = sorted({word.lower() for word in (*NAMES, *WORDS)})
    pieces = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters), ".", "?", *words]
    made = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.add_special_tokens(SPECIAL)
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        single=around, pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    more = {"mask_token": "[MASK]", "model_max_length": 32, "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names | more))
    return made.get_vocab_size()


def base(folder: Path, kind: str, auto: str, **settings: Any) -> Path:
    """Write a tiny base model, with a processor where it reads no text."""
    folder.mkdir()
    around = {"llama": "[CLS] $A", "t5": "$A [SEP]"}.get(kind, "[CLS] $A [SEP]")
    if kind == "vit":
        transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    elif kind == "wav2vec2":
        transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    else:
        settings["vocab_size"] = tokenizer(folder, around)
    torch.manual_seed(7)
    model = getattr(transformers, auto).from_config(AutoConfig.for_model(kind, **settings))
    for weight in model.parameters():
        if weight.ndim > 1:
            weight.data.normal_(0, 0.3)
    model.save_pretrained(folder)
    return folder


def sentences(count: int) -> list[dict[str, Any]]:
    """Rows of all tasks on texts."""
    draw, rows = random.Random(3), []
    for number in range(count):
        name, other, thing = draw.choice(NAMES), draw.choice(NAMES), draw.choice(["lamp", "door"])
        label = ("bad", "good")[number % 2]
        text = f"{name} saw the {label} {thing}. {other} likes it {number}."
        words = text.split()
        tags = ["B-NAME" if word in NAMES else "O" for word in words]
        answers = {"text": [name], "answer_start": [0]}
        rows.append(
            {"text": text, "label": label, "pair": f"{other} is {label}", "score": float(number % 5), "tokens": words}
            | {"tags": tags, "question": f"who saw the {thing}?", "context": text, "answers": answers}
            | {"source": text, "target": f"{name} is {label}", "prompt": f"{name} likes", "completion": f" the {thing}"}
        )
    return rows


def table(folder: Path, rows: list[dict[str, Any]], *columns: str) -> str:
    """The rows as JSONL, with these columns."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({name: row[name] for name in columns}) + "\n" for row in rows))
    return str(path)


def media(folder: Path, column: str) -> str:
    """A table of pictures of two colours, or of tones of two heights."""
    lines = [(column, "label")]
    for number in range(40):
        noise, high = np.random.default_rng(number), number % 2
        if column == "image":
            shades = noise.integers(0, 60, (20, 24, 3)) + np.array([180, 20, 20] if high else [20, 20, 180])
            Image.fromarray(shades.astype(np.uint8)).save(folder / f"{number}.png")
        else:
            time = np.arange(3200) / 16000
            sound = 0.5 * np.sin(2 * np.pi * (2000 if high else 300) * time) + noise.normal(0, 0.02, len(time))
            soundfile.write(folder / f"{number}.wav", sound, 16000)
        lines.append((f"{number}.{'png' if column == 'image' else 'wav'}", ("low", "high")[high]))
    content = io.StringIO()
    csv.writer(content).writerows(lines)
    (folder / "rows.csv").write_text(content.getvalue())
    return str(folder / "rows.csv")


TASKS = {
    "sentiment": ("text-classification", "bert", "AutoModel", _BERT, ("text", "label")),
    "agreement": ("text-classification", "distilbert", "AutoModel", None, ("text", "pair", "label")),
    "stars": ("text-regression", "roberta", "AutoModel", _BERT, ("text", "score")),
    "names": ("token-classification", "bert", "AutoModel", _BERT, ("tokens", "tags")),
    "finder": ("question-answering", "bert", "AutoModel", _BERT, ("question", "context", "answers")),
    "blanks": ("masked-language-modelling", "bert", "AutoModelForMaskedLM", _BERT, ("text",)),
    "vectors": ("feature-extraction", "bert", "AutoModel", _BERT, ("text", "pair", "score")),
    "translator": ("translation", "t5", "AutoModelForSeq2SeqLM", _T5, ("source", "target")),
    "summary": ("summarization", "t5", "AutoModelForSeq2SeqLM", _T5, ("source", "target")),
    "chat": ("text-generation", "llama", "AutoModelForCausalLM", _LLAMA, ("prompt", "completion")),
    "colours": ("image-classification", "vit", "AutoModelForImageClassification", _VIT, ()),
    "tones": ("audio-classification", "wav2vec2", "AutoModelForAudioClassification", _WAV2VEC2, ()),
}
"""Model name to task, architecture, transformers' class of the base, its configuration and the columns."""
_DISTILBERT = {"dim": 16, "hidden_dim": 16, "n_layers": 1, "n_heads": 2, "max_position_embeddings": 40}
_RENAMED = {"pair": "text_pair", "completion": "response"}


def write(name: str, work: Path, registry: Path) -> None:
    """Teach and register one version."""
    task, kind, auto, settings, columns = TASKS[name]
    folder = base(work / "base", kind, auto, **(_DISTILBERT if settings is None else settings))
    media_column = {"colours": "image", "tones": "audio"}.get(name)
    data: dict[str, Any] = {
        "train": media(work, media_column) if media_column else table(work, sentences(60), *columns)
    }
    if not media_column:
        data["columns"] = {_RENAMED.get(column, column): column for column in columns}
    train = {"epochs": 2, "learning_rate": 3e-3, "batch_size": 8, "precision": "fp32"}
    run(
        JobSettings(
            task=task,
            base_model=str(folder),
            model_name=name,
            data=data,
            train=train | ({} if media_column else {"max_length": 32}),
            gate={"max_drop": {"int8": 100}},
            alias="production",
            run_id="earlier",
            output=str(work / "runs"),
            keep_bundle=True,
        ),
        RegistrySettings(uri=str(registry), cache=work / "cache"),
    )


def answers(work: Path) -> dict[str, dict[str, Any]]:
    """What each variant of each version answers to its golden inputs."""
    found: dict[str, dict[str, Any]] = {}
    for name in TASKS:
        folder = work / name / "runs/earlier/bundle"
        for variant in json.loads((folder / "model.json").read_text())["variants"]:
            predictor = open_predictor(folder, variant=variant)
            inputs = [predictor.task.read_inputs(case.inputs, predictor.model)[0][0] for case in predictor.model.golden]
            if name == "blanks":
                inputs = [text.replace("saw", "[MASK]") for text in inputs]
            found.setdefault(name, {})[variant] = predictor.predict(inputs)
            predictor.close()
    return found


def _of_nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    assert transformers.__version__.startswith("4.57."), "these are versions that transformers 4.57 made"
    with tempfile.TemporaryDirectory() as temporary:
        for one in TASKS:
            (Path(temporary) / one).mkdir()
            write(one, Path(temporary) / one, Path(temporary) / "registry")
        (HERE / "answers.json").write_text(json.dumps(answers(Path(temporary)), ensure_ascii=False) + "\n")
        with tarfile.open(HERE / "registry.tar.xz", "w:xz") as archive:
            archive.add(Path(temporary) / "registry", "registry", filter=_of_nobody)

"""Writes what the pipelines of transformers 4.57 answer, and the tokenizers they read with; run once, with 4.57.

    python tests/reference/write.py

Its questions are answered by a model that is a formula, so that no weights are kept; texts are written by the versions
of tests/earlier.
"""

import importlib.util
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import transformers
from formula import Formula
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedTokenizerFast, pipeline

from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import pull

HERE = Path(__file__).parent
QUESTION = "Where was Marie Curie born?"
CONTEXTS = (
    "x",
    "Marie Curie was born in Warsaw.",
    "unbelievable misunderstandings of a guitarist's manager",
    "我在北京大学学习中文",
    "I love 😀 pizza 🍕!",
    "وُلدت ماري كوري في وارسو",
    "Marie Curie was born in Warsaw and worked in Paris with Pierre, nobody else from the United Nations. " * 3,
)
PARAMETERS: tuple[dict[str, Any], ...] = (
    {},
    {"top_k": 3},
    {"max_answer_len": 2, "top_k": 2},
    {"handle_impossible_answer": True, "top_k": 2},
    {"align_to_words": False, "top_k": 4},
    {"max_seq_len": 64, "doc_stride": 10},
    {"max_seq_len": 80, "handle_impossible_answer": True, "top_k": 4},
)
TEXTS = ("Ada saw the good lamp. Bo likes it 7.", "Cy likes the door?", "x " * 12, "我 😀 Di.")
WRITING: tuple[dict[str, Any], ...] = (
    {"max_new_tokens": 12},
    {"max_new_tokens": 12, "num_beams": 1, "clean_up_tokenization_spaces": True},
    {"max_new_tokens": 8, "num_beams": 3, "no_repeat_ngram_size": 2},
)


def architectures() -> dict[str, Any]:
    """The tokenizers of the tests of serving/tasks."""
    path = HERE.parent / "serving/tasks/conftest.py"
    spec = importlib.util.spec_from_file_location("tiny", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.ARCHITECTURES)


def read(name: str, build: Any) -> list[dict[str, Any]]:
    """What the pipeline of questions answers with a tokenizer."""
    made, special = build()
    (HERE / "recorded" / f"{name}.json").write_text(
        json.dumps([special, json.loads(made.to_str())], ensure_ascii=False)
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=200, **special)
    reader = pipeline("question-answering", model=Formula(), tokenizer=tokenizer, device="cpu")
    return [
        {"context": context, "parameters": asked, "answer": reader(question=QUESTION, context=context, **asked)}
        for context in CONTEXTS
        for asked in PARAMETERS
    ]


def written(task: str, weights: Path) -> list[dict[str, Any]]:
    """What a pipeline writes with the weights of a version."""
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(weights), AutoTokenizer.from_pretrained(weights)
    writer = pipeline(task, model=model, tokenizer=tokenizer, device="cpu")
    return [{"texts": TEXTS, "parameters": asked, "answers": writer(list(TEXTS), **asked)} for asked in WRITING]


if __name__ == "__main__":
    assert transformers.__version__.startswith("4.57."), "these are answers of transformers 4.57"
    (HERE / "recorded").mkdir(exist_ok=True)
    recorded: dict[str, Any] = {name: read(name, build) for name, (build, _) in architectures().items()}
    with tempfile.TemporaryDirectory() as temporary, tarfile.open(HERE.parent / "earlier/registry.tar.xz") as archive:
        archive.extractall(temporary, filter="data")
        for name, task in (("translator", "translation"), ("summary", "summarization")):
            store = open_store(str(Path(temporary) / "registry"))
            recorded[task] = written(task, pull(store, f"{name}:1", cache=Path(temporary)).folder / "weights")
    (HERE / "recorded/answers.json").write_text(json.dumps(recorded, ensure_ascii=False) + "\n")

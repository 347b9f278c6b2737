"""The peer of `make bench-train`: a plain Hugging Face Trainer script for text classification, run in its own
environment. It follows the text-classification example that ships with transformers: AutoTokenizer and
AutoModelForSequenceClassification, rows padded to 128 tokens (its default) or to the longest of the batch
(`--dynamic`), TrainingArguments as they come; `--strongest` is the fastest that its settings allow on a processor: rows
of one length together, and bf16. Fused AdamW is its default. Prints one JSON line."""

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from gemm_rate import gemm_rates
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    default_data_collator,
    set_seed,
)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--model", "--train", "--dev", "--output"):
        parser.add_argument(name, required=True)
    parser.add_argument("--dynamic", action="store_true")
    parser.add_argument("--strongest", action="store_true")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--seed", type=int, default=42)
    asked = parser.parse_args()
    set_seed(asked.seed)
    tokenizer = AutoTokenizer.from_pretrained(asked.model)
    model = AutoModelForSequenceClassification.from_pretrained(asked.model, num_labels=2)
    dynamic = asked.dynamic or asked.strongest
    padding = False if dynamic else "max_length"
    fast = {"train_sampling_strategy": "group_by_length", "bf16": True, "use_cpu": True} if asked.strongest else {}

    def encode(rows: dict) -> dict:
        return tokenizer(rows["text"], padding=padding, max_length=128, truncation=True)

    train, dev = (_read(path).map(encode, batched=True) for path in (asked.train, asked.dev))
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=asked.output,
            num_train_epochs=1,
            per_device_train_batch_size=asked.batch_size,
            learning_rate=asked.learning_rate,
            seed=asked.seed,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            **fast,
        ),
        train_dataset=train,
        eval_dataset=dev,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer) if dynamic else default_data_collator,
        compute_metrics=lambda found: {"accuracy": float((np.argmax(found.predictions, -1) == found.label_ids).mean())},
    )
    started, used = time.perf_counter(), time.process_time()
    trainer.train()
    seconds, used = time.perf_counter() - started, time.process_time() - used
    told = {
        "seconds": seconds,
        "processor_seconds": used,
        "tokens": sum(map(sum, train["attention_mask"])),
        "weights": _outside_of_embeddings(model),
        "accuracy": trainer.evaluate()["eval_accuracy"],
        "precision": "bf16" if asked.strongest else "fp32",
        "gemm": gemm_rates(),
    }
    print(json.dumps(told))


def _outside_of_embeddings(model: torch.nn.Module) -> int:
    """How many weights multiply every token."""
    return sum(weight.numel() for name, weight in model.named_parameters() if "embed" not in name)


def _read(path: str) -> Dataset:
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return Dataset.from_dict({"text": [row["text"] for row in rows], "label": [int(row["label"]) for row in rows]})


if __name__ == "__main__":
    main()

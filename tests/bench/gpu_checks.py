"""Whether training on a GPU is right: against a processor, after an interruption, as ONNX, with packed rows."""

import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gpu_cases
import numpy as np
import torch
from gpu_cases import LabelledRows, PackedRows, log_normal, settings_of
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertForSequenceClassification, Qwen2Config, Qwen2ForCausalLM

from tunewright.job.batches.side import NoRows
from tunewright.job.checkpoints.files import Identity
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.errors import TrainingFailed
from tunewright.job.export.graph import EXPORT_TASK, export_variants
from tunewright.job.model.layers import choose_layers
from tunewright.job.settings.train import CheckpointSettings
from tunewright.job.train import next_token
from tunewright.job.train.device import attention
from tunewright.job.train.loop import train
from tunewright.job.train.objective import Objective

CURVES = {
    "fp32": ({"precision": "fp32"}, 2e-3),
    "tf32": ({"precision": "tf32"}, 2e-2),
    "bf16": ({"precision": "bf16"}, 3e-2),
    "bf16, compiled": ({"precision": "bf16", "compile": True}, 3e-2),
    "bf16, gradient checkpointing": ({"precision": "bf16", "gradient_checkpointing": True}, 3e-2),
    "bf16, compiled, gradient checkpointing": (
        {"precision": "bf16", "compile": True, "gradient_checkpointing": True}, 3e-2),
    "bf16, adamw_8bit": ({"precision": "bf16", "optimizer": "adamw_8bit"}, 8e-2),
}  # fmt: skip
"""Settings, and how far from the losses of a processor in fp32 a loss may be."""
SIDES = {"encoder": "labels", "decoder": "packed"}


def checks(*, tiny: bool) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """All of them by name; what fails raises."""
    cuda = torch.cuda.is_available()
    curves = {
        name: one for name, one in CURVES.items()
        if (cuda or not any(word in name for word in ("tf32", "compiled")))
        and (find_spec("bitsandbytes") or "8bit" not in name)
    }  # fmt: skip
    wanted: dict[str, list[float]] = {}
    some: list[tuple[str, Callable[[], dict[str, Any]]]] = []
    for side in SIDES:
        some += [
            (f"{side}: losses as on a processor, {name}", lambda side=side, one=one: near(side, one, wanted, tiny))
            for name, one in curves.items()
        ]
    some += [
        ("goes on from a checkpoint", lambda: resumed(tiny)),
        ("a loss that is not finite is found", lambda: not_finite(tiny)),
        ("exported to ONNX", lambda: exported(tiny)),
    ]
    if cuda:
        some.append(("packed rows with FlashAttention and with a mask", packed))
    if find_spec("bitsandbytes"):
        some.append(("NF4", lambda: four_bits(tiny)))
    return some


def suit_older_torch() -> None:
    """The job wants torch 2.13; a machine with an older one is measured all the same."""
    known = inspect.signature(varlen_attn).parameters
    if "enable_gqa" in known:
        return

    def call(query: torch.Tensor, *more: Any, enable_gqa: bool, window_size: tuple[int, int], **given: Any) -> Any:
        assert enable_gqa
        key, value, *bounds = more
        shared = query.shape[1] // key.shape[1]
        key, value = (part.repeat_interleave(shared, dim=1) for part in (key, value))
        given |= {"window_size": window_size} if "window_size" in known else {"is_causal": True}
        return varlen_attn(query, key, value, *bounds, **given)

    attention.varlen_attn = call


def small(side: str, *, tiny: bool) -> tuple[torch.nn.Module, Any, Objective]:
    """A model without dropout, and its rows; on every machine the same."""
    torch.manual_seed(gpu_cases.SEED)
    wide, layers, rows = (16, 2, 24) if tiny else (256, 4, 512)
    if side == "encoder":
        config = BertConfig(vocab_size=999, hidden_size=wide, num_hidden_layers=layers, num_attention_heads=wide // 8
                            if tiny else 4, intermediate_size=4 * wide, hidden_dropout_prob=0.0,
                            attention_probs_dropout_prob=0.0)  # fmt: skip
        model = BertForSequenceClassification(config)
        return model, LabelledRows(log_normal(rows, 24, 64), 999), Objective(cross_entropy, lambda _: {}, "accuracy")
    shape = Qwen2Config(vocab_size=999, hidden_size=wide, intermediate_size=4 * wide, num_hidden_layers=layers,
                        num_attention_heads=2 if tiny else 4, num_key_value_heads=1 if tiny else 2,
                        max_position_embeddings=256, tie_word_embeddings=True)  # fmt: skip
    packed_rows = PackedRows(log_normal(rows, 24, 96), 128, 999)
    return Qwen2ForCausalLM(shape), packed_rows, next_token.objective(settings_of(), 999)


def losses_of(side: str, settings: dict[str, object], *, tiny: bool) -> list[float]:
    """The loss of each part of each step."""
    model, rows, objective = small(side, tiny=tiny)
    found: list[torch.Tensor] = []

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        value = objective.loss(logits, targets)
        found.append(value.detach())
        return value

    given = {"epochs": 3, "learning_rate": 5e-4, "batch_size": 16 if side == "encoder" else 4, **settings}
    if tiny:
        given["batch_size"] = 8
    train(model, (rows, NoRows()), replace(objective, loss=loss), settings_of(**given))
    return torch.stack(found).float().cpu().tolist()


def near(side: str, one: tuple[dict[str, object], float], wanted: dict[str, list[float]], tiny: bool) -> dict[str, Any]:
    """The losses of a GPU beside those of a processor in fp32, which a process of its own computes."""
    settings, within = one
    if side not in wanted:
        wanted[side] = on_processor(side, tiny)
    found = losses_of(side, settings, tiny=tiny)
    assert len(found) == len(wanted[side]), "another number of parts"
    apart = float(np.abs(np.array(found) - np.array(wanted[side])).max())
    said = {"steps": len(found), "from": round(wanted[side][0], 4), "to": round(wanted[side][-1], 4)}
    assert apart <= within, f"losses are {apart:.2g} apart, {said}"
    return {**said, "apart": float(f"{apart:.2g}"), "within": within}


def on_processor(side: str, tiny: bool) -> list[float]:
    """In fp32."""
    words = [sys.executable, __file__, side, *(["--tiny"] if tiny else [])]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def resumed(tiny: bool) -> dict[str, Any]:
    """Killed in the second epoch and gone on with, dropout on: the same bits?"""
    whole, again = run_of(tiny), run_of(tiny)
    with tempfile.TemporaryDirectory() as folder:

        def kept() -> Checkpoints:
            return Checkpoints(Path(folder) / "c", Identity({}, ""), CheckpointSettings(steps=3))

        try:
            run_of(tiny, kept(), dies_at=10)
        except KeyboardInterrupt:
            pass
        else:
            raise AssertionError("it did not die")
        after = run_of(tiny, kept())

    def apart(run: Any) -> float:
        return max(float((whole[0][name] - run[0][name]).abs().max()) for name in whole[0])

    # On a GPU two runs of the same job are not equal to the bit: sums are made in any order.
    assert apart(after) < 1e-3, f"weights are {apart(after):.2g} apart"
    return {"two_runs_apart": apart(again), "resumed_apart": apart(after), "history": after[1].history[-1]}


def run_of(tiny: bool, checkpoints: Checkpoints | None = None, dies_at: int = 0) -> tuple[dict[str, Any], Any]:
    model, rows, objective = small("encoder", tiny=tiny)
    model.dropout.p = 0.1
    calls = iter(range(1, 10**6))

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if next(calls) == dies_at:
            raise KeyboardInterrupt
        return objective.loss(logits, targets)

    settings = settings_of(epochs=4, batch_size=8 if tiny else 64, precision="fp32" if tiny else "bf16")
    came = train(model, (rows, NoRows()), replace(objective, loss=loss), settings, checkpoints)
    return model.state_dict(), came


def not_finite(tiny: bool) -> dict[str, Any]:
    """The step and its rows are named, also where losses are read later."""
    model, rows, objective = small("encoder", tiny=tiny)
    calls = iter(range(1, 10**6))

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return objective.loss(logits, targets) * (float("nan") if next(calls) == 2 else 1.0)

    try:
        train(model, (rows, NoRows()), replace(objective, loss=loss), settings_of(batch_size=8, precision="fp32"))
    except TrainingFailed as error:
        said = str(error)
    else:
        raise AssertionError("it was not found")
    assert said.startswith("the loss of step 2 in epoch 1 is nan (training rows "), said
    return {"said": said[:80], "loss_was_asked_for": next(calls) - 1}


def exported(tiny: bool) -> dict[str, Any]:
    """A model that learned here, as a file that ONNX Runtime answers with."""
    import onnxruntime

    model, rows, objective = small("encoder", tiny=tiny)
    settings = settings_of(epochs=1, batch_size=16, gradient_checkpointing=True, compile=torch.cuda.is_available())
    train(model, (rows, NoRows()), objective, settings)
    batch = rows.batch(range(4))
    given = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"],
             "token_type_ids": torch.zeros_like(batch["input_ids"])}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        export_variants(model, EXPORT_TASK, Path(folder), ["fp32"])
        session = onnxruntime.InferenceSession(str(Path(folder) / "onnx" / "fp32" / "model.onnx"))
        names = {one.name for one in session.get_inputs()}
        (answered,) = session.run(["logits"], {name: part.numpy() for name, part in given.items() if name in names})
    with torch.no_grad():
        wanted = model(**given)["logits"].numpy()
    apart = float(np.abs(answered - wanted).max())
    assert apart < 1e-3, f"{apart:.2g} apart"
    return {"apart": apart}


def packed() -> dict[str, Any]:
    """The first losses of both, and those of unpacked rows."""
    settings = {"precision": "bf16", "epochs": 1}
    quick = losses_of("decoder", settings, tiny=False)
    with patch.object(attention, "can_vary", lambda *_: False):
        masked = losses_of("decoder", settings, tiny=False)
    apart = float(np.abs(np.array(quick) - np.array(masked)).max())
    assert apart < 3e-2, f"{apart:.2g} apart"
    model, _, _ = small("decoder", tiny=False)
    assert attention.can_vary(model, "bf16", "cuda"), "FlashAttention was not used"
    return {"apart": float(f"{apart:.2g}"), "to": quick[-1]}


def four_bits(tiny: bool) -> dict[str, Any]:
    """QLoRA learns, and its adapters are merged into weights of fp32."""
    model, rows, objective = small("decoder", tiny=tiny)
    settings = settings_of(epochs=3, batch_size=8, learning_rate=1e-2, precision="fp32" if tiny else "bf16",
                           lora={"rank": 4, "quantization": "nf4"})  # fmt: skip
    choose_layers(model, settings)
    came = train(model, (rows, NoRows()), objective, settings)
    assert came.history[-1]["loss"] < came.history[0]["loss"], "it did not learn"
    assert all(weight.dtype == torch.float32 for weight in model.parameters())
    return {"losses": [round(epoch["loss"], 4) for epoch in came.history]}


if __name__ == "__main__":
    print(json.dumps(losses_of(sys.argv[1], {"precision": "fp32"}, tiny="--tiny" in sys.argv)))
